package sse_test

import (
	"slices"
	"strconv"
	"strings"
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
		testkit.EventuallyWithin(t, 30*time.Second, func() bool {
			stats, err := n.presence.Stats(t.Context(), "joins:a")
			return err == nil && stats.Clients == 0
		}, "the client to be absent")
	})
}

// A cursor over CursorExactSize is old most of the time: the last block has the
// exact one.
func TestTheEndTellsAThinnedPositionExactly(t *testing.T) {
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
			c, _ := n.subscribe(t, subs("rec:a", "rec:b"))
			for i := range 5 {
				n.publish(t, "rec:a", strconv.Itoa(i))
				n.publish(t, "rec:b", strconv.Itoa(i))
			}
			for range 10 {
				c.NextKind(t, "pub")
			}
			if end != nil {
				end(t, n)
			}
			c.WaitEnd(t)
			entries, ok := codec.ParseCursor(nil, c.LastEventID(), 10)
			require.True(t, ok)
			require.Len(t, entries, 2)
			for _, e := range entries {
				require.EqualValues(t, 5, e.Offset)
			}
		})
	}
	f("lifetime", nil)
	f("shutdown", func(t *testing.T, n *node) { n.sessions.Shutdown(t.Context(), 0) })
}

// Streams that were opened together end apart.
func TestLivesEndSpread(t *testing.T) {
	const streams, life = 200, 2500 * time.Millisecond
	n := newNode(t, func(s *settings) { s.session.MaxLifetime = life })
	ends := make(chan time.Duration, streams)
	for range streams {
		opened := time.Now()
		c := testkit.Connect(t, n.addr, testkit.ConnectOptions{Timeout: time.Minute})
		go func() {
			c.WaitEnd(t)
			ends <- time.Since(opened)
		}()
	}
	var lives []time.Duration
	for range streams {
		lives = append(lives, <-ends)
	}
	slices.Sort(lives)
	require.GreaterOrEqual(t, lives[0], life*8/10-100*time.Millisecond, "not before four fifths of it")
	fullest := 0 // in any tenth of the window, which is two fifths of the life
	for i := range lives {
		j, _ := slices.BinarySearch(lives, lives[i]+life*4/100)
		fullest = max(fullest, j-i)
	}
	require.Less(t, fullest, streams*9/10, "%v", lives)
	n.closes(t, loop.ReasonLifetime, streams)
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
