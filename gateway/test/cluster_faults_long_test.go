//go:build e2e

package test

import (
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

// fault runs a fleet on an engine while something goes wrong. loses says that Redis may
// forget what it acknowledged.
func fault(t *testing.T, engine string, loses bool, wrong func(*trial)) {
	t.Helper()
	r := begin(t, startFleet(t, faultGateways, engine), faultSubscribers)
	r.loses = loses
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
		{"failed over by Sentinel", sentinelFailover},
		{"slots migrated", clusterMigrated},
		{"a master of the cluster killed and started", clusterKilled},
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
	fault(t, onSingle(t, s), false, func(r *trial) {
		s.Stop(t)
		r.awaitReady(t, false)
		steady(4 * time.Second)
		s.Start(t)
		r.awaitReady(t, true)
	})
}

func redisFrozen(t *testing.T) {
	s := redisrig.Single(t)
	fault(t, onSingle(t, s), false, func(r *trial) {
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
	fault(t, onSingle(t, s), false, func(r *trial) {
		for range 3 {
			s.Kill(t)
			s.Start(t)
			steady(2 * time.Second)
		}
	})
}

func redisEmptied(t *testing.T) {
	s := redisrig.Single(t)
	fault(t, onSingle(t, s), true, func(r *trial) {
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
	fault(t, redisEngine(redisrig.Prefix(t), []string{p.Addr}, ""), false, func(r *trial) {
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
	fault(t, redisEngine(redisrig.Prefix(t), []string{p.Addr}, ""), false, func(r *trial) {
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
	fault(t, onSingle(t, s), false, func(r *trial) {
		for range 10 {
			s.KillPubSub(t)
			steady(700 * time.Millisecond)
		}
	})
}

func redisReadOnly(t *testing.T) {
	s := redisrig.Single(t)
	fault(t, onSingle(t, s), false, func(r *trial) {
		s.ReadOnly(t)
		r.awaitReady(t, false)
		steady(2 * time.Second)
		s.Writable(t)
		r.awaitReady(t, true)
	})
}

func sentinelFailover(t *testing.T) {
	set := redisrig.Sentinel(t)
	engine := redisEngine(redisrig.Prefix(t), nil, `, "sentinel_address": `+quotedList(set.Addrs())+`, "sentinel_master_name": "`+set.Name+`"`)
	fault(t, engine, true, func(r *trial) {
		for range 2 {
			old, _ := set.Failover(t)
			old.Start(t)
			steady(4 * time.Second)
		}
	})
}

// onCluster is the engine on a Cluster.
func onCluster(t *testing.T, c *redisrig.RedisCluster) string {
	return redisEngine(redisrig.Prefix(t), nil, `, "cluster_address": `+quotedList(c.Addrs()))
}

func clusterMigrated(t *testing.T) {
	c := redisrig.Cluster(t)
	fault(t, onCluster(t, c), false, func(r *trial) {
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

func clusterKilled(t *testing.T) {
	c := redisrig.Cluster(t, redisrig.Persist())
	fault(t, onCluster(t, c), false, func(r *trial) {
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
	fault(t, engine, false, func(r *trial) {
		shards[1].Stop(t)
		steady(4 * time.Second)
		shards[1].Start(t)
	})
}
