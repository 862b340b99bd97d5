package redis

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/broker"
	"sluice/gateway/broker/brokertest"
	rds "sluice/gateway/redis"
	"sluice/gateway/testkit/redisrig"
)

// opened returns connections that end with the test.
func opened(t testing.TB, opt rds.Options) *rds.Redis {
	t.Helper()
	opt.Node = redisrig.Prefix(t)
	r, err := rds.Open(opt)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	return r
}

// factory makes engines over the same servers.
func factory(t *testing.T, opt rds.Options, change ...func(*Options)) brokertest.Factory {
	opt.Prefix = redisrig.Prefix(t)
	return brokertest.Factory{New: func(t *testing.T) broker.Broker {
		o := Options{Redis: opened(t, opt), Node: redisrig.Prefix(t), Wait: 20 * time.Second, CallWait: 20 * time.Second}
		for _, f := range change {
			f(&o)
		}
		return New(o)
	}}
}

func lists(o *Options) { o.Lists = true }

func TestSingle(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, factory(t, rds.Options{Address: []string{redisrig.Shared(t).Addr}}))
}

func TestRESP2(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, factory(t, rds.Options{Address: []string{redisrig.Shared(t).Addr}, ForceRESP2: true}))
}

func TestLists(t *testing.T) {
	t.Parallel()
	f := factory(t, rds.Options{Address: []string{redisrig.Shared(t).Addr}}, lists)
	f.Unversioned, f.NoDeltas = true, true
	brokertest.Run(t, f)
}

func TestTwoShards(t *testing.T) {
	t.Parallel()
	servers := redisrig.Shards(t, 2)
	brokertest.Run(t, factory(t, rds.Options{Address: []string{servers[0].Addr, servers[1].Addr}}))
}

func TestCluster(t *testing.T) {
	t.Parallel()
	c := redisrig.Cluster(t)
	for name, opt := range map[string]rds.Options{
		"plain":   {},
		"sharded": {ShardedPubSub: true},
		"legacy":  {LegacyClusterChannels: true},
	} {
		t.Run(name, func(t *testing.T) {
			opt.ClusterAddress = c.Addrs()
			brokertest.Run(t, factory(t, opt))
		})
	}
	t.Run("lists", func(t *testing.T) {
		f := factory(t, rds.Options{ClusterAddress: c.Addrs()}, lists)
		f.Unversioned, f.NoDeltas = true, true
		brokertest.Run(t, f)
	})
}

func TestSentinel(t *testing.T) {
	t.Parallel()
	set := redisrig.Sentinel(t)
	brokertest.Run(t, factory(t, rds.Options{SentinelAddress: set.Addrs(), SentinelMasterName: set.Name}))
}

// cut makes engines whose ways to the server break.
func cut(t *testing.T, change ...func(*Options)) brokertest.FaultFactory {
	server := redisrig.Shared(t)
	prefix := redisrig.Prefix(t)
	return brokertest.FaultFactory{Prefix: "", Most: 30 * time.Second, New: func(t *testing.T) (broker.Broker, brokertest.Link) {
		proxy := redisrig.NewProxy(t, server.Addr)
		o := Options{
			Redis: opened(t, rds.Options{Address: []string{proxy.Addr}, Prefix: prefix, IOTimeout: time.Second}),
			Node:  redisrig.Prefix(t), CallWait: 3 * time.Second, ProbeEvery: 100 * time.Millisecond, ProbeLate: 2 * time.Second,
		}
		for _, f := range change {
			f(&o)
		}
		return New(o), brokertest.Link{
			Cut:   func() { proxy.Cut() },
			Down:  func() func() { proxy.Refuse(t, true); proxy.Cut(); return func() { proxy.Refuse(t, false) } },
			Stall: func() func() { proxy.Stall(true); return func() { proxy.Stall(false) } },
		}
	}}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	brokertest.RunFaults(t, cut(t))
}

func TestFaultsWithLists(t *testing.T) {
	t.Parallel()
	brokertest.RunFaults(t, cut(t, lists))
}
