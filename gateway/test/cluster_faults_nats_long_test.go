//go:build e2e

package test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit/natsrig"
	"sluice/gateway/testkit/tcpproxy"
)

// What goes wrong with NATS, over JetStream.

// natsEngine is the sections of an engine on JetStream, with more members of jetstream, each with a comma in
// front.
func natsEngine(prefix, url, more string) string {
	section := fmt.Sprintf(`{"enabled": true, "type": "nats", "nats": {"url": %q, "prefix": %q, "presence_ttl": "20s", "jetstream": {"enabled": true, "shards": 2 %s}}}`, url, prefix, more)
	return `"type": "memory"}, "broker": ` + section + `, "presence_manager": ` + section[:len(section)-1]
}

// streamOf is the name of one of the streams of a prefix of natsrig's.
func streamOf(prefix string, shard int) string {
	return fmt.Sprintf("SLUICE_%s_%d", prefix, shard)
}

func TestLongFaultsOfNATSCluster(t *testing.T) {
	sideBySide(t, []namedFault{
		{"stopped for a while", natsStopped},
		{"frozen", natsFrozen},
		{"killed and started with its data", natsKilled},
		{"killed and started without data", natsEmptied},
		{"connections cut at random bytes", natsCut},
		{"connections refused, stalled, unanswered", natsHalfDead},
		{"a stream purged, and one removed", natsPurged},
		{"cut off for longer than histories reach", natsTooLong},
		{"all of it at random", natsChaos},
		{"leaders killed and started", natsLeaderKilled},
		{"leaders that step down", natsStepDown},
		{"a leaf node cut off", natsLeafCut},
	})
}

func natsStopped(t *testing.T) {
	s := natsrig.Single(t)
	fault(t, natsEngine(natsrig.Prefix(t), s.URL, ""), harmNone, stopped(t, s))
}

func natsFrozen(t *testing.T) {
	s := natsrig.Single(t)
	fault(t, natsEngine(natsrig.Prefix(t), s.URL, ""), harmNone, frozen(t, s))
}

// natsKilled: a server acknowledges before its disk has it.
func natsKilled(t *testing.T) {
	s := natsrig.Single(t)
	fault(t, natsEngine(natsrig.Prefix(t), s.URL, ""), harmLost, killed(t, s))
}

func natsEmptied(t *testing.T) {
	s := natsrig.Single(t)
	fault(t, natsEngine(natsrig.Prefix(t), s.URL, ""), harmLost, func(r *trial) {
		for range 2 {
			s.Kill(t)
			s.Forget(t)
			s.Start(t)
			steady(3 * time.Second)
		}
	})
}

func natsCut(t *testing.T) {
	p := tcpproxy.New(t, natsrig.Single(t).Addr)
	fault(t, natsEngine(natsrig.Prefix(t), p.Addr, ""), harmNone, cutRandomly(t, p, 50_000))
}

func natsHalfDead(t *testing.T) {
	p := tcpproxy.New(t, natsrig.Single(t).Addr)
	fault(t, natsEngine(natsrig.Prefix(t), p.Addr, ""), harmNone, halfDead(t, p))
}

// manage returns what manages streams at a server.
func manage(t *testing.T, s *natsrig.Server) jetstream.JetStream {
	js, err := jetstream.New(s.Dial(t))
	require.NoError(t, err)
	return js
}

func natsPurged(t *testing.T) {
	s := natsrig.Single(t)
	prefix := natsrig.Prefix(t)
	fault(t, natsEngine(prefix, s.URL, ""), harmLost, func(r *trial) {
		js := manage(t, s)
		stream, err := js.Stream(t.Context(), streamOf(prefix, 0))
		require.NoError(t, err)
		require.NoError(t, stream.Purge(t.Context()))
		steady(2 * time.Second)
		require.NoError(t, js.DeleteStream(t.Context(), streamOf(prefix, 1)))
		steady(time.Second)
		r.awaitReady(t, true)
	})
}

func natsTooLong(t *testing.T) {
	s := natsrig.Single(t)
	p := tcpproxy.New(t, s.Addr)
	prefix := natsrig.Prefix(t)
	tooLong(t, p, natsEngine(prefix, p.Addr, ""), natsEngine(prefix, s.URL, ""), func(*trial) {})
}

func natsChaos(t *testing.T) {
	s := natsrig.Single(t)
	p := tcpproxy.New(t, s.Addr)
	fault(t, natsEngine(natsrig.Prefix(t), p.Addr, ""), harmLost, chaos(t, s, p, 100_000))
}

func natsLeaderKilled(t *testing.T) {
	set := natsrig.Cluster(t, 3)
	prefix := natsrig.Prefix(t)
	fault(t, natsEngine(prefix, set.URL(), `, "replicas": 3`), harmNone, func(r *trial) {
		for i := range 2 {
			leader := set.Leader(t, streamOf(prefix, i))
			leader.Kill(t)
			steady(4 * time.Second)
			leader.Start(t)
			r.awaitReady(t, true)
			steady(2 * time.Second)
		}
	})
}

func natsStepDown(t *testing.T) {
	set := natsrig.Cluster(t, 3)
	prefix := natsrig.Prefix(t)
	fault(t, natsEngine(prefix, set.URL(), `, "replicas": 3`), harmNone, func(r *trial) {
		nc := set.Servers[0].Dial(t)
		for i := range 6 {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			_, err := nc.RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+streamOf(prefix, i%2), nil)
			cancel()
			require.NoError(t, err)
			steady(time.Second)
		}
		r.awaitReady(t, true)
	})
}

// natsLeafCut cuts an edge off from its hub for 10 s while gateways at both publish: all streams end complete, or were
// told.
func natsLeafCut(t *testing.T) {
	set := natsrig.Leaf(t)
	prefix := natsrig.Prefix(t)
	const domain = `, "domain": "` + natsrig.HubDomain + `"`
	hub := startFleet(t, 2, natsEngine(prefix, set.Hub.URL, domain))
	edge := startFleet(t, 2, natsEngine(prefix, set.Leaf.URL, domain))
	both := &fleet{gateways: append(hub.gateways, edge.gateways...), addrs: append(hub.addrs, edge.addrs...)}
	faultOf(t, both, harmNone, func(r *trial) {
		set.Cut(t)
		edge.awaitReady(t, false)
		hub.awaitReady(t, true)
		steady(10 * time.Second)
		set.Mend(t)
		r.awaitReady(t, true)
	})
}
