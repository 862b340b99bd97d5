//go:build e2e

package test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"sluice/gateway/testkit/redisrig"
)

// What goes wrong with Redis while three gateways publish and deliver: afterwards every
// subscriber has all publications, once and in order, or was told; no gateway is stuck; and
// no publish was called a success that was none.

// Sizes of these runs.
const (
	faultGateways    = 3
	faultSubscribers = 200
	beforeFault      = 2 * time.Second
	afterFault       = 3 * time.Second
)

// harm is what a fault may do at most, beside delays.
type harm int

const (
	harmNone harm = iota
	// harmLost: Redis forgets what it acknowledged.
	harmLost
	// harmTrimmed: histories are shorter than what was missed.
	harmTrimmed
)

// fault runs a fleet on an engine while something goes wrong.
func fault(t *testing.T, engine string, most harm, wrong func(*trial)) {
	t.Helper()
	faultOf(t, startFleet(t, faultGateways, engine), most, wrong)
}

// faultOf is fault with a fleet that runs already.
func faultOf(t *testing.T, f *fleet, most harm, wrong func(*trial)) {
	t.Helper()
	namespace := "rr"
	if most == harmTrimmed {
		namespace = "short"
	}
	r := begin(t, f, namespace, faultSubscribers)
	r.loses, r.tells = most == harmLost, most == harmTrimmed
	steady(beforeFault)
	wrong(r)
	steady(afterFault)
	r.finish()
}

func TestLongFaultsOfRedis(t *testing.T) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"stopped for a while", redisStopped},
		{"frozen", redisFrozen},
		{"killed and started with its data", redisKilled},
		{"killed and started without data", redisEmptied},
		{"connections cut at random bytes", redisCut},
		{"connections refused, stalled, unanswered", redisHalfDead},
		{"subscriptions killed", redisPubSubKilled},
		{"a replica for a while", redisReadOnly},
		{"cut off for longer than histories reach", redisTooLong},
		{"all of it at random", redisChaos},
		{"failed over by Sentinel", sentinelFailover},
		{"failed over to a replica that lacks writes", sentinelLostWrites},
		{"slots migrated", func(t *testing.T) { clusterMigrated(t, "") }},
		{"slots migrated, sharded pub/sub", func(t *testing.T) { clusterMigrated(t, `, "sharded_pubsub": true`) }},
		{"a master of the cluster killed and started", func(t *testing.T) { clusterKilled(t, "") }},
		{"a master of the cluster killed and started, sharded pub/sub", func(t *testing.T) { clusterKilled(t, `, "sharded_pubsub": true`) }},
		{"one of two shards stopped", shardStopped},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t)
		})
	}
}

// onSingle is the engine on one server.
func onSingle(t *testing.T, s *redisrig.Server) string {
	return redisEngine(redisrig.Prefix(t), []string{s.Addr}, "")
}

func redisStopped(t *testing.T) {
	s := redisrig.Single(t, redisrig.Persist())
	fault(t, onSingle(t, s), harmNone, func(r *trial) {
		s.Stop(t)
		r.awaitReady(t, false)
		steady(4 * time.Second)
		s.Start(t)
		r.awaitReady(t, true)
	})
}

func redisFrozen(t *testing.T) {
	s := redisrig.Single(t)
	fault(t, onSingle(t, s), harmNone, func(r *trial) {
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

func redisKilled(t *testing.T) {
	s := redisrig.Single(t, redisrig.Persist())
	fault(t, onSingle(t, s), harmNone, func(r *trial) {
		for range 3 {
			s.Kill(t)
			s.Start(t)
			steady(2 * time.Second)
		}
	})
}

func redisEmptied(t *testing.T) {
	s := redisrig.Single(t)
	fault(t, onSingle(t, s), harmLost, func(r *trial) {
		for range 2 {
			s.Kill(t)
			s.StartEmpty(t)
			steady(3 * time.Second)
		}
	})
}

func redisCut(t *testing.T) {
	s := redisrig.Single(t)
	p := redisrig.NewProxy(t, s.Addr)
	fault(t, redisEngine(redisrig.Prefix(t), []string{p.Addr}, ""), harmNone, func(r *trial) {
		p.CutRandomly(uint64(time.Now().UnixNano()), 20_000)
		steady(10 * time.Second)
		p.CutAfter(redisrig.ToServer, -1)
		_, _, cut := p.Counts()
		t.Logf("%d connections cut", cut)
	})
}

func redisHalfDead(t *testing.T) {
	s := redisrig.Single(t)
	p := redisrig.NewProxy(t, s.Addr)
	fault(t, redisEngine(redisrig.Prefix(t), []string{p.Addr}, ""), harmNone, func(r *trial) {
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

func redisPubSubKilled(t *testing.T) {
	s := redisrig.Single(t)
	fault(t, onSingle(t, s), harmNone, func(r *trial) {
		for range 10 {
			s.KillPubSub(t)
			steady(700 * time.Millisecond)
		}
	})
}

func redisReadOnly(t *testing.T) {
	s := redisrig.Single(t)
	fault(t, onSingle(t, s), harmNone, func(r *trial) {
		s.ReadOnly(t)
		r.awaitReady(t, false)
		steady(2 * time.Second)
		s.Writable(t)
		r.awaitReady(t, true)
	})
}

// redisTooLong cuts three gateways off while a fourth goes on publishing, for more than
// histories keep.
func redisTooLong(t *testing.T) {
	s := redisrig.Single(t)
	p := redisrig.NewProxy(t, s.Addr)
	prefix := redisrig.Prefix(t)
	f := startFleet(t, faultGateways, redisEngine(prefix, []string{p.Addr}, ""))
	f.posts = startFleet(t, 1, redisEngine(prefix, []string{s.Addr}, "")).addrs
	faultOf(t, f, harmTrimmed, func(r *trial) {
		p.Refuse(t, true)
		p.Cut()
		steady(6 * time.Second)
		p.Refuse(t, false)
		r.awaitReady(t, true)
		r.await("all to be told", (*watcher).wasTold)
	})
}

// redisChaos does what the other faults do, one after another and at random.
func redisChaos(t *testing.T) {
	s := redisrig.Single(t, redisrig.Persist())
	p := redisrig.NewProxy(t, s.Addr)
	fault(t, redisEngine(redisrig.Prefix(t), []string{p.Addr}, ""), harmNone, func(r *trial) {
		rnd := rand.New(rand.NewPCG(r.seed, 1))
		some := func(most time.Duration) { steady(time.Duration(rnd.Int64N(int64(most)))) }
		for begun := time.Now(); time.Since(begun) < 25*time.Second; some(time.Second) {
			switch rnd.IntN(8) {
			case 0:
				s.KillPubSub(t)
			case 1:
				s.Kill(t)
				some(time.Second)
				s.Start(t)
			case 2:
				s.Freeze(t)
				some(2 * time.Second)
				s.Thaw(t)
			case 3:
				p.Cut()
			case 4:
				p.Refuse(t, true)
				p.Cut()
				some(time.Second)
				p.Refuse(t, false)
			case 5:
				p.Stall(true)
				some(2 * time.Second)
				p.Stall(false)
			case 6:
				p.CutRandomly(rnd.Uint64(), 50_000)
				some(2 * time.Second)
				p.CutAfter(redisrig.ToServer, -1)
			case 7:
				p.Mute(true)
				some(2 * time.Second)
				p.Mute(false)
			}
		}
	})
}

// onSentinel is the engine on what Sentinels watch.
func onSentinel(t *testing.T, set *redisrig.SentinelSet) string {
	return redisEngine(redisrig.Prefix(t), nil, `, "sentinel_address": "`+strings.Join(set.Addrs(), ",")+`", "sentinel_master_name": "`+set.Name+`"`)
}

// sentinelLostWrites fails over to a replica that had nothing for the last second.
func sentinelLostWrites(t *testing.T) {
	set := redisrig.Sentinel(t)
	fault(t, onSentinel(t, set), harmLost, func(r *trial) {
		set.Detach(t)
		steady(time.Second)
		old, _ := set.Failover(t)
		old.Start(t)
		r.await("all to be told", (*watcher).wasTold)
	})
}

func sentinelFailover(t *testing.T) {
	set := redisrig.Sentinel(t)
	fault(t, onSentinel(t, set), harmLost, func(r *trial) {
		for range 2 {
			old, _ := set.Failover(t)
			old.Start(t)
			steady(4 * time.Second)
		}
	})
}

// onCluster is the engine on a Cluster.
func onCluster(t *testing.T, c *redisrig.RedisCluster, more string) string {
	return redisEngine(redisrig.Prefix(t), nil, `, "cluster_address": "`+strings.Join(c.Addrs(), ",")+`"`+more)
}

func clusterMigrated(t *testing.T, more string) {
	c := redisrig.Cluster(t)
	fault(t, onCluster(t, c, more), harmNone, func(r *trial) {
		for i, ch := range r.channels {
			slot := c.Slot(t, "{"+ch+"}")
			to := c.Masters[i%len(c.Masters)]
			if to == c.Owner(t, slot) {
				to = c.Masters[(i+1)%len(c.Masters)]
			}
			c.MigrateSlot(t, slot, to, func() { steady(100 * time.Millisecond) })
		}
	})
}

func clusterKilled(t *testing.T, more string) {
	c := redisrig.Cluster(t, redisrig.Persist())
	fault(t, onCluster(t, c, more), harmNone, func(r *trial) {
		for _, m := range c.Masters[:2] {
			m.Kill(t)
			steady(2 * time.Second)
			m.Start(t)
			steady(5 * time.Second)
		}
	})
}

func shardStopped(t *testing.T) {
	shards := redisrig.Shards(t, 2, redisrig.Persist())
	engine := redisEngine(redisrig.Prefix(t), []string{shards[0].Addr, shards[1].Addr}, "")
	fault(t, engine, harmNone, func(r *trial) {
		shards[1].Stop(t)
		steady(4 * time.Second)
		shards[1].Start(t)
	})
}
