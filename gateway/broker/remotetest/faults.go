package remotetest

import (
	"context"
	"fmt"
	"time"

	"sluice/gateway/broker"
)

// Call is one call of a node.
type Call struct {
	Method   string // of broker.Broker
	Channels []string
}

// Fault is what becomes of a call.
type Fault int

// The kinds of faults.
const (
	Works      Fault = iota
	Away             // nothing is done: broker.ErrUnavailable
	Unanswered       // it is done: broker.ErrUnknown
	Undone           // it is not done: broker.ErrUnknown
	Silent           // it is not done, and waits until its context ends: broker.ErrUnknown
)

// SetFaults has f asked what becomes of each call from here on. It may wait: then the call
// does.
func (n *Node) SetFaults(f func(Call) Fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = f
}

// Calls returns the calls of a method so far, in order.
func (n *Node) Calls(method string) (calls []Call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.calls {
		if c.Method == method {
			calls = append(calls, c)
		}
	}
	return calls
}

// Subscribed returns how many channels the node is subscribed to.
func (n *Node) Subscribed() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.channels)
}

// call makes a call with what becomes of it.
func (n *Node) call(ctx context.Context, c Call, do func() error) error {
	n.mu.Lock()
	n.calls = append(n.calls, c)
	faults := n.faults
	n.mu.Unlock()
	if _, ends := ctx.Deadline(); !ends {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, Limit)
		defer cancel()
	}
	fault := faults(c)
	unknown := func() error { return fmt.Errorf("%w: %w", broker.ErrUnknown, context.Cause(ctx)) }
	if fault == Silent {
		<-ctx.Done()
		return unknown()
	}
	if stalled := n.waits(); stalled != nil {
		select {
		case <-stalled:
		case <-ctx.Done():
			return unknown()
		}
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", broker.ErrUnavailable, context.Cause(ctx))
	case fault == Away || n.isDown():
		return fmt.Errorf("remotetest: %s: %w", c.Method, broker.ErrUnavailable)
	case fault == Undone:
		return fmt.Errorf("remotetest: %s: %w", c.Method, broker.ErrUnknown)
	}
	if err := do(); err != nil {
		return err
	}
	if fault == Unanswered {
		return fmt.Errorf("remotetest: %s: %w", c.Method, broker.ErrUnknown)
	}
	return nil
}

func (n *Node) waits() chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stalled
}

func (n *Node) isDown() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.down
}

// Late has nothing delivered, and nothing lost, until on is called; calls go on.
func (n *Node) Late() (on func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.late++
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.late--
		n.wake.Broadcast()
	}
}

// Stall is Late, and calls wait too.
func (n *Node) Stall() (on func()) {
	late := n.Late()
	n.mu.Lock()
	defer n.mu.Unlock()
	stalled := make(chan struct{})
	n.stalled = stalled
	return func() {
		n.mu.Lock()
		n.stalled = nil
		n.mu.Unlock()
		close(stalled)
		late()
	}
}

// Down breaks the connections: what was on its way is gone, and calls fail until up is
// called. Then the node compares where channels stood with their histories.
func (n *Node) Down() (up func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = true
	n.drop()
	return n.up
}

// Cut is Down and up at once: no call fails.
func (n *Node) Cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drop()
	n.resume()
}

func (n *Node) up() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.resume()
}

// resume has all channels compared. Caller holds mu.
func (n *Node) resume() {
	n.down = false
	for ch := range n.channels {
		n.queue = append(n.queue, message{kind: resync, channel: ch})
	}
	n.wake.Broadcast()
}

// Lose drops what is on its way to the node, and nobody is told. It returns how many
// messages that were.
func (n *Node) Lose() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	lost := len(n.queue)
	n.drop()
	return lost
}

// Settle waits until all that is on its way was delivered.
func (n *Node) Settle() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	passed := make(chan error, 1)
	n.push(message{kind: marker, passed: passed})
	select {
	case err := <-passed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
