// Package memory keeps presence within the process. Entries end when their
// stream ends, never by time: there is no other node that could forget them.
package memory

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"sluice/codec"
	"sluice/gateway/presence"
	"sluice/gateway/shrink"
)

const stripeCount = 64

// Manager implements presence.Manager. Make it with [New].
type Manager struct {
	// Immutable after New.
	seed maphash.Seed

	stripes [stripeCount]stripe
}

var _ presence.Manager = (*Manager)(nil)

type stripe struct {
	// Guarded by mu.
	mu       sync.RWMutex
	channels shrink.Map[string, *clients]
}

// clients are those of one channel, by their id.
type clients = shrink.Map[string, *codec.ClientInfo]

// New returns a manager without any channel.
func New() *Manager {
	return &Manager{seed: maphash.MakeSeed()}
}

func (m *Manager) stripe(channel string) *stripe {
	return &m.stripes[maphash.String(m.seed, channel)%stripeCount]
}

// Apply implements presence.Manager.
func (m *Manager) Apply(_ context.Context, changes []presence.Change) error {
	for i := range changes {
		if c := &changes[i]; c.Left {
			m.remove(c.Channel, c.Info)
		} else {
			m.add(c.Channel, c.Info)
		}
	}
	return nil
}

// TTL implements presence.Manager.
func (m *Manager) TTL() time.Duration { return 0 }

// Close implements presence.Manager.
func (m *Manager) Close(context.Context) error { return nil }

func (m *Manager) add(channel string, info *codec.ClientInfo) {
	s := m.stripe(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	here := s.channels.Value(channel)
	if here == nil {
		here = &clients{}
		s.channels.Set(channel, here)
	}
	here.Set(info.Client, info)
}

func (m *Manager) remove(channel string, info *codec.ClientInfo) {
	s := m.stripe(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	here := s.channels.Value(channel)
	if here == nil {
		return
	}
	here.Delete(info.Client)
	if here.Len() == 0 {
		s.channels.Delete(channel)
	}
}

// Presence implements presence.Manager.
func (m *Manager) Presence(_ context.Context, channel string) ([]*codec.ClientInfo, error) {
	s := m.stripe(channel)
	s.mu.RLock()
	defer s.mu.RUnlock()
	here := s.channels.Value(channel)
	if here == nil {
		return []*codec.ClientInfo{}, nil
	}
	out := make([]*codec.ClientInfo, 0, here.Len())
	for _, info := range here.All() {
		out = append(out, info)
	}
	return out, nil
}

// Stats implements presence.Manager.
func (m *Manager) Stats(_ context.Context, channel string) (presence.Stats, error) {
	s := m.stripe(channel)
	s.mu.RLock()
	defer s.mu.RUnlock()
	here := s.channels.Value(channel)
	if here == nil {
		return presence.Stats{}, nil
	}
	users := make(map[string]struct{})
	for _, info := range here.All() {
		users[info.User] = struct{}{}
	}
	return presence.Stats{Clients: here.Len(), Users: len(users)}, nil
}
