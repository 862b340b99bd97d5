//go:build e2e

package test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/broker"
	"sluice/gateway/broker/brokertest"
	engine "sluice/gateway/broker/redis"
	"sluice/gateway/redis"
	"sluice/gateway/testkit/redisrig"
	"sluice/gateway/testkit/tcpproxy"
)

// engineConns returns connections that end with the test.
func engineConns(t *testing.T, opt redis.Options) *redis.Redis {
	t.Helper()
	opt.Node = redisrig.Prefix(t)
	r, err := redis.Open(opt)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	return r
}

// engines makes nodes of one fleet over the same servers.
func engines(t *testing.T, opt redis.Options, lists bool) brokertest.Factory {
	opt.Prefix = redisrig.Prefix(t)
	return brokertest.Factory{Unversioned: lists, NoDeltas: lists, New: func(t *testing.T) broker.Broker {
		return engine.New(engine.Options{
			Redis: engineConns(t, opt), Node: redisrig.Prefix(t), Lists: lists, Wait: 20 * time.Second, CallWait: 20 * time.Second,
		})
	}}
}

// TestLongEngineOnRedis runs the suite of engines on every kind of Redis; on a single one
// `make test` does.
func TestLongEngineOnRedis(t *testing.T) {
	run := func(name string, opt redis.Options, lists bool) {
		t.Run(name, func(t *testing.T) { brokertest.Run(t, engines(t, opt, lists)) })
	}
	run("resp2", redis.Options{Address: []string{redisrig.Shared(t).Addr}, ForceRESP2: true}, false)
	servers := redisrig.Shards(t, 2)
	run("two_shards", redis.Options{Address: []string{servers[0].Addr, servers[1].Addr}}, false)
	set := redisrig.Sentinel(t)
	run("sentinel", redis.Options{SentinelAddress: set.Addrs(), SentinelMasterName: set.Name}, false)
	cluster := redisrig.Cluster(t).Addrs()
	run("cluster", redis.Options{ClusterAddress: cluster}, false)
	run("cluster_sharded", redis.Options{ClusterAddress: cluster, ShardedPubSub: true}, false)
	run("cluster_legacy", redis.Options{ClusterAddress: cluster, LegacyClusterChannels: true}, false)
	run("cluster_lists", redis.Options{ClusterAddress: cluster}, true)
}

// TestLongEngineOnRedisFaults runs the suite of faults: connections that are cut, refused,
// and stand still.
func TestLongEngineOnRedisFaults(t *testing.T) {
	for name, lists := range map[string]bool{"streams": false, "lists": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, prefix := redisrig.Shared(t), redisrig.Prefix(t)
			brokertest.RunFaults(t, brokertest.FaultFactory{Most: 30 * time.Second, New: func(t *testing.T) (broker.Broker, brokertest.Link) {
				proxy := tcpproxy.New(t, server.Addr)
				conns := engineConns(t, redis.Options{Address: []string{proxy.Addr}, Prefix: prefix, IOTimeout: time.Second})
				n := engine.New(engine.Options{
					Redis: conns, Node: redisrig.Prefix(t), Lists: lists, CallWait: 3 * time.Second,
					ProbeEvery: 100 * time.Millisecond, ProbeLate: 2 * time.Second,
				})
				return n, brokertest.Link{
					Cut:   func() { proxy.Cut() },
					Down:  func() func() { proxy.Refuse(t, true); proxy.Cut(); return func() { proxy.Refuse(t, false) } },
					Stall: func() func() { proxy.Stall(true); return func() { proxy.Stall(false) } },
				}
			}})
		})
	}
}
