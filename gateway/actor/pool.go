package actor

import (
	"fmt"
	"sync/atomic"

	"github.com/panjf2000/ants/v2"
)

// Submitter runs a function on some goroutine soon. It must not run it on the
// caller's, and must not lose it.
type Submitter interface {
	Submit(run func())
}

// Pool is the ants pool on which turns run: never anything else, so that a
// turn never waits for a worker. It has one worker more than there are actors.
type Pool struct {
	// Immutable after NewPool.
	submit  func(func()) error
	release func()

	// Atomic.
	fallbacks atomic.Uint64
}

// NewPool makes a pool for so many actors.
func NewPool(actors int) (*Pool, error) {
	p, err := ants.NewPool(actors+1, ants.WithDisablePurge(true))
	if err != nil {
		return nil, fmt.Errorf("actor: cannot make a pool of %d workers: %w", actors+1, err)
	}
	return &Pool{submit: p.Submit, release: p.Release}, nil
}

// Submit runs the function on a worker, or on a goroutine of its own when the
// pool refuses (it is closed, or broken): a lost turn would silence all streams
// of a loop for good. Any goroutine.
func (p *Pool) Submit(run func()) {
	if err := p.submit(run); err != nil {
		p.fallbacks.Add(1)
		go run()
	}
}

// Fallbacks counts turns that the pool refused and a goroutine ran.
func (p *Pool) Fallbacks() uint64 { return p.fallbacks.Load() }

// Release ends the workers. Turns submitted afterwards still run.
func (p *Pool) Release() { p.release() }
