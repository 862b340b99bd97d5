//go:build e2e

package test

import (
	"strings"
	"testing"
	"time"

	"sluice/gateway/testkit/redisrig"
	"sluice/gateway/testkit/tcpproxy"
)

// What goes wrong with Redis.

func TestLongFaultsOfRedis(t *testing.T) {
	sideBySide(t, []namedFault{
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
	})
}

// onSingle is the engine on one server.
func onSingle(t *testing.T, s *redisrig.Server) string {
	return redisEngine(redisrig.Prefix(t), []string{s.Addr}, "")
}

// behind is the engine on one server that a proxy leads to.
func behind(t *testing.T, p *tcpproxy.Proxy) string {
	return redisEngine(redisrig.Prefix(t), []string{p.Addr}, "")
}

func redisStopped(t *testing.T) {
	s := redisrig.Single(t, redisrig.Persist())
	fault(t, onSingle(t, s), harmNone, stopped(t, s))
}

func redisFrozen(t *testing.T) {
	s := redisrig.Single(t)
	fault(t, onSingle(t, s), harmNone, frozen(t, s))
}

func redisKilled(t *testing.T) {
	s := redisrig.Single(t, redisrig.Persist())
	fault(t, onSingle(t, s), harmNone, killed(t, s))
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
	p := tcpproxy.New(t, redisrig.Single(t).Addr)
	fault(t, behind(t, p), harmNone, cutRandomly(t, p, 20_000))
}

func redisHalfDead(t *testing.T) {
	p := tcpproxy.New(t, redisrig.Single(t).Addr)
	fault(t, behind(t, p), harmNone, halfDead(t, p))
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

func redisTooLong(t *testing.T) {
	s := redisrig.Single(t)
	p := tcpproxy.New(t, s.Addr)
	prefix := redisrig.Prefix(t)
	tooLong(t, p, redisEngine(prefix, []string{p.Addr}, ""), redisEngine(prefix, []string{s.Addr}, ""), func(r *trial) {
		r.await("all to be told", (*watcher).wasTold)
	})
}

func redisChaos(t *testing.T) {
	s := redisrig.Single(t, redisrig.Persist())
	p := tcpproxy.New(t, s.Addr)
	fault(t, behind(t, p), harmNone, chaos(t, s, p, 50_000,
		func(func(time.Duration)) { s.KillPubSub(t) },
		func(some func(time.Duration)) {
			p.Mute(true)
			some(2 * time.Second)
			p.Mute(false)
		}))
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
