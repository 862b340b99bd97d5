package nats

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/broker"
	"sluice/gateway/broker/brokertest"
	"sluice/gateway/cluster"
	"sluice/gateway/cluster/clustertest"
	"sluice/gateway/nats"
	"sluice/gateway/testkit/natsrig"
)

var _ cluster.Carrier = (*Engine)(nil)

// opened returns connections that end with the test.
func opened(t testing.TB, opt nats.Options) *nats.NATS {
	t.Helper()
	n, err := nats.Open(opt)
	require.NoError(t, err)
	t.Cleanup(n.Close)
	return n
}

// started returns an engine that delivers.
func started(t *testing.T, opt nats.Options) *Engine {
	t.Helper()
	e := New(Options{NATS: opened(t, opt), Wait: 20 * time.Second, CallWait: 20 * time.Second})
	require.NoError(t, e.Start(brokertest.NewSink()))
	t.Cleanup(func() { require.NoError(t, e.Close(context.Background())) })
	return e
}

func factory(t *testing.T, url string, change ...func(*Options)) brokertest.Factory {
	prefix := natsrig.Prefix(t)
	return brokertest.Factory{New: func(t *testing.T) broker.Broker {
		o := Options{NATS: opened(t, nats.Options{URL: url, Prefix: prefix}), Wait: 20 * time.Second, CallWait: 20 * time.Second}
		for _, f := range change {
			f(&o)
		}
		return New(o)
	}}
}

func TestSingle(t *testing.T) {
	brokertest.Run(t, factory(t, natsrig.Single(t, natsrig.Core()).URL))
}

// Debian's server is 2.9: it is enough here.
func TestDebian(t *testing.T) {
	brokertest.Run(t, factory(t, natsrig.Debian(t, natsrig.Core()).URL))
}

func TestCarrier(t *testing.T) {
	server := natsrig.Single(t, natsrig.Core())
	clustertest.Carriers(t, true, func(t *testing.T, count int) (carriers []cluster.Carrier) {
		prefix := natsrig.Prefix(t)
		for range count {
			carriers = append(carriers, started(t, nats.Options{URL: server.URL, Prefix: prefix}))
		}
		return carriers
	})
}
