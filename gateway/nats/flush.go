package nats

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Flush returns when the server has all that was sent before.
func (c *Calls) Flush(ctx context.Context) error {
	f := c.flushes.join(c)
	select {
	case <-f.done:
		if f.err != nil {
			return c.counted(f.err)
		}
		return nil
	case <-ctx.Done():
		return c.counted(ofContext(ctx))
	}
}

// flushes has the server say that it has what was sent: those who wait share its answers.
type flushes struct {
	// Guarded by mu.
	mu        sync.Mutex
	now, next *flush // under way, and the one behind it; nil for none
	done      sync.WaitGroup
}

// flush is one question and answer.
type flush struct {
	done chan struct{}
	err  *Error
}

// join returns the flush that goes out behind now.
func (f *flushes) join(c *Calls) *flush {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.next == nil {
		f.next = &flush{done: make(chan struct{})}
		if f.now == nil {
			f.now, f.next = f.next, nil
			f.done.Go(func() { f.run(c) })
			return f.now
		}
	}
	return f.next
}

// flushMost is how long a flush may take.
const flushMost = 10 * time.Second

// run flushes as long as somebody waits.
func (f *flushes) run(c *Calls) {
	for {
		f.mu.Lock()
		now := f.now
		f.mu.Unlock()
		losses := c.conn.losses.Load()
		ctx, cancel := context.WithTimeout(context.Background(), flushMost)
		err := c.conn.nc.FlushWithContext(ctx)
		cancel()
		switch {
		case err != nil:
			now.err = &Error{Kind: ErrUnknown, Reason: ReasonBroken, Err: err}
		case c.conn.losses.Load() != losses: // the answer may be of the connection behind
			now.err = &Error{Kind: ErrUnknown, Reason: ReasonBroken, Err: errors.New("the connection was lost")}
		}
		close(now.done)
		f.mu.Lock()
		f.now, f.next = f.next, nil
		over := f.now == nil
		f.mu.Unlock()
		if over {
			return
		}
	}
}
