//go:build linux

package main

import (
	"context"
	"sync/atomic"
	"time"
)

// goal counts deliveries across workers and wakes the one waiter when the
// awaited number is reached.
type goal struct {
	// Atomic.
	arrived atomic.Int64
	target  atomic.Int64
	from    atomic.Int64 // arrived at the start of the round, for the progress line

	reached chan struct{} // never closed
}

func newGoal() *goal { return &goal{reached: make(chan struct{}, 1)} }

// expect asks for n deliveries more than have arrived. Call it before the
// first of them can arrive, and not while another wait runs.
func (g *goal) expect(n int64) {
	select {
	case <-g.reached:
	default:
	}
	g.target.Store(g.arrived.Load() + n)
}

// add counts n deliveries. Any goroutine.
func (g *goal) add(n int64) {
	now := g.arrived.Add(n)
	if target := g.target.Load(); now >= target && now-n < target {
		select {
		case g.reached <- struct{}{}:
		default:
		}
	}
}

// wait returns true when the expected number has arrived, and false when ctx
// ended or nothing arrived for the time of quiet.
func (g *goal) wait(ctx context.Context, quiet time.Duration) bool {
	tick := time.NewTicker(quiet)
	defer tick.Stop()
	last := g.arrived.Load()
	for {
		select {
		case <-g.reached:
			return true
		case <-ctx.Done():
			return false
		case <-tick.C:
			now := g.arrived.Load()
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
