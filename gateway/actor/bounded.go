package actor

import (
	"fmt"
	"sync/atomic"

	"github.com/panjf2000/ants/v2"
)

// Bounded runs calls that may wait for somebody else, at most so many at once.
// It never makes its caller wait: what does not fit is refused.
type Bounded struct {
	// Immutable after NewBounded.
	pool *ants.Pool

	// Atomic.
	refused atomic.Uint64
}

// NewBounded makes a pool for at most n calls at once.
func NewBounded(n int) (*Bounded, error) {
	p, err := ants.NewPool(n, ants.WithNonblocking(true), ants.WithDisablePurge(true))
	if err != nil {
		return nil, fmt.Errorf("actor: cannot make a pool of %d workers: %w", n, err)
	}
	return &Bounded{pool: p}, nil
}

// TrySubmit runs the function on a worker; false says that none is free. Any
// goroutine, turns included.
func (b *Bounded) TrySubmit(run func()) bool {
	if b.pool.Submit(run) == nil {
		return true
	}
	b.refused.Add(1)
	return false
}

// Refused counts calls that found no worker.
func (b *Bounded) Refused() uint64 { return b.refused.Load() }

// Release ends the workers, once nothing runs on them.
func (b *Bounded) Release() { b.pool.Release() }
