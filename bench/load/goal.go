//go:build linux

package load

import (
	"context"
	"sync/atomic"
	"time"
)

// Goal counts deliveries across workers and wakes the one waiter when the
// awaited number is reached.
type Goal struct {
	// Atomic.
	Arrived atomic.Int64
	target  atomic.Int64
	From    atomic.Int64 // arrived at the start of the round, for the progress line

	Reached chan struct{} // never closed
}

// NewGoal is a goal that nothing has arrived for.
func NewGoal() *Goal { return &Goal{Reached: make(chan struct{}, 1)} }

// Expect asks for n deliveries more than have arrived. Call it before the
// first of them can arrive, and not while another wait runs.
func (g *Goal) Expect(n int64) {
	select {
	case <-g.Reached:
	default:
	}
	g.target.Store(g.Arrived.Load() + n)
}

// Add counts n deliveries. Any goroutine.
func (g *Goal) Add(n int64) {
	now := g.Arrived.Add(n)
	if target := g.target.Load(); now >= target && now-n < target {
		select {
		case g.Reached <- struct{}{}:
		default:
		}
	}
}

// Wait returns true when the expected number has arrived, and false when ctx
// ended or nothing arrived for the time of quiet.
func (g *Goal) Wait(ctx context.Context, quiet time.Duration) bool {
	tick := time.NewTicker(quiet)
	defer tick.Stop()
	last := g.Arrived.Load()
	for {
		select {
		case <-g.Reached:
			return true
		case <-ctx.Done():
			return false
		case <-tick.C:
			now := g.Arrived.Load()
			if now >= g.target.Load() {
				return true
			}
			if now == last {
				return false
			}
			last = now
		}
	}
}
