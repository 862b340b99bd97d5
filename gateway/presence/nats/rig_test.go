package nats

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/nats"
	"sluice/gateway/presence"
	"sluice/gateway/presence/presencetest"
	"sluice/gateway/testkit/natsrig"
)

// connect opens connections that end with the test.
func connect(t testing.TB, opt nats.Options) *nats.NATS {
	t.Helper()
	if opt.Prefix == "" {
		opt.Prefix = natsrig.Prefix(t)
	}
	n, err := nats.Open(opt)
	require.NoError(t, err)
	t.Cleanup(n.Close)
	return n
}

func manager(t testing.TB, n *nats.NATS, opt Options) *Manager {
	t.Helper()
	require.Empty(t, opt.Check())
	m, err := New(n, opt)
	require.NoError(t, err)
	return m
}

// subject is a manager over connections of its own. All of a test have one prefix.
func subject(t *testing.T, opt nats.Options, change func(*Options)) presencetest.Subject {
	prefixes := make(map[string]string)
	return presencetest.Subject{
		Nodes: true,
		New: func(t *testing.T, ttl time.Duration) presence.Manager {
			if prefixes[t.Name()] == "" {
				prefixes[t.Name()] = natsrig.Prefix(t)
			}
			opt.Prefix = prefixes[t.Name()]
			settings := Options{TTL: ttl}
			if change != nil {
				change(&settings)
			}
			return manager(t, connect(t, opt), settings)
		},
	}
}

// stream is what a server knows of a bucket.
func stream(t testing.TB, s *natsrig.Server, b *bucket) jetstream.Stream {
	t.Helper()
	js, err := jetstream.New(s.Dial(t))
	require.NoError(t, err)
	one, err := js.Stream(t.Context(), b.stream)
	require.NoError(t, err)
	return one
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// here and gone are changes of a client.
func here(channel, user, client string) presence.Change {
	return presence.Change{Channel: channel, Info: &codec.ClientInfo{User: user, Client: client}}
}

func left(channel, user, client string) presence.Change {
	c := here(channel, user, client)
	c.Left = true
	return c
}

func count(t *testing.T, m *Manager, channel string) presence.Stats {
	t.Helper()
	st, err := m.Stats(t.Context(), channel)
	require.NoError(t, err)
	list, err := m.Presence(t.Context(), channel)
	require.NoError(t, err)
	require.Len(t, list, st.Clients)
	return st
}
