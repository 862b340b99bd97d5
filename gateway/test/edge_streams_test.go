package test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/broker"
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

// segments cuts the blocks of a stream at those with an id that tells something new: by id,
// the blocks up to the next one. Only whole ones count.
func segments(blocks []string) map[string]string {
	all := make(map[string]string)
	at, text := "", ""
	for _, b := range blocks {
		id, ok := strings.CutPrefix(b, "id: ")
		if !ok || id == at {
			text += b + "\n\n"
			continue
		}
		if at != "" {
			all[at] = text
		}
		at, text = id, ""
	}
	return all
}

// All streams of a channel, on all loops, have the same bytes behind their openings, under
// publishing that waits for nobody: what fronts share, and what is compressed once, rests
// on it. They end by plan, behind a checkpoint.
func TestEdgeStreamsAreTheSame(t *testing.T) {
	s := startEdge(t, "", "")
	stops := []func() uint64{s.publishing(t, "live:a", 3*time.Millisecond), s.publishing(t, "live:b", 5*time.Millisecond)}
	var viewers []*viewer
	for range 16 {
		viewers = append(viewers, view(t, s.addr, "/broadcast/live:a"), view(t, s.addr, "/broadcast/live:b"))
		time.Sleep(time.Duration(rand.IntN(80)) * time.Millisecond) // openings at any moment: nothing waits for it
	}
	ids, all := make(map[string]int), make(map[string]string)
	for _, v := range viewers {
		blocks := v.ended(t)
		require.Equal(t, "retry: 500", blocks[0])
		require.True(t, strings.HasPrefix(blocks[len(blocks)-2], "id: "), blocks[len(blocks)-2:])
		require.Equal(t, "retry: 500", blocks[len(blocks)-1], "the delay at the end is one second or less")
		require.Equal(t, 2, strings.Count(v.text(), "retry:"))
		got := offsetsIn(t, blocks)
		require.Equal(t, upTo(got[0], got[0]+uint64(len(got))-1), got, "complete and in order")
		for id, text := range segments(blocks) {
			ids[id]++
			if first, known := all[id]; known {
				require.Equal(t, first, text, "behind %s", id)
			}
			all[id] = text
		}
	}
	require.GreaterOrEqual(t, slices.Max(slices.Collect(valuesOf(ids))), 2, "streams that overlap have ids in common")
	for _, stop := range stops {
		stop()
	}
	st := s.edge.Stats()
	require.Zero(t, st.Streams)
	require.EqualValues(t, 32, st.Opened["shared"])
	require.NotZero(t, st.Checkpoints)
}

func valuesOf(m map[string]int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
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
	<-v.done
	require.NotContains(t, v.text(), "disconnect")
}
