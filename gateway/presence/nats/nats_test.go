package nats

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/cluster"
	"sluice/gateway/cluster/clustertest"
	"sluice/gateway/nats"
	"sluice/gateway/presence"
	"sluice/gateway/presence/presencetest"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/natsrig"
	"sluice/gateway/testkit/redisrig"
)

// connect opens connections that end with the test.
func connect(t testing.TB, url, prefix string) *nats.NATS {
	t.Helper()
	n, err := nats.Open(nats.Options{URL: url, Prefix: prefix})
	require.NoError(t, err)
	t.Cleanup(n.Close)
	return n
}

func manager(t testing.TB, url, prefix string, opt Options) *Manager {
	t.Helper()
	m, err := New(connect(t, url, prefix), opt)
	require.NoError(t, err)
	return m
}

// subject is a manager over connections of its own. All of a test have one prefix.
func subject(url string, replicas int) presencetest.Subject {
	prefixes := make(map[string]string)
	return presencetest.Subject{
		Nodes: true,
		New: func(t *testing.T, ttl time.Duration) presence.Manager {
			if prefixes[t.Name()] == "" {
				prefixes[t.Name()] = natsrig.Prefix(t)
			}
			return manager(t, url, prefixes[t.Name()], Options{TTL: ttl, Replicas: replicas})
		},
	}
}

func TestConformance(t *testing.T) {
	presencetest.Run(t, subject(natsrig.Single(t).URL, 1))
}

func TestConformanceBehindAProxy(t *testing.T) {
	proxy := redisrig.NewProxy(t, natsrig.Single(t).Addr)
	s := subject(proxy.Addr, 1)
	s.Cut = func(t *testing.T) func() {
		proxy.Refuse(t, true)
		proxy.Cut()
		return func() { proxy.Refuse(t, false) }
	}
	presencetest.Run(t, s)
}

func TestPlaces(t *testing.T) {
	server := natsrig.Single(t)
	clustertest.Places(t, func(t *testing.T, ttl time.Duration) (one, two cluster.Places) {
		prefix := natsrig.Prefix(t)
		both := make([]cluster.Places, 2)
		for i := range both {
			m := manager(t, server.URL, prefix, Options{})
			m.places.ttl = ttl
			both[i] = m.Places()
		}
		return both[0], both[1]
	})
}

// A bucket that is gone is made again, and renewals fill it.
func TestABucketThatIsGoneIsMadeAgain(t *testing.T) {
	server := natsrig.Single(t)
	m := manager(t, server.URL, "p.q", Options{})
	change := presence.Change{Channel: "c", Info: &codec.ClientInfo{User: "u", Client: "x"}}
	require.NoError(t, m.Apply(t.Context(), []presence.Change{change}))
	server.Kill(t)
	require.Error(t, m.Apply(t.Context(), []presence.Change{change}))
	server.Forget(t)
	server.Start(t)
	testkit.Eventually(t, func() bool { return m.Apply(t.Context(), []presence.Change{change}) == nil }, "the renewal")
	list, err := m.Presence(t.Context(), "c")
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.NoError(t, m.Ready())
}

// What others put there is skipped and counted, or refused.
func TestForeignValues(t *testing.T) {
	server := natsrig.Single(t)
	m := manager(t, server.URL, "p", Options{})
	require.NoError(t, m.Apply(t.Context(), []presence.Change{{Channel: "c", Info: &codec.ClientInfo{User: "u", Client: "x"}}}))
	nc := server.Dial(t)
	for _, subject := range []string{m.clients("c") + "one", m.clients("c") + "a.b.c", m.clients("c") + "a.=zz", m.clients("c") + "u.other"} {
		require.NoError(t, nc.Publish(subject, []byte("garbage")))
	}
	require.NoError(t, nc.Publish(m.places.key("u"), []byte("garbage")))
	require.NoError(t, nc.Flush())
	list, err := m.Presence(t.Context(), "c")
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.EqualValues(t, 4, m.Counters().Skipped)
	st, err := m.Stats(t.Context(), "c")
	require.NoError(t, err)
	require.Equal(t, presence.Stats{Clients: 2, Users: 1}, st, "of a key alone nobody can tell")
	place, err := m.Places().Reserve(t.Context(), "u", "x", 1)
	require.NoError(t, err)
	require.Equal(t, cluster.PlaceTaken, place)
}

// A server that is too old is refused with what to do.
func TestAnOldServerIsRefused(t *testing.T) {
	server := natsrig.Debian(t)
	m := manager(t, server.URL, "p", Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	testkit.Eventually(t, func() bool { return m.nats.Calls().Ready() == nil }, "the connection")
	require.ErrorContains(t, m.Check(ctx), "2.11 or later")
	require.ErrorContains(t, m.Ready(), "2.11 or later")
}

// FuzzKeys: what keys are written reads again, and what is none is not read.
func FuzzKeys(f *testing.F) {
	f.Add("c", "u", "client", "c.x.y.z")
	f.Add("", "", "", "$KV.")
	m := &Manager{bucket: "b"}
	f.Fuzz(func(t *testing.T, channel, user, client, subject string) {
		got, id, ok := m.readKey(channel, m.key(channel, &codec.ClientInfo{User: user, Client: client}))
		require.True(t, ok)
		require.Equal(t, []string{user, client}, []string{got, id})
		if got, id, ok := m.readKey(channel, subject); ok {
			require.Equal(t, subject, m.key(channel, &codec.ClientInfo{User: got, Client: id}))
		}
	})
}
