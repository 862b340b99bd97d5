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
//
// An opening of plain channels waits for nothing: until somebody asks for Done there
// is neither timer nor channel, and the time counts from then.
type patience struct {
	// Immutable after WithPatience.
	slice time.Duration

	// Guarded by mu.
	mu     sync.Mutex
	ctx    context.Context // nil until somebody waits
	end    context.CancelCauseFunc
	timer  *time.Timer
	slices int // that remain; 0: it is over
}

// WithPatience returns a context for something that a client waits for while it
// connects: it ends about d after somebody has first asked for Done, as contexts made
// of it do, with a cause that is [context.DeadlineExceeded]. Asking for Err alone does
// not begin it. It has no deadline that anybody could read, and its Err is
// context.Canceled.
func WithPatience(d time.Duration) (context.Context, context.CancelFunc) {
	p := &patience{}
	p.begin(d)
	return p, p.cancel
}

// begin makes the zero patience what WithPatience returns.
func (p *patience) begin(d time.Duration) { p.slice, p.slices = patienceSlice(d), patienceSlices }

func (p *patience) cancel() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slices = 0
	if p.ctx != nil {
		p.timer.Stop()
		p.end(nil)
	}
}

// idle reports whether nobody has waited. Otherwise the timer, or that of a context made of
// it, may be about to run, which nothing stops then: the memory is nobody else's.
func (p *patience) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ctx == nil
}

// waited returns what there is when somebody waits.
func (p *patience) waited() context.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx == nil {
		p.ctx, p.end = context.WithCancelCause(context.Background())
		p.timer = time.AfterFunc(p.slice, p.tick)
		if p.slices == 0 {
			p.timer.Stop()
			p.end(nil)
		}
	}
	return p.ctx
}

// Deadline implements context.Context.
func (p *patience) Deadline() (_ time.Time, ok bool) { return }

// Done implements context.Context: the time counts from now.
func (p *patience) Done() <-chan struct{} { return p.waited().Done() }

// Err implements context.Context.
func (p *patience) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slices == 0 {
		return context.Canceled
	}
	return nil
}

// Value implements context.Context. There are none but what the package context asks
// for, once somebody waits, to find the cause and those who are to be told.
func (p *patience) Value(key any) any {
	p.mu.Lock()
	ctx := p.ctx
	p.mu.Unlock()
	if ctx == nil {
		return nil
	}
	return ctx.Value(key)
}

func patienceSlice(d time.Duration) time.Duration { return max(d/patienceSlices, 1) }

// tick ends a slice.
func (p *patience) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.slices > 1:
		p.slices--
		p.timer.Reset(p.slice)
	case p.slices == 1:
		p.slices = 0
		p.end(errImpatient)
	}
}

// stale reports whether the opening has taken too long. One that has ended well
// and waits for its loop has not.
func (op *opening) stale() bool { return context.Cause(op.ctx) == errImpatient }
