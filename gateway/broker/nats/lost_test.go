package nats

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/advice"
	"sluice/gateway/broker"
	"sluice/gateway/broker/brokertest"
	"sluice/gateway/nats"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/natsrig"
)

// Whoever asks after a loss is not told that nothing ever came.
func TestReadySaysThatTheConnectionWasLost(t *testing.T) {
	server := natsrig.Single(t, natsrig.Core())
	e := started(t, nats.Options{URL: server.URL})
	testkit.Eventually(t, func() bool { return e.Ready() == nil }, "the start")
	server.Stop(t)
	testkit.Eventually(t, func() bool { return e.Ready() != nil }, "the loss to be noticed")
	require.ErrorContains(t, e.Ready(), "since the connection was lost")
	require.ErrorIs(t, e.Ready(), broker.ErrUnavailable)
}

func TestWhatNeedsAHistorySaysWhatToSet(t *testing.T) {
	require.ErrorIs(t, errNoHistory, broker.ErrNoHistory)
	require.Contains(t, advice.Remedy(errNoHistory, ""), "broker.nats.jetstream.enabled")
}

// A channel that the user may not subscribe to is refused to who asks for it; one that he may not any more is asked for again.
func TestRefusedChannels(t *testing.T) {
	prefix := natsrig.Prefix(t)
	server, deny := natsrig.Limited(t, prefix+".client.secret")
	e := New(Options{NATS: opened(t, nats.Options{URL: server.URL, Prefix: prefix}), ProbeEvery: 50 * time.Millisecond, Wait: 20 * time.Second, CallWait: 20 * time.Second})
	sink := brokertest.NewSink()
	require.NoError(t, e.Start(sink))
	t.Cleanup(func() { require.NoError(t, e.Close(context.Background())) })
	require.ErrorIs(t, e.Subscribe(t.Context(), []string{"open", "secret"}), nats.ErrRefused)
	require.NoError(t, e.Unsubscribe(t.Context(), []string{"open", "secret"}))
	require.NoError(t, e.Subscribe(t.Context(), []string{"open"}))
	testkit.Eventually(t, func() bool { return e.Ready() == nil }, "the engine to be ready: what one client asks for is not the node's fault")

	refused := func() int { e.mu.Lock(); defer e.mu.Unlock(); return len(e.refused) }
	server.Reload(t, deny, natsrig.Deny(prefix+".client.open"))
	testkit.Eventually(t, func() bool { return refused() == 1 }, "the rights to be gone")
	server.Reload(t, natsrig.Deny(prefix+".client.open"), natsrig.Deny(prefix+".client.>"))
	testkit.Eventually(t, func() bool {
		err := e.Ready()
		return err != nil && strings.Contains(err.Error(), "nothing can be subscribed to")
	}, "all rights to be gone")
	server.Reload(t, natsrig.Deny(prefix+".client.>"), natsrig.Deny("nothing"))
	testkit.Eventually(t, func() bool { return refused() == 0 && e.Ready() == nil }, "the rights to be noticed")
	_, err := e.Publish(t.Context(), "open", &codec.Publication{Data: codec.QuoteJSON("x")}, broker.PublishOptions{})
	require.NoError(t, err)
	sink.Await(t, "open", 1)
}
