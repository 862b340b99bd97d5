package jetstream

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/broker"
	"sluice/gateway/broker/brokertest"
	"sluice/gateway/nats"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/natsrig"
)

// A server without JetStream is named as what it is, once for all streams, with what to do.
func TestAServerWithoutJetStreamIsNamedOnce(t *testing.T) {
	server := natsrig.Single(t, natsrig.Core())
	var log testkit.LogBuffer
	e, err := New(Options{NATS: opened(t, nats.Options{URL: server.URL, Prefix: natsrig.Prefix(t)}), Shards: 4, Log: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	require.NoError(t, e.Check(t.Context()), "it may be there later")
	require.NoError(t, e.Start(brokertest.NewSink()))
	t.Cleanup(func() { require.NoError(t, e.Close(context.Background())) })
	testkit.Eventually(t, func() bool { return e.Stats().Failed >= 4 }, "all probes to fail")
	ready := e.Ready()
	require.ErrorIs(t, ready, broker.ErrUnavailable)
	require.Equal(t, 1, strings.Count(ready.Error(), "turn JetStream on"), ready)
	for _, s := range e.shards {
		require.Equal(t, 1, strings.Count(ready.Error(), s.stream), ready)
	}
	require.Contains(t, log.String(), "turn JetStream on")
}
