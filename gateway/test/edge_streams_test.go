package test

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/broker"
	"sluice/gateway/session"
	"sluice/gateway/testkit"
)

// publishing publishes numbers into a channel at its own pace, whoever reads, until stop is
// called, which returns how many there were.
func (s *server) publishing(t *testing.T, channel string, every time.Duration) (stop func() uint64) {
	t.Helper()
	var wg sync.WaitGroup
	done, n := make(chan struct{}), uint64(0)
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				n++
				s.api.Publish(t, channel, fmt.Sprint(n))
			}
		}
	})
	return func() uint64 { close(done); wg.Wait(); return n }
}

// order is that of a channel as its streams tell it: its publications, and which ids stand
// behind each of them.
type order struct {
	pubs map[uint64]string   // the block, without its epoch
	ids  map[uint64][]string // of offsets that a stream told of from its first id to its last
	ends int                 // of streams, that others go beyond
}

var toldEpoch = regexp.MustCompile(`,"epoch":"[^"]*"`)

// compare fails the test unless a stream, which had its planned end, says the same as those
// before it: its backlog, what is behind it, and from its first id on where ids stand.
func (o *order) compare(t *testing.T, blocks []string) {
	t.Helper()
	ids, first, last := make(map[uint64][]string), uint64(0), uint64(0)
	for _, b := range blocks[1 : len(blocks)-1] { // between the delays
		if id, ok := strings.CutPrefix(b, "id: "); ok {
			ids[last] = append(ids[last], id)
			first = cmp.Or(first, last)
			continue
		}
		_, offset, ok := publicationOf(b)
		require.True(t, ok, b)
		b = toldEpoch.ReplaceAllString(b, "")
		require.Equal(t, cmp.Or(o.pubs[offset], b), b)
		o.pubs[offset], last = b, offset
	}
	for at := first; at <= last; at++ {
		known, ok := o.ids[at]
		switch {
		case !ok:
		case at == first || at == last: // it may have missed some before it began, and those behind its end
			for _, id := range ids[at] {
				require.Contains(t, known, id, "behind %d, where the stream began to have ids, or ended", at)
			}
			if at == last {
				o.ends++
			}
			continue
		default:
			require.Equal(t, known, ids[at], "behind %d", at)
		}
		if at != first && at != last {
			o.ids[at] = ids[at]
		}
	}
}

// A quiet channel has ids too: the first stream finds out where it stands.
func TestEdgeQuietChannelsHaveIDs(t *testing.T) {
	s := startEdge(t, "", "")
	s.api.Publish(t, "live:a", "1")
	for _, path := range []string{"/broadcast/live:a", "/broadcast/live:never"} {
		v := view(t, s.addr, path)
		v.await(t, "a checkpoint", func(b []string) bool { return lastID(b) != "" })
		require.NotContains(t, v.text(), ":\n\n")
	}
}

// A stream that ends before its time says when to come back, not before it is stale, and
// nothing else; whatever the reason.
func TestEdgeEarlyEnds(t *testing.T) {
	s := startEdge(t, "", "")
	s.api.Publish(t, "live:a", "1")
	for name, end := range map[string]func(){
		"lost":  func() { s.hub.Lost("live:a") },
		"epoch": func() { s.hub.Resynced("live:a", broker.Position{Offset: 1, Epoch: "another"}) },
		"top":   func() { s.hub.Resynced("live:a", broker.Position{Offset: 9, Epoch: "another"}) },
	} {
		v := view(t, s.addr, "/broadcast/live:a")
		v.await(t, "the backlog", func(b []string) bool { return len(b) == 2 })
		end()
		blocks := v.ended(t)
		require.Equal(t, "retry: 2000", blocks[len(blocks)-1], name)
		require.NotContains(t, v.text(), "disconnect")
		require.Empty(t, lastID(blocks))
	}
	v := view(t, s.addr, "/broadcast/live:a")
	v.await(t, "a checkpoint: it is older than it is fresh", func(b []string) bool { return len(b) == 3 })
	s.hub.Lost("live:a")
	blocks := v.ended(t)
	require.Contains(t, []string{"retry: 500", "retry: 2000"}, blocks[len(blocks)-1]) // the first checkpoint may be a moment early for the stream
	require.NotContains(t, v.text(), "disconnect")
}

func TestEdgeShutdown(t *testing.T) {
	p := edgeParts("", "")
	s := launch(t, fmt.Sprintf(baseConfig, p.sse, p.api, p.client, p.channel))
	s.api.Publish(t, "live:a", "1")
	v := view(t, s.addr, "/broadcast/live:a")
	v.await(t, "the backlog", func(b []string) bool { return len(b) == 2 })
	s.stop(t)
	blocks := v.ended(t)
	require.Equal(t, "retry: 2000", blocks[len(blocks)-1])
	require.NotContains(t, v.text(), "disconnect")
}

// Calls of the API that name connections mean those of users.
func TestEdgeStreamsHaveNoUser(t *testing.T) {
	s := startEdge(t, "", "")
	v := view(t, s.addr, "/broadcast/live:a")
	v.await(t, "the opening", func(b []string) bool { return len(b) == 1 })
	for method, body := range map[string]string{
		"disconnect": `{"user":""}`, "unsubscribe": `{"user":"","channel":"live:a"}`, "subscribe": `{"user":"","channel":"b"}`, "refresh": `{"user":"","expired":true}`,
	} {
		s.api.Call(t, method, body)
	}
	s.api.Publish(t, "live:a", "1")
	v.await(t, "what is published behind them", func(b []string) bool { return len(offsetsIn(t, b)) == 1 })
	require.NotContains(t, v.text(), "disconnect")
	require.NotContains(t, v.text(), "subscribe")
}

// Who is over the limit of a channel is told to come back, and never by a status that an
// EventSource takes for final.
func TestEdgeLimitOfAChannel(t *testing.T) {
	s := startEdge(t, `, "max_origin_streams": 2`, "")
	first, second := view(t, s.addr, "/broadcast/live:a"), view(t, s.addr, "/broadcast.bare/live:a")
	for _, v := range []*viewer{first, second} {
		v.await(t, "the opening", func(b []string) bool { return len(b) == 1 })
	}
	over := view(t, s.addr, "/broadcast/live:a")
	require.Equal(t, 200, over.head.Status)
	require.Equal(t, sharedHead, headOf(over.head, edgeFields...))
	require.Equal(t, []string{"retry: 2000"}, over.ended(t))
	require.Equal(t, 200, view(t, s.addr, "/broadcast/live:b").head.Status)
	require.EqualValues(t, 1, s.edge.Stats().Refused["channel_limit"])
	first.close()
	testkit.Eventually(t, func() bool {
		v := view(t, s.addr, "/broadcast/live:a")
		defer v.close()
		v.await(t, "an answer", func(b []string) bool { return len(b) >= 1 })
		return v.blocks()[0] == "retry: 500"
	}, "the place of the stream that ended")
}

// Strangers who make up channels leave the rest of the node to others.
func TestEdgeLimitOfAllChannels(t *testing.T) {
	p := edgeParts("", "")
	p.client = `, "connection_limit": 5`
	s := startServer(t, p)
	for _, ch := range []string{"a", "b", "c"} { // half of 5
		require.Equal(t, sharedHead, headOf(view(t, s.addr, "/broadcast/live:"+ch).head, edgeFields...))
	}
	over := view(t, s.addr, "/broadcast/live:d")
	require.Equal(t, 200, over.head.Status)
	require.Equal(t, []string{"retry: 2000"}, over.ended(t))
	require.EqualValues(t, 1, s.edge.Stats().Refused["node_limit"])
	h, _ := testkit.RoundTrip(t, s.addr, testkit.Request{Method: "HEAD", Target: "/broadcast/live:d"})
	require.Equal(t, 200, h.Status)
	s.subscribe(t, "live:a")
}

// A front that does not read ends as slow, without a push that everybody behind it would
// take for theirs.
func TestEdgeSlowReaders(t *testing.T) {
	p := edgeParts("", "")
	p.client = `, "queue_max_size": 200000`
	s := startServer(t, p)
	v := &viewer{conn: testkit.Dial(t, s.addr), done: make(chan struct{})}
	v.conn.Send(testkit.Request{Target: "/broadcast/live:a"}.String())
	v.head = v.conn.ReadHead(t)
	big := `"` + strings.Repeat("x", 60_000) + `"`
	testkit.Eventually(t, func() bool {
		s.api.Publish(t, "live:a", big)
		return s.closes()["slow_bytes"] > 0
	}, "the end of a stream that nobody reads")
	go v.read()
	blocks := v.ended(t)
	require.Contains(t, []string{"retry: 500", "retry: 2000"}, blocks[len(blocks)-1], "by its age")
	require.NotContains(t, v.text(), "disconnect")
	require.Equal(t, map[string]uint64{"slow_bytes": 1}, s.closes())
	require.Zero(t, s.edge.Stats().Streams)
}

// A backlog that is shorter than it was to be is counted, and whoever has said where he was
// is told.
func TestEdgeShortBacklogs(t *testing.T) {
	s := startEdge(t, `, "vary_last_event_id": true`, `, "history_size": 3`)
	short := func() [session.Shorts]uint64 { return s.sessions.Stats().ShortBacklogs }
	epoch := s.api.Publish(t, "live:a", "1").Epoch
	first := view(t, s.addr, "/broadcast/live:a")
	for range 5 {
		s.api.Publish(t, "live:a", "2")
	}
	require.Zero(t, short(), "nobody knew how far back it was to reach")
	relay := view(t, s.addr, "/broadcast/live:a", "CDN-Loop", hop("x"), "Last-Event-ID", cursorOf("live:a", epoch, 1))
	relay.await(t, "what it missed", func(b []string) bool { return len(b) == 5 })
	require.Equal(t, `data: {"channel":"live:a","gap":{"dropped":2,"from":2,"to":3}}`, relay.blocks()[1])
	require.EqualValues(t, 1, short()[session.ShortHistory])
	first.close()
}
