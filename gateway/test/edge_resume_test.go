package test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/testkit"
)

// cursorOf is the id of a position.
func cursorOf(ch, epoch string, offset uint64) string {
	return string(codec.AppendCursorEntry(nil, codec.CursorEntry{Channel: codec.Tag32(ch), Epoch: codec.Tag32(epoch), Offset: offset}))
}

// follower of a channel: it is cut at any moment and comes back after the delay that it was
// told, with the last id it has or without, as pages do, and drops repeats by offset.
type chaser struct {
	t       *testing.T
	addr    string
	withID  bool
	next    uint64 // offset; 0 before the first
	id      string
	retry   time.Duration
	holes   []string
	visits  int
	repeats int
}

// visit reads until the stream ends, is cut after so many blocks or has come to a
// publication, and follows one redirect.
func (c *chaser) visit(cut int, last uint64) {
	path := "/broadcast/live:a"
	for range 2 {
		lines := []string{}
		if c.withID && c.id != "" {
			lines = []string{"Last-Event-ID", c.id}
		}
		v := view(c.t, c.addr, path, lines...)
		if v.head.Status == 307 {
			path = v.head.Get("Location")
			v.close()
			continue
		}
		require.Equal(c.t, 200, v.head.Status)
		ended := func() bool {
			select {
			case <-v.done:
				return true
			default:
				return false
			}
		}
		testkit.Eventually(c.t, func() bool {
			return ended() || len(v.blocks()) >= cut || last > 0 && strings.Contains(v.text(), fmt.Sprintf(`"offset":%d}`, last))
		}, "enough of a stream")
		v.close()
		c.take(v.blocks())
		c.visits++
		return
	}
	c.t.Error("the bare path redirects")
}

func (c *chaser) take(blocks []string) {
	for _, b := range blocks {
		if _, offset, ok := publicationOf(b); ok {
			switch {
			case c.next == 0 || offset == c.next:
				c.next = offset + 1
			case offset < c.next:
				c.repeats++
			default:
				c.holes = append(c.holes, fmt.Sprintf("%d instead of %d", offset, c.next))
				c.next = offset + 1
			}
			continue
		}
		if id, ok := strings.CutPrefix(b, "id: "); ok {
			c.id = id
		}
		var ms int
		if n, _ := fmt.Sscanf(b, "retry: %d", &ms); n == 1 {
			c.retry = time.Duration(ms) * time.Millisecond
		}
	}
}

// With vary_last_event_id a live id has the stream begin behind it; any other goes where ids
// mean nothing, and nothing is opened for it.
func TestEdgeIDs(t *testing.T) {
	s := startEdge(t, `, "vary_last_event_id": true, "max_origin_streams": 3`, "")
	s.api.Publish(t, "live:a", "1")
	v := view(t, s.addr, "/broadcast/live:a")
	require.Equal(t, "Last-Event-ID", v.head.Get("Vary"))
	epoch := v.head.Get("Sluice-Epoch")
	v.await(t, "a checkpoint", func(b []string) bool { return lastID(b) != "" })
	id := lastID(v.blocks())
	require.Equal(t, cursorOf("live:a", epoch, 1), id)
	s.api.Publish(t, "live:a", "2")
	again := view(t, s.addr, "/broadcast/live:a", "Last-Event-ID", id)
	require.Equal(t, 200, again.head.Status)
	require.Equal(t, "Last-Event-ID", again.head.Get("Vary"))
	again.await(t, "the backlog", func(b []string) bool { return len(b) >= 2 })
	require.Equal(t, []uint64{2}, offsetsIn(t, again.blocks()))
	bare := view(t, s.addr, "/broadcast.bare/live:a", "Last-Event-ID", id)
	require.Empty(t, bare.head.Values("Vary"))
	bare.await(t, "the backlog", func(b []string) bool { return len(b) >= 3 })
	require.Equal(t, []uint64{1, 2}, offsetsIn(t, bare.blocks()))

	dead := []string{cursorOf("live:a", epoch, 2), cursorOf("live:a", "other", 1), cursorOf("live:b", epoch, 1), id + id, "x", "!3500", "🙂", strings.Repeat("B", 4000)}
	for range 1000 {
		dead = append(dead, cursorOf("live:a", epoch, rand.Uint64N(1<<40)+3))
	}
	for _, id := range dead {
		h, body := testkit.RoundTrip(t, s.addr, testkit.Request{Target: "/broadcast/live:a", Headers: [][2]string{{"Last-Event-ID", id}}})
		require.Equal(t, 307, h.Status, id)
		require.Empty(t, body)
		require.Equal(t, "Access-Control-Allow-Origin: *\nCache-Control: public, max-age=1\nVary: Last-Event-ID\nLocation: /broadcast.bare/live:a\n",
			headOf(h, "Access-Control-Allow-Origin", "Cache-Control", "Vary", "Location"))
	}
	st := s.edge.Stats()
	require.EqualValues(t, len(dead), st.Redirects)
	require.LessOrEqual(t, st.Streams, 3)
}

// A live id that the history does not reach back to any more is as good as none.
func TestEdgeIDsBehindTheHistory(t *testing.T) {
	s := startEdge(t, `, "vary_last_event_id": true`, `, "history_size": 2`)
	s.api.Publish(t, "live:a", "1")
	v := view(t, s.addr, "/broadcast/live:a")
	v.await(t, "a checkpoint", func(b []string) bool { return lastID(b) != "" })
	id := lastID(v.blocks())
	for n := 2; n <= 5; n++ {
		s.api.Publish(t, "live:a", fmt.Sprint(n))
	}
	h, _ := testkit.RoundTrip(t, s.addr, testkit.Request{Method: "HEAD", Target: "/broadcast/live:a", Headers: [][2]string{{"Last-Event-ID", id}}})
	require.Equal(t, 307, h.Status)
}

// A backlog of all that is kept has a megabyte of the newest at most.
func TestEdgeBacklogsAreBounded(t *testing.T) {
	s := startEdge(t, "", "")
	big := `"` + strings.Repeat("x", 100_000) + `"`
	for range 15 {
		s.api.Publish(t, "live:a", big)
	}
	v := view(t, s.addr, "/broadcast/live:a")
	v.await(t, "the backlog", func(b []string) bool { return len(b) == 11 })
	require.Equal(t, upTo(6, 15), offsetsIn(t, v.blocks()))
}

// A reload that closes a namespace to the public ends its streams at the next checkpoint, and
// not at the end of their lives.
func TestEdgeReloadClosesChannels(t *testing.T) {
	s := startEdge(t, "", `, "broadcast_lifetime": "900s"`)
	v := view(t, s.addr, "/broadcast/live:a")
	v.await(t, "the opening", func(b []string) bool { return len(b) > 0 })
	other := *s.cfg
	other.Channel.Namespaces = slices.Clone(other.Channel.Namespaces)
	require.NoError(t, s.Reload(&other))
	v.await(t, "two checkpoints: nothing has changed", func(b []string) bool { return len(b) > 3 })
	closed := other
	closed.Channel.Namespaces = slices.Clone(other.Channel.Namespaces)
	closed.Channel.Namespaces[0].Broadcast = false
	require.NoError(t, s.Reload(&closed))
	blocks := v.ended(t)
	require.Equal(t, "retry: 500", blocks[len(blocks)-1])
	require.Equal(t, 404, view(t, s.addr, "/broadcast/live:a").head.Status)
	require.Equal(t, map[string]uint64{"disconnect": 1}, s.closes())
}
