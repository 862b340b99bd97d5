// Package clustertest is what tests of many nodes stand on: a network within the process
// that carries messages of clusters and misbehaves as it is told, and the suite that
// judges every cluster.Carrier.
package clustertest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"sluice/gateway/broker"
	"sluice/gateway/cluster"
)

// Net carries messages between carriers within the process. Its zero faults are none:
// messages arrive in order, at once. All methods may be called from any goroutine. It
// works in bubbles of testing/synctest.
type Net struct {
	// Guarded by mu.
	mu       sync.Mutex
	carriers []*Carrier
	delay    func(from, to string, subject string) time.Duration
	lose     func(from, to string, subject string, payload []byte) bool
	double   bool
	closed   bool

	deliveries sync.WaitGroup
}

// NewNet makes a network without faults.
func NewNet() *Net { return &Net{} }

// Carrier returns the carrier of a node, which goes by a name in faults.
func (n *Net) Carrier(name string) *Carrier {
	c := &Carrier{net: n, name: name, wake: make(chan struct{}, 1), done: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.carriers = append(n.carriers, c)
	n.deliveries.Go(c.deliver)
	return c
}

// Delay has messages take time; with times that differ they overtake each other. nil:
// none.
func (n *Net) Delay(of func(from, to string, subject string) time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = of
}

// Lose has messages vanish; nil: none. A node that is cut off from itself too hears
// nothing.
func (n *Net) Lose(which func(from, to string, subject string, payload []byte) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lose = which
}

// Split lets messages pass within each of the groups only.
func (n *Net) Split(groups ...[]string) {
	n.Lose(func(from, to, _ string, _ []byte) bool {
		return !slices.ContainsFunc(groups, func(g []string) bool { return slices.Contains(g, from) && slices.Contains(g, to) })
	})
}

// Double has every message arrive twice.
func (n *Net) Double(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.double = on
}

// Close ends all deliveries.
func (n *Net) Close() {
	n.mu.Lock()
	if !n.closed {
		n.closed = true
		for _, c := range n.carriers {
			close(c.done)
		}
	}
	n.mu.Unlock()
	n.deliveries.Wait()
}

// Carrier is a node's way into a [Net].
type Carrier struct {
	// Immutable after Net.Carrier.
	net  *Net
	name string
	wake chan struct{}
	done chan struct{}

	// Guarded by mu.
	mu      sync.Mutex
	subject []string
	receive func(subject string, payload []byte)
	queue   []parcel
	frozen  chan struct{} // closed when it thaws, nil while it is not frozen
	down    bool
}

// parcel is a message on its way to a node.
type parcel struct {
	subject string
	payload []byte
	due     time.Time
}

var _ cluster.Carrier = (*Carrier)(nil)

// Listen implements cluster.Carrier.
func (c *Carrier) Listen(_ context.Context, subjects []string, receive func(subject string, payload []byte)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.receive != nil {
		return fmt.Errorf("clustertest: %s listens already", c.name)
	}
	c.subject, c.receive = slices.Clone(subjects), receive
	return nil
}

// Send implements cluster.Carrier.
func (c *Carrier) Send(ctx context.Context, subject string, payload []byte) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", broker.ErrUnavailable, err)
	}
	c.mu.Lock()
	down, frozen := c.down, c.frozen
	c.mu.Unlock()
	if frozen != nil {
		select {
		case <-frozen:
		case <-ctx.Done():
			return fmt.Errorf("clustertest: %s: %w", c.name, broker.ErrUnknown)
		}
	}
	if down {
		return fmt.Errorf("clustertest: %s: %w", c.name, broker.ErrUnavailable)
	}
	n := c.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, to := range n.carriers {
		if n.lose != nil && n.lose(c.name, to.name, subject, payload) {
			continue
		}
		due := time.Now()
		if n.delay != nil {
			due = due.Add(n.delay(c.name, to.name, subject))
		}
		to.take(parcel{subject, slices.Clone(payload), due})
		if n.double {
			to.take(parcel{subject, slices.Clone(payload), due})
		}
	}
	return nil
}

// Down has Send fail, as if the server were gone; what others send arrives.
func (c *Carrier) Down(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = down
}

// Freeze has nothing arrive, and nothing leave, until it ends, and then everything: a
// process that was stopped.
func (c *Carrier) Freeze(frozen bool) {
	c.mu.Lock()
	switch {
	case frozen && c.frozen == nil:
		c.frozen = make(chan struct{})
	case !frozen && c.frozen != nil:
		close(c.frozen)
		c.frozen = nil
	}
	c.mu.Unlock()
	c.nudge()
}

func (c *Carrier) take(p parcel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.subject, p.subject) {
		return
	}
	at, _ := slices.BinarySearchFunc(c.queue, p, func(a, b parcel) int {
		if a.due.After(b.due) {
			return 1
		}
		return -1 // behind those that are due at the same time
	})
	c.queue = slices.Insert(c.queue, at, p)
	c.nudge()
}

func (c *Carrier) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// deliver hands over what is due.
func (c *Carrier) deliver() {
	for {
		wait := time.Hour
		c.mu.Lock()
		if len(c.queue) > 0 && c.frozen == nil {
			if wait = time.Until(c.queue[0].due); wait <= 0 {
				p, receive := c.queue[0], c.receive
				c.queue = c.queue[1:]
				c.mu.Unlock()
				receive(p.subject, p.payload)
				clear(p.payload) // nobody may keep it
				continue
			}
		}
		c.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-c.done:
			timer.Stop()
			return
		case <-c.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}
