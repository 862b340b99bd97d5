package nats

import (
	"context"
	"sync"
)

// Rounds lets all that want the same thing done share it: who comes while it is under way may have come too late for
// that one, and waits for the next. The zero value is ready. Any goroutine.
type Rounds struct {
	// Guarded by mu.
	mu        sync.Mutex
	now, next *Round // under way, and the one behind it; nil for none

	over sync.WaitGroup
}

// Round is one time that it is done.
type Round struct {
	// Done is closed at its end.
	Done chan struct{}
	// Err is what came of it, before Done is closed.
	Err error
}

// Join returns the round that begins behind now. once, the same for all calls, does the thing; it ends by itself.
func (r *Rounds) Join(once func() error) *Round {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = &Round{Done: make(chan struct{})}
		if r.now == nil {
			r.now, r.next = r.next, nil
			r.over.Go(func() { r.run(once) })
			return r.now
		}
	}
	return r.next
}

// run goes on as long as somebody waits.
func (r *Rounds) run(once func() error) {
	for {
		r.mu.Lock()
		now := r.now
		r.mu.Unlock()
		now.Err = once()
		close(now.Done)
		r.mu.Lock()
		r.now, r.next = r.next, nil
		over := r.now == nil
		r.mu.Unlock()
		if over {
			return
		}
	}
}

// Wait returns when nothing is under way. Nobody may join any more.
func (r *Rounds) Wait() { r.over.Wait() }

// Await returns what came of the round, or ok false if ctx ended before.
func (r *Round) Await(ctx context.Context) (err error, ok bool) {
	select {
	case <-r.Done:
		return r.Err, true
	case <-ctx.Done():
		return nil, false
	}
}
