package jetstream

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/broker"
	"sluice/gateway/broker/brokertest"
	"sluice/gateway/nats"
	"sluice/gateway/testkit/natsrig"
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
