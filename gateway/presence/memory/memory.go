// Package memory keeps presence within the process. Entries end when their
// stream ends, never by time: there is no other node that could forget them.
package memory

import (
	"context"
	"hash/maphash"
	"sync"

	"sluice/codec"
	"sluice/gateway/presence"
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
	channels map[string]map[string]*codec.ClientInfo // by client
}

// New returns a manager without any channel.
func New() *Manager {
	m := &Manager{seed: maphash.MakeSeed()}
	for i := range m.stripes {
		m.stripes[i].channels = make(map[string]map[string]*codec.ClientInfo)
	}
	return m
}

func (m *Manager) stripe(channel string) *stripe {
	return &m.stripes[maphash.String(m.seed, channel)%stripeCount]
}

// Add implements presence.Manager.
func (m *Manager) Add(_ context.Context, channel string, info *codec.ClientInfo) error {
	s := m.stripe(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	clients := s.channels[channel]
	if clients == nil {
		clients = make(map[string]*codec.ClientInfo, 1)
		s.channels[channel] = clients
	}
	clients[info.Client] = info
	return nil
}

// Remove implements presence.Manager.
func (m *Manager) Remove(_ context.Context, channel string, info *codec.ClientInfo) error {
	s := m.stripe(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	clients := s.channels[channel]
	delete(clients, info.Client)
	if len(clients) == 0 {
		delete(s.channels, channel)
	}
	return nil
}

// Presence implements presence.Manager.
func (m *Manager) Presence(_ context.Context, channel string) ([]*codec.ClientInfo, error) {
	s := m.stripe(channel)
	s.mu.RLock()
	defer s.mu.RUnlock()
	clients := s.channels[channel]
	out := make([]*codec.ClientInfo, 0, len(clients))
	for _, info := range clients {
		out = append(out, info)
	}
	return out, nil
}

// Stats implements presence.Manager.
func (m *Manager) Stats(_ context.Context, channel string) (presence.Stats, error) {
	s := m.stripe(channel)
	s.mu.RLock()
	defer s.mu.RUnlock()
	clients := s.channels[channel]
	users := make(map[string]struct{}, len(clients))
	for _, info := range clients {
		users[info.User] = struct{}{}
	}
	return presence.Stats{Clients: len(clients), Users: len(users)}, nil
}
