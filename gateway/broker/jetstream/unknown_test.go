package jetstream

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/broker/brokertest"
	"sluice/gateway/nats"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/natsrig"
	"sluice/gateway/testkit/tcpproxy"
)

// A publication whose answer was lost, and which could not be tried again in time, may have been kept: that is what is told.
func TestWhatMayHaveBeenKeptIsNotToldToBeNot(t *testing.T) {
	server := natsrig.Single(t)
	proxy := tcpproxy.New(t, server.Addr)
	e, err := New(Options{NATS: opened(t, nats.Options{URL: proxy.Addr, Prefix: natsrig.Prefix(t)}), Shards: 1, Wait: time.Second, CallWait: 20 * time.Second})
	require.NoError(t, err)
	require.NoError(t, e.Start(brokertest.NewSink()))
	t.Cleanup(func() { require.NoError(t, e.Close(context.Background())) })
	testkit.Eventually(t, func() bool { return e.Ready() == nil }, "the engine to be ready")
	publish(t, e, "c", "1", kept)
	proxy.Mute(true) // the server gets it, its answer is lost
	opt := kept
	opt.IdempotencyKey = "k"
	done := make(chan error, 1)
	go func() {
		_, err := e.Publish(context.Background(), "c", &codec.Publication{Data: codec.QuoteJSON("2")}, opt)
		done <- err
	}()
	testkit.Eventually(t, func() bool { return e.nats.Stats().Calls.UnderWay > 0 }, "the publication to be under way")
	proxy.Refuse(t, true)
	proxy.Cut()
	err = <-done
	require.ErrorIs(t, err, broker.ErrUnknown)
	proxy.Refuse(t, false)
	proxy.Mute(false)
	testkit.Eventually(t, func() bool { return e.Ready() == nil }, "the engine to be back")
	res, err := e.Publish(t.Context(), "c", &codec.Publication{Data: codec.QuoteJSON("2")}, opt)
	require.NoError(t, err)
	require.EqualValues(t, 2, res.Offset)
}
