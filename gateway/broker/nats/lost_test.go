package nats

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/advice"
	"sluice/gateway/broker"
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
