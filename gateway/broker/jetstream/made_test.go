package jetstream

import (
	"log/slog"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"sluice/gateway/nats"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/natsrig"
)

// Whoever asks for other shards, or meets a stream of somebody else, leaves no stream behind.
func TestWhatIsRefusedMakesNoStream(t *testing.T) {
	server, prefix := natsrig.Single(t), natsrig.Prefix(t)
	js, err := jetstream.New(server.Dial(t))
	require.NoError(t, err)
	subj := subjects{prefix}
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: subj.stream(2), Subjects: []string{"foreign"}})
	require.NoError(t, err)
	e, err := New(Options{NATS: opened(t, nats.Options{URL: server.URL, Prefix: prefix}), Shards: 4})
	require.NoError(t, err)
	require.ErrorContains(t, e.Check(t.Context()), "none of ours")
	for _, i := range []int{0, 1, 3} {
		_, err := js.Stream(t.Context(), subj.stream(i))
		require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	}
}

// What a server cannot do is refused with the option that asks for it.
func TestReplicasThatThereAreNotAreRefused(t *testing.T) {
	server := natsrig.Single(t)
	e, err := New(Options{NATS: opened(t, nats.Options{URL: server.URL, Prefix: natsrig.Prefix(t)}), Shards: 1, Replicas: 3})
	require.NoError(t, err)
	err = e.Check(t.Context())
	require.ErrorIs(t, err, nats.ErrRefused)
	require.Equal(t, nats.ReasonReplicas, nats.ReasonOf(err))
}

// Options that a stream was made without are named.
func TestOtherOptionsOfAStreamAreNamed(t *testing.T) {
	server, prefix := natsrig.Single(t), natsrig.Prefix(t)
	started(t, server.URL, prefix)
	var log testkit.LogBuffer
	e, err := New(Options{NATS: opened(t, nats.Options{URL: server.URL, Prefix: prefix}), Shards: 1, Memory: true, MaxBytes: 1 << 20, Log: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	require.NoError(t, e.Check(t.Context()))
	require.Contains(t, log.String(), "made with other options")
}
