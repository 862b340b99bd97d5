package jetstream

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/broker/brokertest"
	"sluice/gateway/nats"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/natsrig"
)

// ready waits until the engine is.
func ready(t *testing.T, e *Engine) {
	t.Helper()
	testkit.Eventually(t, func() bool { return e.Ready() == nil }, "the engine to be ready")
}

// A stream that goes back gives offsets again: who was at one of those is not told that he has what he has not, whether
// anybody listened or not, and whichever node he asks.
func TestAStreamThatGoesBackHasOtherEpochs(t *testing.T) {
	server, prefix := natsrig.Single(t), natsrig.Prefix(t)
	e, _ := started(t, server.URL, prefix)
	other, _ := started(t, server.URL, prefix)
	channels := []string{"published", "read", "removed", "quiet"}
	for _, ch := range channels {
		for i := range 3 {
			publish(t, e, ch, fmt.Sprint(i), kept)
		}
	}
	server.Stop(t)
	restore := server.Copy(t)
	server.Start(t)
	ready(t, e)
	ready(t, other)
	at := make(map[string]broker.Position)
	for _, ch := range channels {
		for i := range 3 {
			at[ch] = publish(t, e, ch, fmt.Sprint(3+i), kept).Position
		}
	}
	server.Stop(t)
	restore()
	server.Start(t)
	for i := range 4 {
		res := publish(t, e, "published", fmt.Sprint(100+i), kept)
		require.NotZero(t, res.Offset)
	}
	ready(t, e)
	ready(t, other)
	require.NoError(t, e.RemoveHistory(t.Context(), "removed"))
	for _, engine := range []*Engine{other, e} {
		for _, ch := range channels {
			_, top, err := broker.Read(t.Context(), engine, broker.HistoryQuery{Channel: ch, Set: true, Since: at[ch].Offset, Limit: -1, MetaTTL: time.Hour})
			require.NoError(t, err)
			require.NotEqual(t, at[ch].Epoch, top.Epoch, ch)
		}
	}
	// Afterwards all goes on as ever.
	for _, ch := range channels {
		one, two := publish(t, other, ch, "a", kept), publish(t, e, ch, "b", kept)
		require.Equal(t, one.Epoch, two.Epoch, ch)
		require.Equal(t, one.Offset+1, two.Offset, ch)
	}
}

// A stream that was removed has nothing of before: its channels get one epoch, not two.
func TestAStreamThatIsMadeAgainIsNew(t *testing.T) {
	server, prefix := natsrig.Single(t), natsrig.Prefix(t)
	e, err := New(Options{NATS: opened(t, nats.Options{URL: server.URL, Prefix: prefix}), Shards: 1, Wait: time.Second, ProbeLate: time.Second, CallWait: 20 * time.Second})
	require.NoError(t, err)
	require.NoError(t, e.Start(brokertest.NewSink()))
	t.Cleanup(func() { require.NoError(t, e.Close(context.Background())) })
	ready(t, e)
	for range 20 {
		publish(t, e, "c", "x", kept)
	}
	ready(t, e)
	js, err := server.Dial(t).JetStream()
	require.NoError(t, err)
	require.NoError(t, js.DeleteStream(e.shards[0].stream))
	var first broker.Result
	testkit.Eventually(t, func() bool { // one that meets the server while it removes or makes the stream is not answered
		first, err = e.Publish(t.Context(), "c", &codec.Publication{Data: codec.QuoteJSON("y")}, kept)
		return err == nil
	}, "a publication in the new stream")
	probes := e.Stats().Calls[callProbe]
	before := probes.Count()
	testkit.Eventually(t, func() bool { st := e.Stats().Calls[callProbe]; return st.Count() > before+1 }, "probes that see the other stream")
	require.Equal(t, first.Epoch, publish(t, e, "c", "z", kept).Epoch)
}
