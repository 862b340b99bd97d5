package nats

import (
	"context"
	"sync"
)

// Bus carries messages between the nodes of one prefix, on the core subjects <prefix>.<name>: it is the Carrier of package
// cluster, for all engines on NATS. Whoever handles the feed gives it what came (Receive). Any goroutine.
type Bus struct {
	// Immutable after NewBus.
	nats *NATS

	// Guarded by mu.
	mu    sync.RWMutex
	names map[string]*listener // by subject
}

// listener is one name that somebody listens to.
type listener struct {
	name string
	call func(subject string, payload []byte)
}

// NewBus returns one that listens to nothing yet.
func NewBus(n *NATS) *Bus { return &Bus{nats: n, names: make(map[string]*listener)} }

func (b *Bus) subject(name string) string { return b.nats.opt.Prefix + "." + name }

// Listen delivers what any node sends to one of the names, this node included, in the order of
// each sender, one call at a time, whose payload is valid during the call only. An error says that NATS is not
// within reach yet; it will be listened to once it is. It may be called once the feed is started.
func (b *Bus) Listen(ctx context.Context, names []string, receive func(subject string, payload []byte)) error {
	subjects := make([]string, len(names))
	b.mu.Lock()
	for i, name := range names {
		subjects[i] = b.subject(name)
		b.names[subjects[i]] = &listener{name, receive}
	}
	b.mu.Unlock()
	if err := b.nats.feed.Subscribe(subjects...); err != nil {
		return err
	}
	return b.nats.feed.Marker(ctx, Request{})
}

// Send sends to all who listen to a name. payload is not kept.
func (b *Bus) Send(ctx context.Context, name string, payload []byte) error {
	return b.nats.calls.Send(ctx, Request{Subject: b.subject(name), Data: payload})
}

// Receive hands over a message; false if nobody listens to its subject. For the goroutine of the feed.
func (b *Bus) Receive(m *Msg) bool {
	b.mu.RLock()
	l := b.names[m.Subject]
	b.mu.RUnlock()
	if l == nil {
		return false
	}
	l.call(l.name, m.Data)
	return true
}
