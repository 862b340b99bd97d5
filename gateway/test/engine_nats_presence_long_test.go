//go:build e2e

package test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/cluster"
	"sluice/gateway/nats"
	"sluice/gateway/presence"
	presencenats "sluice/gateway/presence/nats"
	"sluice/gateway/presence/presencetest"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/natsrig"
)

// presenceNode is presence of a node.
func presenceNode(t *testing.T, url, prefix string, ttl time.Duration, replicas int) *presencenats.Manager {
	t.Helper()
	n, err := nats.Open(nats.Options{URL: url, Prefix: prefix})
	require.NoError(t, err)
	t.Cleanup(n.Close)
	m, err := presencenats.New(n, presencenats.Options{TTL: ttl, Replicas: replicas})
	require.NoError(t, err)
	return m
}

// brief is for calls that may come to a server that is gone.
func brief(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestLongPresenceInNATSCluster runs the suite of presence over three servers, with a replica on each; the nodes of
// a test are connected to different servers.
func TestLongPresenceInNATSCluster(t *testing.T) {
	set := natsrig.Cluster(t, 3)
	prefixes, nodes := make(map[string]string), 0
	presencetest.Run(t, presencetest.Subject{
		Nodes: true,
		New: func(t *testing.T, ttl time.Duration) presence.Manager {
			if prefixes[t.Name()] == "" {
				prefixes[t.Name()] = natsrig.Prefix(t)
			}
			nodes++
			return presenceNode(t, set.Servers[nodes%3].URL, prefixes[t.Name()], ttl, 3)
		},
		Cut: func(t *testing.T) func() {
			for _, s := range set.Servers {
				s.Freeze(t)
			}
			return func() {
				for _, s := range set.Servers {
					s.Thaw(t)
				}
			}
		},
	})
}

// awaitReplicas waits until all replicas of a stream are as far as its leader: those of servers that were started
// again come from others, for they are in memory.
func awaitReplicas(t *testing.T, s *natsrig.Server, stream string) {
	t.Helper()
	js, err := jetstream.New(s.Dial(t))
	require.NoError(t, err)
	testkit.Eventually(t, func() bool {
		one, err := js.Stream(brief(t), stream)
		if err != nil {
			return false
		}
		info := one.CachedInfo()
		return info.Cluster.Leader != "" && !slices.ContainsFunc(info.Cluster.Replicas, func(p *jetstream.PeerInfo) bool { return !p.Current || p.Offline || p.Lag > 0 })
	}, "replicas")
}

// TestLongPresenceInNATSSurvivesAServer kills the server that leads the bucket: clients and places stay.
func TestLongPresenceInNATSSurvivesAServer(t *testing.T) {
	set, prefix := natsrig.Cluster(t, 3), strings.ReplaceAll(natsrig.Prefix(t), "_", "x")
	one, two := presenceNode(t, set.URL(), prefix, time.Minute, 3), presenceNode(t, set.URL(), prefix, time.Minute, 3)
	var changes []presence.Change
	for n := range 3000 {
		changes = append(changes, presence.Change{Channel: "ch", Info: &codec.ClientInfo{User: fmt.Sprint(n % 11), Client: fmt.Sprint(n)}})
	}
	require.NoError(t, one.Apply(t.Context(), changes))
	place, err := one.Places().Reserve(t.Context(), "u", "a", 1)
	require.NoError(t, err)
	require.Equal(t, cluster.PlaceTaken, place)
	stream := "KV_sluice_" + prefix
	for range 2 {
		leader := set.Leader(t, stream)
		leader.Kill(t)
		testkit.Eventually(t, func() bool {
			st, err := two.Stats(brief(t), "ch")
			if err != nil {
				require.ErrorIs(t, err, presence.ErrUnavailable)
			}
			return err == nil && st == presence.Stats{Clients: 3000, Users: 11}
		}, "another one leads")
		list, err := two.Presence(t.Context(), "ch")
		require.NoError(t, err)
		require.Len(t, list, 3000)
		testkit.Eventually(t, func() bool {
			if one.Places().Apply(brief(t), []cluster.PlaceChange{{User: "u", Client: "a"}}) != nil {
				return false
			}
			place, err := two.Places().Reserve(brief(t), "u", "b", 1)
			require.NotEqual(t, cluster.PlaceTaken, place)
			return err == nil
		}, "places have a leader")
		leader.Start(t)
		set.AwaitLeader(t)
		awaitReplicas(t, leader, stream)
	}
}

// TestLongPresenceOfAHugeChannelInNATS has more clients than a server lists at once (100,000).
func TestLongPresenceOfAHugeChannelInNATS(t *testing.T) {
	m := presenceNode(t, natsrig.Single(t).URL, natsrig.Prefix(t), 5*time.Minute, 1)
	const clients = 210_000
	var changes []presence.Change
	for n := range clients {
		changes = append(changes, presence.Change{Channel: "ch", Info: &codec.ClientInfo{User: fmt.Sprint(n % 1009), Client: fmt.Sprintf("00000000-0000-4000-8000-%012x", n)}})
	}
	require.NoError(t, m.Apply(t.Context(), changes))
	st, err := m.Stats(t.Context(), "ch")
	require.NoError(t, err)
	require.Equal(t, presence.Stats{Clients: clients, Users: 1009}, st)
	list, err := m.Presence(t.Context(), "ch")
	require.NoError(t, err)
	require.Len(t, list, clients)
}
