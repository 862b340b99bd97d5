package sse_test

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

// withBounds allows bounded streams, without a ping among what they count.
func withBounds(s *settings) {
	kinds(s)
	s.sse.BoundedStreams = true
	s.session.PingInterval = time.Hour
}

// bounded is the target of a bounded stream on channels.
func bounded(query string, channels ...string) string {
	entries := make([]string, len(channels))
	for i, ch := range channels {
		entries[i] = strconv.Quote(ch) + ":{}"
	}
	return testkit.DefaultPath + "?" + query + "&cf_connect=" + url.QueryEscape(`{"subs":{`+strings.Join(entries, ",")+`}}`)
}

// rawStream is a stream of which every byte counts.
type rawStream struct {
	t    testing.TB
	conn net.Conn
}

func (n *node) raw(t testing.TB, request string) *rawStream {
	t.Helper()
	c, err := net.Dial("tcp", n.addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
	_, err = c.Write([]byte(request))
	require.NoError(t, err)
	return &rawStream{t, c}
}

// until reads up to and with the given text.
func (r *rawStream) until(end string) string {
	r.t.Helper()
	var got []byte
	one := make([]byte, 1)
	for !strings.HasSuffix(string(got), end) {
		_, err := r.conn.Read(one)
		require.NoError(r.t, err, "%q", got)
		got = append(got, one...)
	}
	return string(got)
}

// rest reads to the orderly end of the connection.
func (r *rawStream) rest() string {
	r.t.Helper()
	got, err := io.ReadAll(r.conn)
	require.NoError(r.t, err, "%q", got)
	require.NoError(r.t, r.conn.Close())
	return string(got)
}

// framingOf is how a stream is framed by the protocol of its request and the
// configuration.
var framingOf = []struct {
	name, proto string
	configured  codec.Framing
	framing     codec.Framing
}{
	{"chunked", "HTTP/1.1", codec.FramingChunked, codec.FramingChunked},
	{"close", "HTTP/1.1", codec.FramingClose, codec.FramingClose},
	{"http_1_0", "HTTP/1.0", codec.FramingChunked, codec.FramingClose},
}

func TestABoundedStreamHasExactlySoManyEvents(t *testing.T) {
	for _, kind := range framingOf {
		t.Run(kind.name, func(t *testing.T) {
			n := newNode(t, func(s *settings) { withBounds(s); s.sse.Framing = kind.configured })
			body := func(text string) string { return string(codec.AppendChunk(nil, kind.framing, []byte(text))) }
			for events := 1; events <= 20; events++ {
				// Of the burst before some may be on its way still.
				ch := "plain:" + strconv.Itoa(events)
				target := bounded("max_events="+strconv.Itoa(events), ch)
				r := n.raw(t, "GET "+target+" "+kind.proto+"\r\nHost: h\r\n\r\n")
				head := r.until("\r\n\r\n")
				require.Contains(t, head, kind.proto+" 200 OK\r\n")
				require.Contains(t, head, "Connection: close\r\n")
				push := r.until("\n\n")
				require.Contains(t, push, `data: {"connect":`)
				for i := range 40 { // a burst
					n.publish(t, ch, strconv.Itoa(i))
				}
				want := body("")
				if kind.framing == codec.FramingChunked {
					want = "\r\n" // of the connect push's chunk
				}
				for i := range events - 1 {
					want += body(fmt.Sprintf("data: {\"channel\":%q,\"pub\":{\"data\":%d}}\n\n", ch, i))
				}
				require.Equal(t, want+string(kind.framing.Terminator()), r.rest(), "%d events", events)
			}
			n.closes(t, loop.ReasonBounded, 20)
			n.sessionsOpen(t, 0)
		})
	}
}

// The hold of a stream that opens under fire is part of what it may have.
func TestABoundedStreamIsExactWhileOthersPublish(t *testing.T) {
	n := newNode(t, func(s *settings) {
		withBounds(s)
		s.hub.HoldMaxSize = 1 << 30 // however long a connect may take here
		s.session.Cursors, s.hub.Cursors, s.sse.LastEventID = true, true, true
	})
	stop := make(chan struct{})
	var publisher sync.WaitGroup
	publisher.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				n.publish(t, "rec:a", strconv.Itoa(i))
				n.publish(t, "rec:b", strconv.Itoa(i))
			}
		}
	})
	const most = 20
	var streams sync.WaitGroup
	for events := 1; events <= most; events++ {
		c := testkit.Connect(t, n.addr, testkit.ConnectOptions{
			Path: bounded("max_events="+strconv.Itoa(events), "rec:a", "rec:b"),
		})
		streams.Go(func() {
			c.ExpectConnect(t)
			for range events - 1 {
				c.NextKind(t, "pub")
			}
			c.ExpectEnd(t)
			if c.IDOnly() != 0 {
				t.Error("expected no id beyond those of the events, which are exact")
			}
		})
	}
	streams.Wait()
	close(stop)
	publisher.Wait()
	n.closes(t, loop.ReasonBounded, most)
	n.sessionsOpen(t, 0)
}

func TestBoundsAreInTheQueryOfAGETAndOfAPOST(t *testing.T) {
	n := newNode(t, withBounds)
	ends := 0
	f := func(name, method, query string, pushes int, least time.Duration) {
		t.Run(name, func(t *testing.T) {
			opened := time.Now()
			o := testkit.ConnectOptions{
				Method: method, Path: testkit.DefaultPath + "?" + query, Subs: subs("plain:a"),
			}
			if method == "" {
				o = testkit.ConnectOptions{Path: bounded(query, "plain:a")}
			}
			c := testkit.Connect(t, n.addr, o)
			require.Equal(t, "close", c.Head().Get("Connection"))
			res := c.ExpectConnect(t)
			require.Contains(t, res.Subs, "plain:a")
			for range pushes {
				n.publish(t, "plain:a", "1")
				c.NextKind(t, "pub")
			}
			c.WaitEnd(t)
			require.GreaterOrEqual(t, time.Since(opened), least)
			ends++
			n.closes(t, loop.ReasonBounded, ends)
			n.sessionsOpen(t, 0)
		})
	}
	for _, method := range []string{"", "POST"} {
		at := "GET_"
		if method != "" {
			at = "POST_"
		}
		f(at+"events", method, "max_events=3", 2, 0)
		f(at+"one_event", method, "max_events=1", 0, 0)
		f(at+"duration", method, "max_duration=150ms", 0, 150*time.Millisecond)
		f(at+"events_first", method, "max_events=2&max_duration=1h", 1, 0)
		f(at+"duration_first", method, "max_duration=100ms&max_events=1000", 0, 100*time.Millisecond)
	}
	f("seconds", "", "max_duration=1", 0, time.Second)
}

func TestBoundsOfNoSenseAreRefused(t *testing.T) {
	n := newNode(t, withBounds)
	f := func(query, message string) {
		t.Helper()
		for _, method := range []string{"GET", "POST"} {
			request := testkit.Request{Method: method, Target: bounded(query, "plain:a"), Body: "{}"}
			if method == "GET" {
				request.Body = ""
			}
			head, body := testkit.RoundTrip(t, n.addr, request)
			require.Equal(t, 400, head.Status, "%s %s", method, query)
			require.Contains(t, string(body), message, "%s %s", method, query)
		}
	}
	for _, junk := range []string{
		"", "0", "-1", "1.5", "1e3", "0x10", "+1", "1_000", "many", "2147483649", "99999999999999999999", "1%00", "%201",
	} {
		f("max_events="+junk, "max_events: a whole number from 1 to 2147483648 expected, got ")
	}
	for _, junk := range []string{
		"", "0", "0s", "-1", "-1s", "1.5", "1d", "s", "soon", "9000h", "31536001", "4294967296", "99999999999999999999", "1s%20",
	} {
		f("max_duration="+junk, "max_duration: seconds, or a duration such as 1m30s, expected")
	}
	f("max_events=1&max_duration=x", "max_duration")
	f("max_events=x&max_events=1", "max_events")
	_, body := testkit.RoundTrip(t, n.addr, testkit.Request{Target: bounded("max_events="+strings.Repeat("9", 4000), "a")})
	require.Less(t, len(body), 300, "not all of it is repeated")
	n.sessionsOpen(t, 0)
}

// Where bounded streams are off the parameters mean nothing, as all that the
// endpoint does not know.
func TestBoundsAreIgnoredWhereTheyAreOff(t *testing.T) {
	n := newNode(t, kinds)
	for _, query := range []string{"max_events=1", "max_events=many&max_duration=", "max_duration=50ms"} {
		c := testkit.Connect(t, n.addr, testkit.ConnectOptions{Path: bounded(query, "plain:a")})
		require.Equal(t, "keep-alive", c.Head().Get("Connection"))
		c.ExpectConnect(t)
		for range 3 {
			n.publish(t, "plain:a", "1")
			c.NextKind(t, "pub")
		}
		c.Close()
	}
	n.closes(t, loop.ReasonClientGone, 3)
	require.Zero(t, n.group.Stats().Closes[loop.ReasonBounded])
}

func TestPingsCountAsEvents(t *testing.T) {
	n := newNode(t, func(s *settings) { withBounds(s); s.session.PingInterval = 50 * time.Millisecond })
	r := n.raw(t, "GET "+bounded("max_events=4", "plain:a")+" HTTP/1.1\r\nHost: h\r\n\r\n")
	_ = r.until("\n\n\r\n")
	require.Equal(t, strings.Repeat(chunk("data: {}\n\n"), 3)+"0\r\n\r\n", r.rest())
	n.closes(t, loop.ReasonBounded, 1)
	n.sessionsOpen(t, 0)
}

func TestJoinsCountAsEventsAndABoundedStreamLeaves(t *testing.T) {
	n := newNode(t, withBounds)
	c := testkit.Connect(t, n.addr, testkit.ConnectOptions{Path: bounded("max_events=2", "joins:a")})
	c.ExpectConnect(t)
	c.NextKind(t, "join") // its own
	c.ExpectEnd(t)
	n.closes(t, loop.ReasonBounded, 1)
	n.sessionsOpen(t, 0)
	for _, kind := range []string{"joins:a", "present:a"} {
		for _, events := range []string{"1", "2"} {
			c := testkit.Connect(t, n.addr, testkit.ConnectOptions{Path: bounded("max_events="+events+"&max_duration=100ms", kind)})
			c.WaitEnd(t)
		}
		testkit.Eventually(t, func() bool {
			stats, err := n.presence.Stats(t.Context(), kind)
			return err == nil && stats.Clients == 0
		}, "the clients to be absent")
	}
}

// Whoever reads a bounded stream to its end can go on from there.
func TestTheLastIdOfABoundedStreamIsCurrent(t *testing.T) {
	f := func(name string, exactSize, idOnly int, query string, channels ...string) {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, func(s *settings) {
				withBounds(s)
				s.session.Cursors, s.hub.Cursors, s.sse.LastEventID = true, true, true
				s.hub.CursorExactSize = exactSize
			})
			c := testkit.Connect(t, n.addr, testkit.ConnectOptions{Path: bounded(query, channels...)})
			c.ExpectConnect(t)
			for i := range 5 {
				for _, ch := range channels {
					n.publish(t, ch, strconv.Itoa(i))
				}
			}
			for range 5 * len(channels) {
				c.NextKind(t, "pub")
			}
			c.ExpectEnd(t)
			require.Equal(t, idOnly, c.IDOnly(), "blocks with an id and nothing else")
			entries, ok := codec.ParseCursor(nil, c.LastEventID(), 10)
			require.True(t, ok)
			require.Len(t, entries, len(channels))
			for _, e := range entries {
				require.EqualValues(t, 5, e.Offset)
			}
		})
	}
	f("one_channel", 1024, 0, "max_events=6", "rec:a")
	f("two_channels", 1024, 0, "max_events=11", "rec:a", "rec:b")
	f("thinned", 1, 1, "max_events=11", "rec:a", "rec:b")
}

// The same where time ends it, wherever it is then.
func TestTheLastIdOfATimedStreamIsCurrent(t *testing.T) {
	for _, exactSize := range []int{1, 1024} {
		n := newNode(t, func(s *settings) {
			withBounds(s)
			s.session.Cursors, s.hub.Cursors, s.hub.CursorExactSize = true, true, exactSize
		})
		r := n.raw(t, "GET "+bounded("max_duration=200ms", "rec:a", "rec:b")+" HTTP/1.0\r\nHost: h\r\n\r\n")
		got := r.until("\n\n")
		for i := range 5 {
			n.publish(t, "rec:a", strconv.Itoa(i))
			n.publish(t, "rec:b", strconv.Itoa(i))
		}
		got += r.rest()
		require.NotContains(t, got, "disconnect")
		_, id, ok := strings.Cut(got[strings.LastIndex(got, "id: "):], "id: ")
		require.True(t, ok, got)
		id, _, _ = strings.Cut(id, "\n")
		entries, ok := codec.ParseCursor(nil, id, 10)
		require.True(t, ok, id)
		require.Len(t, entries, 2)
		for _, e := range entries {
			ch := "rec:a"
			if e.Channel != codec.Tag32(ch) {
				ch = "rec:b"
			}
			require.EqualValues(t, strings.Count(got, `{"channel":"`+ch+`","pub":`), e.Offset, "%s: %s", ch, got)
		}
		n.closes(t, loop.ReasonBounded, 1)
	}
}

// What a client missed is in the connect push, and so it is in the one event.
func TestOneEventIsEnoughToRecover(t *testing.T) {
	n := newNode(t, func(s *settings) {
		withBounds(s)
		s.session.Cursors, s.hub.Cursors, s.sse.LastEventID = true, true, true
	})
	first := testkit.Connect(t, n.addr, testkit.ConnectOptions{Path: bounded("max_events=1", "rec:a")})
	first.ExpectConnect(t)
	first.ExpectEnd(t)
	for i := range 3 {
		n.publish(t, "rec:a", strconv.Itoa(i))
	}
	c := testkit.Connect(t, n.addr, testkit.ConnectOptions{
		Path: bounded("max_events=1&last_event_id="+url.QueryEscape(first.LastEventID()), "rec:a"),
	})
	res := c.ExpectConnect(t)
	require.Len(t, res.Subs["rec:a"].Publications, 3)
	c.ExpectEnd(t)
	n.sessionsOpen(t, 0)
}

// Of a wish and the configured life the shorter one counts, and its reason.
func TestABoundDoesNotMakeALifeLonger(t *testing.T) {
	n := newNode(t, func(s *settings) { withBounds(s); s.session.MaxLifetime = 300 * time.Millisecond })
	c := testkit.Connect(t, n.addr, testkit.ConnectOptions{Path: bounded("max_duration=1h", "plain:a")})
	c.WaitEnd(t)
	n.closes(t, loop.ReasonLifetime, 1)
	c = testkit.Connect(t, n.addr, testkit.ConnectOptions{Path: bounded("max_duration=50ms", "plain:a")})
	c.WaitEnd(t)
	n.closes(t, loop.ReasonBounded, 1)
}
