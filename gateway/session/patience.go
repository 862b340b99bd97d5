package session

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// patienceSlices is into how many parts the time for an opening is cut.
const patienceSlices = 8

// errImpatient is the cause of a context whose patience is over.
var errImpatient = fmt.Errorf("session: opening took too long: %w", context.DeadlineExceeded)

// patience ends a context after a time that the process was there for. It is
// measured in slices, each from when the process has noticed the end of the one
// before: a process that was stopped for a minute has lost one slice, however
// long that was. With one timer for all of it, whoever was opening would be told
// that it was stale, which is final, though nobody but us was late.
type patience struct {
	// Immutable after WithPatience.
	slice time.Duration
	end   context.CancelCauseFunc

	// Guarded by mu.
	mu    sync.Mutex
	timer *time.Timer
	left  int // slices
}

// WithPatience returns a context for something that a client waits for while it
// connects: it ends after about d, with a cause that is
// [context.DeadlineExceeded]. It has no deadline that anybody could read, and its
// Err is context.Canceled.
func WithPatience(d time.Duration) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancelCause(context.Background())
	p := &patience{slice: patienceSlice(d), end: end, left: patienceSlices}
	p.mu.Lock()
	p.timer = time.AfterFunc(p.slice, p.tick)
	p.mu.Unlock()
	return ctx, func() {
		p.mu.Lock()
		p.left = 0
		p.timer.Stop()
		p.mu.Unlock()
		end(nil)
	}
}

func patienceSlice(d time.Duration) time.Duration { return max(d/patienceSlices, 1) }

// tick ends a slice.
func (p *patience) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.left > 1:
		p.left--
		p.timer.Reset(p.slice)
	case p.left == 1:
		p.left = 0
		p.end(errImpatient)
	}
}

// stale reports whether the opening has taken too long. One that has ended well
// and waits for its loop has not.
func (op *opening) stale() bool { return context.Cause(op.ctx) == errImpatient }
