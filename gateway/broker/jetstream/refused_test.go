package jetstream

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/broker"
	"sluice/gateway/broker/brokertest"
	"sluice/gateway/nats"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/natsrig"
)

// A channel that the user may not subscribe to is refused to who asks for it, and to nobody else.
func TestARefusedChannelIsRefusedAlone(t *testing.T) {
	prefix := natsrig.Prefix(t)
	server, _ := natsrig.Limited(t, prefix+".client.secret")
	e, _ := started(t, server.URL, prefix)
	err := e.Subscribe(t.Context(), []string{"open", "secret"})
	require.ErrorIs(t, err, nats.ErrRefused)
	require.Equal(t, nats.ReasonNoPerm, nats.ReasonOf(err))
	require.NoError(t, e.Unsubscribe(t.Context(), []string{"open", "secret"}))
	require.NoError(t, e.Subscribe(t.Context(), []string{"open"}))
	require.NoError(t, e.Ready(), "what one client asks for is not the node's fault")
}

// Who may subscribe to no channel is not ready before somebody wants to.
func TestAUserWhoMaySubscribeToNothingIsNotReady(t *testing.T) {
	prefix := natsrig.Prefix(t)
	server, deny := natsrig.Limited(t, prefix+".client.>")
	e, err := New(Options{NATS: opened(t, nats.Options{URL: server.URL, Prefix: prefix}), Node: "n", Shards: 1, ProbeEvery: 50 * time.Millisecond})
	require.NoError(t, err)
	require.NoError(t, e.Start(brokertest.NewSink()))
	t.Cleanup(func() { require.NoError(t, e.Close(context.Background())) })
	testkit.Eventually(t, func() bool { err := e.Ready(); return err != nil && strings.Contains(err.Error(), "may not subscribe") }, "the refusal")
	require.ErrorIs(t, e.Ready(), broker.ErrUnavailable)
	server.Reload(t, deny, natsrig.Deny("nothing"))
	testkit.Eventually(t, func() bool { return e.Ready() == nil }, "the engine to be ready with the rights")
	require.NoError(t, e.Subscribe(t.Context(), []string{"c"}))
}

// What a user may not hear any more comes from the history, and live once he may again.
func TestRightsThatAreTakenAwayCostDelay(t *testing.T) {
	prefix := natsrig.Prefix(t)
	server, deny := natsrig.Limited(t, "nothing")
	e, err := New(Options{NATS: opened(t, nats.Options{URL: server.URL, Prefix: prefix}), Node: "n", Shards: 1, ProbeEvery: 50 * time.Millisecond, Wait: 20 * time.Second, CallWait: 20 * time.Second})
	require.NoError(t, err)
	sink := brokertest.NewSink()
	require.NoError(t, e.Start(sink))
	t.Cleanup(func() { require.NoError(t, e.Close(context.Background())) })
	testkit.Eventually(t, func() bool { return e.Ready() == nil }, "the engine to be ready")
	require.NoError(t, e.Subscribe(t.Context(), []string{"c"}))
	_, _, err = broker.Read(t.Context(), e, broker.HistoryQuery{Channel: "c"})
	require.NoError(t, err)
	publications := func() (offsets []uint64) {
		for _, ev := range sink.Events("c") {
			if ev.Kind == brokertest.Publication {
				offsets = append(offsets, ev.Pub.Offset)
			}
		}
		return offsets
	}
	came := func(n int) {
		t.Helper()
		testkit.Eventually(t, func() bool { return len(publications()) == n }, fmt.Sprint(n, " publications"))
	}
	publish(t, e, "c", "1", kept)
	came(1)
	server.Reload(t, deny, natsrig.Deny(prefix+".client.c"))
	testkit.Eventually(t, func() bool { e.refusals.mu.Lock(); defer e.refusals.mu.Unlock(); return len(e.refusals.channels) == 1 }, "the refusal")
	for i := range 3 {
		publish(t, e, "c", fmt.Sprint(2+i), kept)
	}
	came(4)
	server.Reload(t, natsrig.Deny(prefix+".client.c"), deny)
	testkit.Eventually(t, func() bool { e.refusals.mu.Lock(); defer e.refusals.mu.Unlock(); return len(e.refusals.channels) == 0 }, "the rights to be noticed")
	publish(t, e, "c", "5", kept)
	came(5)
	require.Equal(t, []uint64{1, 2, 3, 4, 5}, publications())
}
