package redis

import (
	"context"
	"errors"
	"sync"
	"time"
)

// gate is where commands wait while a shard is not reached. The zero value is of no
// use: see newGate. Any goroutine.
type gate struct {
	// Guarded by mu.
	mu   sync.Mutex
	up   chan struct{} // closed while the shard is reached
	err  error         // why it is not
	turn uint64        // how often it was reached: tells failures of before from those of now

	// Immutable.
	over <-chan struct{} // closed at the end
	// down is told when the shard is not reached any more.
	down chan struct{}
}

var (
	errNotYet = errors.New("not connected yet")
	errClosed = errors.New("closed")
)

// newGate returns a gate that is shut.
func newGate(over <-chan struct{}) *gate {
	g := &gate{over: over, up: make(chan struct{}), err: errNotYet, down: make(chan struct{}, 1)}
	g.down <- struct{}{}
	return g
}

// state returns nil, or why the shard is not reached, and the turn.
func (g *gate) state() (uint64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.turn, g.err
}

// open lets commands pass.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		g.err = nil
		g.turn++
		close(g.up)
	}
}

// shut makes commands wait, unless the failure is of a turn that is over.
func (g *gate) shut(turn uint64, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil && turn == g.turn {
		g.err = err
		g.up = make(chan struct{})
		select {
		case g.down <- struct{}{}:
		default:
		}
	}
}

// now returns the turn.
func (g *gate) now() uint64 {
	turn, _ := g.state()
	return turn
}

// note says anew why the shard is not reached.
func (g *gate) note(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		g.err = err
	}
}

// pass waits until commands may pass, until late, or until ctx ends. It returns the
// turn, and the reason why there is none.
func (g *gate) pass(ctx context.Context, late <-chan time.Time) (uint64, error) {
	for {
		g.mu.Lock()
		up, turn, err := g.up, g.turn, g.err
		g.mu.Unlock()
		if err == nil {
			return turn, nil
		}
		select {
		case <-up:
		case <-ctx.Done():
			return 0, err
		case <-late:
			return 0, err
		case <-g.over:
			return 0, errClosed
		}
	}
}
