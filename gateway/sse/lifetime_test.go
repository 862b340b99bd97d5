package sse_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

// withRetry tells clients when to come back, so that ends may tell it too.
func withRetry(s *settings) {
	s.session.RetryMin, s.session.RetryMax = 3*time.Second, 9*time.Second
	s.sse.RetryMin, s.sse.RetryMax = 3*time.Second, 9*time.Second
}

// rawEnd reads a stream to its end and returns the body behind its connect
// event, chunks and all.
func rawEnd(t *testing.T, n *node, target string) string {
	t.Helper()
	raw := rawUntil(t, n.addr, "GET "+target+" HTTP/1.1\r\nHost: h\r\n\r\n", "0\r\n\r\n")
	_, rest, ok := strings.Cut(raw, "data: {\"connect\"")
	require.True(t, ok, raw)
	_, rest, ok = strings.Cut(rest, "\n\n\r\n")
	require.True(t, ok, raw)
	return rest
}

func chunk(text string) string {
	return string(codec.AppendChunk(nil, codec.FramingChunked, []byte(text)))
}

// lastWords takes the retry line from the start of a block.
func lastWords(t *testing.T, chunked string) (retry time.Duration, rest string) {
	t.Helper()
	_, body, ok := strings.Cut(chunked, "\r\n")
	require.True(t, ok, "%q", chunked)
	text, ok := strings.CutPrefix(body, "retry: ")
	require.True(t, ok, "%q", chunked)
	ms, rest, _ := strings.Cut(text, "\n")
	v, err := strconv.Atoi(ms)
	require.NoError(t, err)
	block := strings.TrimSuffix(body, "\r\n0\r\n\r\n")
	require.Equal(t, chunk(block)+"0\r\n\r\n", chunked, "one chunk and the terminator")
	return time.Duration(v) * time.Millisecond, strings.TrimSuffix(rest, "\r\n0\r\n\r\n")
}

func TestALifeEndsBetweenFramesAndWithoutAPush(t *testing.T) {
	const life = 200 * time.Millisecond
	rec := testkit.DefaultPath + "?cf_connect=" + `{"subs":{"rec:a":{},"rec:b":{}}}`
	t.Run("without_a_position_only_the_delay_is_told", func(t *testing.T) {
		n := newNode(t, func(s *settings) { withRetry(s); s.session.MaxLifetime = life })
		retry, rest := lastWords(t, rawEnd(t, n, testkit.DefaultPath))
		require.GreaterOrEqual(t, retry, 100*time.Millisecond)
		require.LessOrEqual(t, retry, time.Second, "soon: nothing is wrong")
		require.Equal(t, "\n", rest)
		n.closes(t, loop.ReasonLifetime, 1)
		n.sessionsOpen(t, 0)
	})
	t.Run("the_position_is_told", func(t *testing.T) {
		n := newNode(t, func(s *settings) {
			kinds(s)
			withRetry(s)
			s.session.MaxLifetime, s.session.Cursors, s.hub.Cursors = life, true, true
		})
		_, rest := lastWords(t, rawEnd(t, n, rec))
		id, ok := strings.CutPrefix(rest, "id: ")
		require.True(t, ok, "%q", rest)
		entries, ok := codec.ParseCursor(nil, strings.TrimSuffix(id, "\n\n"), 10)
		require.True(t, ok)
		require.Len(t, entries, 2)
	})
	t.Run("without_retry_nothing_is_said", func(t *testing.T) {
		n := newNode(t, func(s *settings) { s.session.MaxLifetime = life })
		require.Equal(t, "0\r\n\r\n", rawEnd(t, n, testkit.DefaultPath))
	})
	t.Run("it_ends_all_the_same_with_pings", func(t *testing.T) {
		n := newNode(t, func(s *settings) { s.session.MaxLifetime, s.session.PingInterval = life, 50*time.Millisecond })
		c, _ := n.subscribe(t, nil)
		c.WaitEnd(t)
		n.closes(t, loop.ReasonLifetime, 1)
		n.sessionsOpen(t, 0)
	})
	t.Run("leave_and_presence", func(t *testing.T) {
		n := newNode(t, func(s *settings) { kinds(s); s.session.MaxLifetime = life })
		c, _ := n.subscribe(t, subs("joins:a"))
		c.WaitEnd(t)
		testkit.Eventually(t, func() bool {
			stats, err := n.presence.Stats(t.Context(), "joins:a")
			return err == nil && stats.Clients == 0
		}, "the client to be absent")
	})
}

// A cursor over CursorExactSize is old most of the time: the last block has the
// exact one.
func TestTheEndTellsAThinnedPositionExactly(t *testing.T) {
	const each = 5
	f := func(name string, end func(t *testing.T, n *node)) {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, func(s *settings) {
				kinds(s)
				withRetry(s)
				s.session.Cursors, s.hub.Cursors, s.hub.CursorExactSize = true, true, 1
				if end == nil {
					s.session.MaxLifetime = time.Second
				}
			})
			c := testkit.Dial(t, n.addr)
			c.Send(plainPost(`{"subs":{"rec:a":{},"rec:b":{}}}`))
			require.Equal(t, 200, c.ReadHead(t).Status)
			events := testkit.NewReader(c.Body())
			ev, err := events.Next()
			require.NoError(t, err)
			require.Contains(t, ev.Data, `{"connect":`)
			for i := range each {
				n.publish(t, "rec:a", strconv.Itoa(i))
				n.publish(t, "rec:b", strconv.Itoa(i))
			}
			// A life may end before all of them are told: on a machine that
			// stands still for as long.
			a, b := 0, 0
			for ev, err = events.Next(); err == nil; ev, err = events.Next() {
				a += strings.Count(ev.Data, `{"channel":"rec:a","pub":`)
				b += strings.Count(ev.Data, `{"channel":"rec:b","pub":`)
				if end != nil && a == each && b == each {
					end(t, n)
					end = nil
				}
			}
			require.ErrorIs(t, err, io.EOF)
			require.True(t, c.Terminated())
			entries, ok := codec.ParseCursor(nil, events.LastEventID(), 10)
			require.True(t, ok)
			require.Len(t, entries, 2)
			for _, e := range entries {
				if e.Channel == codec.Tag32("rec:a") {
					require.EqualValues(t, a, e.Offset)
				} else {
					require.EqualValues(t, b, e.Offset)
				}
			}
		})
	}
	f("lifetime", nil)
	f("shutdown", func(t *testing.T, n *node) { n.sessions.Shutdown(t.Context(), 0) })
}

// Streams that were opened together end apart: some before others that were
// opened so long before them that their turn would come first.
func TestLivesEndSpread(t *testing.T) {
	const (
		life = 2 * time.Second
		// Deadlines are rounded up to a tenth of a second.
		apart = 200 * time.Millisecond
		// So many are opened that of these pairs some change places, however
		// long it takes: of those that are less apart than half of the
		// window, which is two fifths of the life, each does at a chance of
		// 7 % or more.
		pairs, close, pace = 1000, life / 5, 5 * time.Millisecond
	)
	tr := newTraced(t, slog.LevelDebug, func(s *settings) { s.loops, s.session.MaxLifetime = 1, life })
	type stream struct {
		client        string
		before, after time.Time // of its opening
	}
	var streams []stream
	var early atomic.Int64
	deadline := time.Now().Add(patience)
	for have := 0; have < pairs && time.Now().Before(deadline); <-time.After(pace) {
		s := stream{before: time.Now()}
		c, res := tr.subscribe(t, nil)
		s.client, s.after = res.Client, time.Now()
		for _, o := range streams {
			if s.before.Sub(o.after) > apart && s.after.Sub(o.before) < close {
				have++
			}
		}
		streams = append(streams, s)
		go func() {
			c.WaitEnd(t)
			if time.Since(s.before) < life*8/10 {
				early.Add(1)
			}
		}()
	}
	tr.closes(t, loop.ReasonLifetime, len(streams))
	ended := make(map[string]int) // the log of one loop is in order
	for line := range strings.Lines(tr.log.String()) {
		var rec struct{ Msg, Client string }
		require.NoError(t, json.Unmarshal([]byte(line), &rec))
		if rec.Msg == "stream closed" {
			ended[rec.Client] = len(ended)
		}
	}
	require.Len(t, ended, len(streams))
	changed := 0
	for i, s := range streams {
		for _, o := range streams[:i] {
			if s.before.Sub(o.after) > apart && ended[s.client] < ended[o.client] {
				changed++
			}
		}
	}
	require.NotZero(t, changed, "all of %d streams ended in the order in which they were opened", len(streams))
	require.Zero(t, early.Load(), "not before four fifths of it")
}

// The last event tells each client another delay.
func TestAShutdownSpreadsThoseWhoComeBack(t *testing.T) {
	n := newNode(t, withRetry)
	const streams = 40
	var clients []*testkit.Client
	for range streams {
		c, _ := n.subscribe(t, nil)
		clients = append(clients, c)
	}
	n.sessionsOpen(t, streams)
	n.sessions.Shutdown(t.Context(), 40) // a second
	told := make(map[string]bool)
	longest := time.Duration(0)
	for _, c := range clients {
		frame := string(c.NextKind(t, "disconnect").Frame)
		text, ok := strings.CutPrefix(frame, "retry: ")
		require.True(t, ok, "%q", frame)
		ms, rest, _ := strings.Cut(text, "\n")
		require.Equal(t, `data: {"disconnect":{"code":3001,"reason":"shutdown"}}`+"\n\n", rest)
		v, err := strconv.Atoi(ms)
		require.NoError(t, err)
		wait := time.Duration(v) * time.Millisecond
		require.GreaterOrEqual(t, wait, 3*time.Second)
		require.LessOrEqual(t, wait, 10*time.Second, "the usual range and the rest")
		told[ms], longest = true, max(longest, wait)
		c.ExpectEnd(t)
	}
	require.Greater(t, len(told), streams/2)
	require.Zero(t, n.sessions.Counts().Clients)
}
