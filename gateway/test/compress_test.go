package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// eachCoding runs a test for streams of each coding that compresses.
func eachCoding(t *testing.T, f func(t *testing.T, coding string)) {
	for _, coding := range []string{"gzip", "zstd"} {
		t.Run(coding, func(t *testing.T) { f(t, coding) })
	}
}

// Whatever a stream has, and however it is framed: each event of it can be read before the
// next one is published, and the text is byte for byte that of a stream that is not
// compressed.
func TestCompressedStreamsSayTheSameEventByEvent(t *testing.T) {
	s := startServer(t, parts{channel: `, "namespaces": [{"name": "rr", "allowed_delta_types": ["fossil"], "delta_publish": true, ` + compressing + `, ` + recoverable + `},
		{"name": "hh", "history_size": 10, "history_ttl": "60s", ` + compressing + `, ` + anybody + `}, {"name": "pp", ` + compressing + `, ` + anybody + `}]`})
	for name, opts := range map[string]testkit.ConnectOptions{
		"recoverable":       {Subs: subsOf("", "rr:a")},
		"with history":      {Subs: subsOf("", "hh:a")},
		"plain":             {Subs: subsOf("", "pp:a")},
		"several":           {Subs: subsOf("", "rr:a", "rr:b", "hh:a", "pp:a")},
		"deltas":            {Subs: subsOf("fossil", "rr:a")},
		"several of deltas": {Subs: subsOf("fossil", "rr:a", "rr:b")},
		"post":              {Subs: subsOf("", "rr:a"), Method: "POST"},
		"HTTP/1.0":          {Subs: subsOf("", "rr:a", "rr:b"), Proto: "HTTP/1.0"},
		"HTTP/1.0, one":     {Subs: subsOf("", "rr:a"), Proto: "HTTP/1.0"},
	} {
		t.Run(name, func(t *testing.T) {
			streams := []*testkit.Client{
				s.compressed(t, "identity", opts), s.compressed(t, "gzip", opts), s.compressed(t, "zstd", opts),
			}
			for _, c := range streams {
				c.ExpectConnect(t)
			}
			for n := range 130 { // groups begin anew twice
				if n == 60 { // one comes in the midst of a group
					late := s.compressed(t, []string{"gzip", "zstd"}[len(name)%2], opts)
					late.ExpectConnect(t)
					streams = append(streams, late)
				}
				for channel := range opts.Subs {
					s.api.Publish(t, channel, quotes(n, []int{40, 300, 2000, 600, 9000, 0}[n%6]))
					if !strings.Contains(name, "late") {
						expectSame(t, streams, n < 61)
					}
				}
			}
			expectWellEnded(t, s, streams)
		})
	}
}

// expectSame takes the next event of each stream: they are the same, byte for byte. all is
// false where some came later, so that deltas of theirs are others.
func expectSame(t *testing.T, streams []*testkit.Client, all bool) {
	t.Helper()
	first := streams[0].Next(t)
	require.Equal(t, "pub", first.Kind)
	for i, c := range streams[1:] {
		p := c.Next(t)
		if all || i < 2 {
			require.Equal(t, string(first.Frame), string(p.Frame), "stream %d", i+1)
		}
	}
}

// expectWellEnded ends streams by the API: a decoder finds their end in order.
func expectWellEnded(t *testing.T, s *server, streams []*testkit.Client) {
	t.Helper()
	s.api.MustResult(t, "disconnect", `{"user":""}`)
	for _, c := range streams {
		c.ExpectDisconnect(t, 3503)
		c.ExpectClosed(t)
	}
}

// Which coding a stream has, and what its head says of it.
func TestTheCodingOfAStreamIsNegotiated(t *testing.T) {
	s := startServer(t, parts{channel: `, "namespaces": [{"name": "zg", ` + compressing + `, ` + anybody + `},
		{"name": "gz", "compression": ["gzip", "zstd"], ` + anybody + `}, {"name": "gg", "compression": ["gzip"], ` + anybody + `},
		{"name": "no", ` + anybody + `}, {"name": "zz", "compression": ["zstd"], ` + anybody + `}]`})
	const accept, origin = "Origin, Accept-Encoding", "Origin"
	f := func(channels, lines, coding, vary string) {
		t.Helper()
		for _, proto := range []string{"HTTP/1.1", "HTTP/1.0"} {
			for _, method := range []string{"GET", "POST"} {
				opts := testkit.ConnectOptions{Subs: subsOf("", strings.Fields(channels)...), Method: method, Proto: proto}
				for _, line := range strings.Split(lines, "|") {
					if line != "-" {
						opts.HTTPHeaders = append(opts.HTTPHeaders, [2]string{"Accept-Encoding", line})
					}
				}
				c := testkit.Connect(t, s.addr, opts)
				c.ExpectConnect(t)
				head := c.Head()
				require.Equal(t, vary, strings.Join(head.Values("Vary"), ", "), "%s: %s", channels, lines)
				var want []string
				if coding != "" {
					want = []string{coding}
				}
				require.Equal(t, want, head.Values("Content-Encoding"), "%s: %s", channels, lines)
				c.Close()
			}
		}
	}
	f("zg:a", "gzip, deflate, br, zstd", "zstd", accept)
	f("gz:a", "gzip, deflate, br, zstd", "gzip", accept)
	f("gz:a", "gzip;q=0.8, zstd", "zstd", accept)
	f("zg:a", "gzip", "gzip", accept)
	f("zg:a", "br|x-gzip", "gzip", accept)
	f("zg:a", "-", "", accept)
	f("zg:a", "br", "", accept)
	f("zg:a", "identity;q=0", "", accept)
	f("zg:a", "gzip;q=0, zstd;q=0", "", accept)
	f("zg:a", "*", "zstd", accept)
	f("zg:a", strings.Repeat("gzip, ", 400), "", accept)
	f("zz:a", "gzip", "", accept)
	f("no:a", "gzip, zstd", "", origin)
	f("gz:a zg:a zg:b", "gzip, zstd", "gzip", accept) // as the first channel wants it
	f("zg:a gg:a", "gzip, zstd", "gzip", accept)
	f("gg:a zg:a", "zstd", "", accept)
	f("gg:a zz:a", "gzip, zstd", "", origin)
	f("zg:a no:a", "gzip, zstd", "", origin)
	f("", "gzip, zstd", "", origin)
}

// A refusal is not compressed, whoever it is told.
func TestRefusalsAreNotCompressed(t *testing.T) {
	s := startServer(t, parts{channel: `, "namespaces": [{"name": "zg", ` + compressing + `, ` + anybody + `}]`})
	c := testkit.Connect(t, s.addr, testkit.ConnectOptions{Token: "no token", Subs: subsOf("", "zg:a"), HTTPHeaders: accepting("gzip")})
	require.Empty(t, c.Head().Values("Content-Encoding"))
	c.ExpectDisconnect(t, 3500)
}

// A stream stays in its coding when the server subscribes it to a channel whose namespace
// has none, and when it takes it out of all.
func TestCompressedStreamsAreSubscribedAndUnsubscribed(t *testing.T) {
	s := startServer(t, parts{channel: `, "namespaces": [{"name": "zg", ` + compressing + `, ` + recoverable + `}, {"name": "rr", ` + recoverable + `}]`})
	eachCoding(t, func(t *testing.T, coding string) {
		user, own := "u"+coding, "zg:"+coding
		token := testkit.HS256(t, testSecret, map[string]any{"sub": user, "channels": []string{own}})
		streams := []*testkit.Client{
			s.compressed(t, "identity", testkit.ConnectOptions{Token: token}), s.compressed(t, coding, testkit.ConnectOptions{Token: token}),
		}
		for _, c := range streams {
			c.ExpectConnect(t)
		}
		n := 0
		publish := func(channels ...string) {
			for range 60 {
				n++
				ch := channels[n%len(channels)]
				s.api.Publish(t, ch, quotes(n, 100+n*37%2000))
				expectSame(t, streams, true)
			}
		}
		told := func() {
			t.Helper()
			want := streams[0].Next(t)
			require.Equal(t, string(want.Frame), string(streams[1].Next(t).Frame))
		}
		other := "rr:" + coding
		publish(own)
		s.api.Publish(t, other, quotes(1, 900))
		s.api.Publish(t, other, quotes(2, 3000))
		s.api.MustResult(t, "subscribe", fmt.Sprintf(`{"user":%q,"channel":%q,"recover_since":{"offset":0,"epoch":""}}`, user, other))
		told() // of the subscription
		told() // and what it missed
		told()
		publish(own, other)
		for _, ch := range []string{own, other} {
			s.api.MustResult(t, "unsubscribe", fmt.Sprintf(`{"user":%q,"channel":%q}`, user, ch))
			told()
			if ch == own {
				publish(other)
			}
		}
		s.api.MustResult(t, "subscribe", fmt.Sprintf(`{"user":%q,"channel":%q}`, user, own))
		told()
		publish(own)
		s.api.MustResult(t, "disconnect", fmt.Sprintf(`{"user":%q}`, user))
		for _, c := range streams {
			c.ExpectDisconnect(t, 3503)
			c.ExpectClosed(t)
		}
	})
}
