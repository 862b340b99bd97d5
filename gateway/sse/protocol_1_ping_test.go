package sse_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/testkit"
)

// pinging makes pings frequent.
func pinging(style codec.PingStyle) func(*settings) {
	return func(s *settings) {
		kinds(s)
		s.hub.Cursors, s.session.Cursors, s.sse.LastEventID = true, true, true
		s.session.PingInterval, s.session.PingStyle = time.Second, style
	}
}

// A client that is told of pings goes when it sees none: so it is told of those only that
// it can see.
func TestProtocol_1_5_PingsThatNoClientSeesAreNotTold(t *testing.T) {
	for style, want := range map[codec.PingStyle]uint32{codec.PingData: 1, codec.PingComment: 0, codec.PingID: 0} {
		n := newNode(t, pinging(style))
		_, res := n.subscribe(t, nil)
		require.Equal(t, want, res.Ping, style)
	}
}

func TestPingsThatAreComments(t *testing.T) {
	n := newNode(t, pinging(codec.PingComment))
	r := n.raw(t, testkit.Request{Target: testkit.DefaultPath, Proto: "HTTP/1.0"}.String())
	opening := r.until("}}\n\n")
	require.NotContains(t, opening, `"ping"`)
	require.Equal(t, ":\n\n", r.until(":\n\n"))
	require.Equal(t, ":\n\n", r.until(":\n\n"))
}

// A ping that is an id says where the stream stands, however its ids travel, and is a
// comment where it has none.
func TestPingsThatAreIDs(t *testing.T) {
	n := newNode(t, pinging(codec.PingID))
	for name, channels := range map[string][]string{"none": {"plain:a"}, "shared": {"rec:a"}, "own": {"rec:a", "rec:b"}} {
		t.Run(name, func(t *testing.T) {
			c, _ := n.subscribe(t, subs(channels...))
			first := c.LastEventID()
			if name == "none" {
				require.Empty(t, first)
				c.Quiet(t, 3*time.Second/2)
				require.Zero(t, c.IDOnly())
				return
			}
			testkit.Eventually(t, func() bool { return c.IDOnly() > 0 }, "a ping")
			require.Equal(t, first, c.LastEventID(), "it stands where it began")
			n.publish(t, "rec:a", `1`)
			at := c.Next(t).EventID
			require.NotEqual(t, first, at)
			before := c.IDOnly()
			testkit.Eventually(t, func() bool { return c.IDOnly() > before }, "a ping")
			require.Equal(t, at, c.LastEventID(), "behind what was published")
			c.Close()
			n.publish(t, "rec:a", `2`)
			back := testkit.Connect(t, n.addr, testkit.ConnectOptions{Subs: subs(channels...), HTTPHeaders: [][2]string{{"Last-Event-ID", at}}})
			res := back.ExpectConnect(t)
			require.Len(t, res.Subs["rec:a"].Publications, 1)
		})
	}
}

func TestPaddingIsWhatIsAskedForUpToALimit(t *testing.T) {
	lines := func(n int) string {
		if n == 0 {
			return ""
		}
		return strings.Repeat(":"+strings.Repeat(".", codec.PaddingLine-2)+"\n", n) + "\n"
	}
	f := func(configured, most int, query string, want int) {
		t.Helper()
		n := newNode(t, func(s *settings) {
			s.session.PingInterval = 20 * time.Millisecond
			s.sse.Padding, s.sse.PaddingMax = configured, most
		})
		r := n.raw(t, testkit.Request{Target: testkit.DefaultPath + query, Proto: "HTTP/1.0"}.String())
		r.until("}}\n\n")
		got := r.until("data: {}\n\n") + r.until("data: {}\n\n")
		require.Equal(t, strings.Repeat(lines(want)+"data: {}\n\n", 2), got, fmt.Sprint(configured, most, query))
	}
	f(0, 4096, "", 0)
	f(0, 4096, "?padding=1", 1)
	f(0, 4096, "?padding=257", 2)
	f(0, 600, "?padding=99999", 3)
	f(0, 0, "?padding=2048", 0)
	f(2048, 4096, "", 8)
	f(2048, 4096, "?padding=0", 0)
	f(256, 4096, "?padding=-1", 1)
	f(256, 4096, "?padding=2k", 1)
	f(1<<20, 0, "", 128)
}

// Compressed, padding would be a few bytes: so a stream has the one or the other.
func TestStreamsWithPaddingAreNotCompressed(t *testing.T) {
	n := newNode(t, func(s *settings) {
		s.channels.WithoutNamespace.Compression, s.sse.PaddingMax = []codec.Coding{codec.CodingGzip}, 4096
	})
	for query, coding := range map[string]string{"": "gzip", "padding=2048&": ""} {
		c := testkit.Connect(t, n.addr, testkit.ConnectOptions{
			Path: testkit.DefaultPath + "?" + query + "cf_connect=" + url.QueryEscape(`{"subs":{"news":{}}}`), HTTPHeaders: [][2]string{{"Accept-Encoding", "gzip"}},
		})
		c.ExpectConnect(t)
		require.Equal(t, coding, c.Head().Get("Content-Encoding"), query)
		require.Contains(t, c.Head().Get("Vary"), "Accept-Encoding", query)
	}
}

// The head has a write of its own, before what it begins with, also where that came in
// pieces.
func TestTheHeadLeavesInAWriteOfItsOwn(t *testing.T) {
	for _, two := range []bool{false, true} {
		for _, proto := range []string{"HTTP/1.0", "HTTP/1.1"} {
			n := newNode(t, func(s *settings) { s.session.TwoWrites = two })
			r := n.raw(t, testkit.Request{Target: testkit.DefaultPath, Proto: proto}.String())
			whole := r.until("}}\n\n")
			_, body, _ := strings.Cut(whole, "\r\n\r\n")
			writes, comment := uint64(1), ""
			if two {
				writes, comment = 2, ":\n\n"
			}
			if proto == "HTTP/1.0" {
				require.True(t, strings.HasPrefix(body, "\r\n"+comment+"data: {"), "%q", body)
			}
			require.Equal(t, writes, n.group.Stats().Writes, "%v %s", two, proto)
		}
	}
}

// The same where the body is compressed: the comment is what it begins with.
func TestTheHeadOfACompressedStreamLeavesInAWriteOfItsOwn(t *testing.T) {
	for _, coding := range []codec.Coding{codec.CodingGzip, codec.CodingZstd} {
		n := newNode(t, func(s *settings) {
			s.session.TwoWrites = true
			s.channels.WithoutNamespace.Compression = []codec.Coding{coding}
		})
		c := testkit.Connect(t, n.addr, testkit.ConnectOptions{Subs: subs("news"), HTTPHeaders: [][2]string{{"Accept-Encoding", coding.String()}}})
		c.ExpectConnect(t)
		require.Equal(t, coding.String(), c.Head().Get("Content-Encoding"))
		require.EqualValues(t, 2, n.group.Stats().Writes)
		n.publish(t, "news", `1`)
		require.Equal(t, "1", string(c.ExpectPub(t, "news").Data))
	}
}
