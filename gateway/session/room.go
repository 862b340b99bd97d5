package session

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// room bounds the calls that a loop's keeper has yet to make. Whoever would add
// some while there are too many waits, first come first served, and is let in as
// calls are made.
type room struct {
	// Immutable after newRoom.
	limit   int
	backlog func() int // any goroutine

	// Guarded by mu.
	mu    sync.Mutex
	queue list.List // of *entrant, in the order in which they came
	// budget is how many calls those who wait may add now. Those who were let
	// in have yet to post, so the backlog alone would let in too many.
	budget int

	// Atomic.
	waiting atomic.Int64 // the length of queue
}

// entrant waits to add so many calls.
type entrant struct {
	calls int
	enter chan struct{} // closed when it may, under mu
}

func newRoom(limit int, backlog func() int) *room { return &room{limit: limit, backlog: backlog} }

// full reports whether there is no room for any call. Any goroutine.
func (r *room) full() bool { return r.waiting.Load() > 0 || r.backlog() >= r.limit }

// enter waits at most so long for room for so many calls. Any goroutine but a
// turn.
func (r *room) enter(ctx context.Context, calls int, within time.Duration) error {
	if !r.full() {
		return nil
	}
	e := &entrant{calls: calls, enter: make(chan struct{})}
	r.mu.Lock()
	at := r.queue.PushBack(e)
	r.waiting.Add(1)
	r.mu.Unlock()
	r.made(0) // the last call may have been made since; from here on it tells
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-e.enter:
		return nil
	case <-ctx.Done():
	case <-timer.C:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-e.enter:
		return nil
	default:
	}
	r.queue.Remove(at)
	r.waiting.Add(-1)
	return errNoRoom
}

// made notes that so many calls were made and are no longer in the backlog, and
// lets in whom there is room for. Any goroutine.
func (r *room) made(calls int) {
	if r.waiting.Load() == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch backlog := r.backlog(); backlog {
	case 0:
		r.budget = r.limit // nobody else will tell
	default:
		r.budget = min(r.budget+calls, max(r.limit-backlog, 0))
	}
	for at := r.queue.Front(); at != nil && r.budget > 0; at = r.queue.Front() {
		e := r.queue.Remove(at).(*entrant)
		r.waiting.Add(-1)
		r.budget -= e.calls
		close(e.enter)
	}
	if r.queue.Len() == 0 {
		r.budget = 0
	}
}
