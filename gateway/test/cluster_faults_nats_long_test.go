//go:build e2e

package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit/natsrig"
	"sluice/gateway/testkit/redisrig"
)

// What goes wrong with NATS while three gateways publish and deliver over JetStream: as with Redis.

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
	for _, c := range []struct {
		name string
		run  func(t *testing.T)
	}{
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
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t)
		})
	}
}

func natsStopped(t *testing.T) {
	s := natsrig.Single(t)
	fault(t, natsEngine(natsrig.Prefix(t), s.URL, ""), harmNone, func(r *trial) {
		s.Stop(t)
		r.awaitReady(t, false)
		steady(4 * time.Second)
		s.Start(t)
		r.awaitReady(t, true)
	})
}

func natsFrozen(t *testing.T) {
	s := natsrig.Single(t)
	fault(t, natsEngine(natsrig.Prefix(t), s.URL, ""), harmNone, func(r *trial) {
		for _, d := range []time.Duration{300 * time.Millisecond, 6 * time.Second} {
			s.Freeze(t)
			steady(d)
			if d > time.Second {
				r.awaitReady(t, false)
			}
			s.Thaw(t)
			r.awaitReady(t, true)
		}
	})
}

// natsKilled: a server acknowledges before its disk has it.
func natsKilled(t *testing.T) {
	s := natsrig.Single(t)
	fault(t, natsEngine(natsrig.Prefix(t), s.URL, ""), harmLost, func(r *trial) {
		for range 3 {
			s.Kill(t)
			s.Start(t)
			steady(2 * time.Second)
		}
	})
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
	s := natsrig.Single(t)
	p := redisrig.NewProxy(t, s.Addr)
	fault(t, natsEngine(natsrig.Prefix(t), p.Addr, ""), harmNone, func(r *trial) {
		p.CutRandomly(uint64(time.Now().UnixNano()), 50_000)
		steady(10 * time.Second)
		p.CutAfter(redisrig.ToServer, -1)
		_, _, cut := p.Counts()
		t.Logf("%d connections cut", cut)
	})
}

func natsHalfDead(t *testing.T) {
	s := natsrig.Single(t)
	p := redisrig.NewProxy(t, s.Addr)
	fault(t, natsEngine(natsrig.Prefix(t), p.Addr, ""), harmNone, func(r *trial) {
		p.Refuse(t, true)
		p.Cut()
		steady(3 * time.Second)
		p.Refuse(t, false)
		steady(2 * time.Second)
		p.Stall(true)
		steady(4 * time.Second)
		p.Stall(false)
		steady(2 * time.Second)
		p.Mute(true)
		steady(4 * time.Second)
		p.Mute(false)
		p.Delay(20 * time.Millisecond)
		steady(2 * time.Second)
		p.Delay(0)
	})
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

// natsTooLong cuts three gateways off while a fourth goes on publishing, for more than
// histories keep.
func natsTooLong(t *testing.T) {
	s := natsrig.Single(t)
	p := redisrig.NewProxy(t, s.Addr)
	prefix := natsrig.Prefix(t)
	f := startFleet(t, faultGateways, natsEngine(prefix, p.Addr, ""))
	f.posts = startFleet(t, 1, natsEngine(prefix, s.URL, "")).addrs
	faultOf(t, f, harmTrimmed, func(r *trial) {
		p.Refuse(t, true)
		p.Cut()
		steady(6 * time.Second)
		p.Refuse(t, false)
		r.awaitReady(t, true)
	})
}

// natsChaos does what the other faults do, one after another and at random.
func natsChaos(t *testing.T) {
	s := natsrig.Single(t)
	p := redisrig.NewProxy(t, s.Addr)
	fault(t, natsEngine(natsrig.Prefix(t), p.Addr, ""), harmLost, func(r *trial) {
		rnd := rand.New(rand.NewPCG(r.seed, 1))
		some := func(most time.Duration) { steady(time.Duration(rnd.Int64N(int64(most)))) }
		for begun := time.Now(); time.Since(begun) < 25*time.Second; some(time.Second) {
			switch rnd.IntN(6) {
			case 0:
				s.Kill(t)
				some(time.Second)
				s.Start(t)
			case 1:
				s.Freeze(t)
				some(2 * time.Second)
				s.Thaw(t)
			case 2:
				p.Cut()
			case 3:
				p.Refuse(t, true)
				p.Cut()
				some(time.Second)
				p.Refuse(t, false)
			case 4:
				p.Stall(true)
				some(2 * time.Second)
				p.Stall(false)
			case 5:
				p.CutRandomly(rnd.Uint64(), 100_000)
				some(2 * time.Second)
				p.CutAfter(redisrig.ToServer, -1)
			}
		}
	})
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
