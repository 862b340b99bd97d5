package jetstream

import (
	"context"
	"fmt"
	"strings"
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

// started returns an engine that is ready, with what it delivers.
func started(t *testing.T, url, prefix string) (*Engine, *brokertest.Sink) {
	t.Helper()
	e, err := New(Options{NATS: opened(t, nats.Options{URL: url, Prefix: prefix}), Node: natsrig.Prefix(t), Shards: 1, Wait: 20 * time.Second, CallWait: 20 * time.Second})
	require.NoError(t, err)
	sink := brokertest.NewSink()
	require.NoError(t, e.Start(sink))
	t.Cleanup(func() { require.NoError(t, e.Close(context.Background())) })
	testkit.Eventually(t, func() bool { return e.Ready() == nil }, "the engine to be ready")
	return e, sink
}

func publish(t *testing.T, e *Engine, ch, text string, opt broker.PublishOptions) broker.Result {
	t.Helper()
	res, err := e.Publish(t.Context(), ch, &codec.Publication{Data: codec.QuoteJSON(text)}, opt)
	require.NoError(t, err)
	return res
}

var kept = broker.PublishOptions{History: broker.HistoryOptions{Size: 10, TTL: time.Minute, MetaTTL: time.Hour}}

// What others write into a channel's subjects forges nothing, and the channel goes on.
func TestForeignMessages(t *testing.T) {
	server, prefix := natsrig.Single(t), natsrig.Prefix(t)
	e, sink := started(t, server.URL, prefix)
	require.NoError(t, e.Subscribe(t.Context(), []string{"c", "other"}))
	before := publish(t, e, "c", "1", kept)
	sink.Await(t, "c", 1)
	nc := server.Dial(t)
	push := []byte("\x12\x05other\x22\x05\x22\x03\"x\"") // a Push of channel other
	for i, header := range []string{"", "garbage", "1 p " + before.Epoch + " 18446744073709551615 1 1 1", "1 p " + before.Epoch + " 7 9 1 1"} {
		m := &nats.Msg{Subject: e.subj.kept(0, "c"), Data: push, Header: nats.Header{}}
		if header != "" {
			m.Header[headerState] = []string{header}
		}
		_, err := nc.RequestMsgWithContext(t.Context(), m)
		require.NoError(t, err)
		require.NoError(t, nc.Publish(e.subj.live("c"), push))
		require.NoError(t, nc.Publish(e.subj.live("c"), []byte(fmt.Sprint("garbage", i))))
	}
	require.NoError(t, nc.Flush())
	after := publish(t, e, "c", "2", kept)
	require.NotEqual(t, before.Epoch, after.Epoch, "nobody knows where the channel was")
	require.NoError(t, e.Barrier(t.Context()))
	for _, event := range sink.Events("c") {
		if event.Kind == brokertest.Publication {
			require.Contains(t, []string{`"1"`, `"2"`}, event.Pub.Data.String())
		}
	}
	require.Zero(t, len(sink.Events("other")))
	require.NotZero(t, e.Stats().Skipped[skipForeign])
	list, top, err := broker.Read(t.Context(), e, broker.HistoryQuery{Channel: "c", Limit: -1})
	require.NoError(t, err)
	require.Equal(t, after.Position, top)
	require.Len(t, list, 1)
}

// Reads keep a position alive whose history is over, and messages of what is over go.
func TestAPositionThatIsReadStays(t *testing.T) {
	server, prefix := natsrig.Single(t), natsrig.Prefix(t)
	e, _ := started(t, server.URL, prefix)
	const life = 4 * time.Second // of which a stall of the machine may take half
	opt := broker.PublishOptions{History: broker.HistoryOptions{Size: 10, TTL: 100 * time.Millisecond, MetaTTL: life}}
	publish(t, e, "c", "1", opt)
	at := publish(t, e, "c", "2", opt).Position
	js := e.manager
	testkit.Eventually(t, func() bool {
		list, top, err := broker.Read(t.Context(), e, broker.HistoryQuery{Channel: "c", Limit: -1, MetaTTL: life})
		require.NoError(t, err)
		require.Equal(t, at, top)
		info, err := js.Info(t.Context(), e.shards[0].stream)
		require.NoError(t, err)
		return len(list) == 0 && time.Since(info.Created) > 2*life
	}, "two lives of the position")
	subjects, err := js.Subjects(t.Context(), e.shards[0].stream, e.subj.kept(0, "c"))
	require.NoError(t, err)
	require.EqualValues(t, 1, subjects[e.subj.kept(0, "c")])
	require.Equal(t, at.Offset+1, publish(t, e, "c", "3", opt).Offset)
}

// Streams that are not ours, or of other options, are refused with what to do.
func TestOtherStreamsAreRefused(t *testing.T) {
	server, prefix := natsrig.Single(t), natsrig.Prefix(t)
	started(t, server.URL, prefix)
	e, err := New(Options{NATS: opened(t, nats.Options{URL: server.URL, Prefix: prefix}), Shards: 3})
	require.NoError(t, err)
	require.ErrorContains(t, e.Check(t.Context()), "it was made for jetstream.shards 1, here it is 3")
	old := natsrig.Debian(t)
	e, err = New(Options{NATS: opened(t, nats.Options{URL: old.URL, Prefix: prefix})})
	require.NoError(t, err)
	require.ErrorContains(t, e.Check(t.Context()), "2.11 or later")
}

// A server without room keeps nothing and says so.
func TestAServerWithoutRoom(t *testing.T) {
	server, prefix := natsrig.Single(t, natsrig.Store("200KB")), natsrig.Prefix(t)
	e, _ := started(t, server.URL, prefix)
	big := make([]byte, 50_000)
	for i := range big {
		big[i] = 'x'
	}
	var err error
	for range 20 {
		if _, err = e.Publish(t.Context(), "c", &codec.Publication{Data: codec.QuoteJSON(string(big))}, kept); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, broker.ErrUnavailable)
	testkit.Eventually(t, func() bool { return e.Ready() != nil }, "it to be told")
	publish(t, e, "c", "past the stream", broker.PublishOptions{})
}

// A long version epoch is known by its hash, and harms nothing that follows.
func TestALongVersionEpoch(t *testing.T) {
	server, prefix := natsrig.Single(t), natsrig.Prefix(t)
	one, _ := started(t, server.URL, prefix)
	two, _ := started(t, server.URL, prefix)
	long := func(end string) string { return strings.Repeat("é", 50_000) + end }
	f := func(e *Engine, version uint64, vepoch string, suppressed bool, offset uint64) {
		t.Helper()
		opt := kept
		opt.VersionEpoch = vepoch
		res, err := e.Publish(t.Context(), "c", &codec.Publication{Data: codec.QuoteJSON("x"), Version: version}, opt)
		require.NoError(t, err)
		require.Equal(t, suppressed, res.Suppressed)
		require.Equal(t, offset, res.Offset)
	}
	f(one, 2, long("a"), false, 1)
	f(two, 1, long("a"), true, 1)
	f(two, 1, long("b"), false, 2)
	f(one, 0, "", false, 3)
	f(two, 1, long("b"), true, 3)
}

// What was published while a history that was over is removed stays.
func TestWhatIsNewIsNotRemovedWithWhatIsOver(t *testing.T) {
	server, prefix := natsrig.Single(t), natsrig.Prefix(t)
	e, _ := started(t, server.URL, prefix)
	short := kept
	short.History.TTL = time.Millisecond
	publish(t, e, "c", "over", short)
	st, err := e.state(t.Context(), "c")
	require.NoError(t, err)
	testkit.Eventually(t, func() bool { return st.kept(e.now()) > st.top }, "the history to be over")
	for range 3 {
		publish(t, e, "c", "new", kept)
	}
	require.NoError(t, e.api.Purge(t.Context(), e.shards[0].stream, e.subj.kept(0, "c"), st.seq)) // as the janitor does with what it read
	list, top, err := broker.Read(t.Context(), e, broker.HistoryQuery{Channel: "c", Limit: -1})
	require.NoError(t, err)
	require.EqualValues(t, 4, top.Offset)
	require.Len(t, list, 3)
}
