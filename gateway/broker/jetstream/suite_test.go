package jetstream

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/broker"
	"sluice/gateway/broker/brokertest"
	"sluice/gateway/nats"
	"sluice/gateway/testkit/natsrig"
	"sluice/gateway/testkit/redisrig"
)

// opened returns connections that end with the test.
func opened(t testing.TB, opt nats.Options) *nats.NATS {
	t.Helper()
	n, err := nats.Open(opt)
	require.NoError(t, err)
	t.Cleanup(n.Close)
	return n
}

// factory makes engines over the same servers.
func factory(t *testing.T, url string, change ...func(*Options)) brokertest.Factory {
	prefix := natsrig.Prefix(t)
	return brokertest.Factory{New: func(t *testing.T) broker.Broker {
		o := Options{
			NATS: opened(t, nats.Options{URL: url, Prefix: prefix}), Node: natsrig.Prefix(t), Shards: 2, Memory: true,
			Wait: 20 * time.Second, CallWait: 20 * time.Second,
		}
		for _, f := range change {
			f(&o)
		}
		e, err := New(o)
		require.NoError(t, err)
		e.oldest.Store(o.Node == "oldest")
		require.NoError(t, e.Check(t.Context()))
		return e
	}}
}

func TestSingle(t *testing.T) {
	brokertest.Run(t, factory(t, natsrig.Single(t).URL))
}

// Servers of 2.11 have no batches: each publication is kept for itself.
func TestWithoutBatches(t *testing.T) {
	brokertest.Run(t, factory(t, natsrig.Single(t).URL, func(o *Options) { o.Node = "oldest" }))
}

func TestClusterOfThree(t *testing.T) {
	set := natsrig.Cluster(t, 3)
	f := factory(t, set.URL(), func(o *Options) { o.Replicas = 3 })
	f.Apart = true
	brokertest.Run(t, f)
}

func TestFaults(t *testing.T) {
	server, prefix := natsrig.Single(t), natsrig.Prefix(t)
	brokertest.RunFaults(t, brokertest.FaultFactory{Most: 30 * time.Second, KeepsMore: true, New: func(t *testing.T) (broker.Broker, brokertest.Link) {
		proxy := redisrig.NewProxy(t, server.Addr)
		e, err := New(Options{
			NATS: opened(t, nats.Options{URL: proxy.Addr, Prefix: prefix}), Node: natsrig.Prefix(t), Shards: 2, CallWait: 3 * time.Second,
			ProbeEvery: 100 * time.Millisecond, ProbeLate: 2 * time.Second,
		})
		require.NoError(t, err)
		return e, brokertest.Link{
			Cut:   func() { proxy.Cut() },
			Down:  func() func() { proxy.Refuse(t, true); proxy.Cut(); return func() { proxy.Refuse(t, false) } },
			Stall: func() func() { proxy.Stall(true); return func() { proxy.Stall(false) } },
		}
	}})
}
