package edge

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

func TestHops(t *testing.T) {
	f := func(n int, own bool, lines ...string) {
		t.Helper()
		var headers [][]byte
		for _, l := range lines {
			headers = append(headers, []byte(l))
		}
		gotN, gotOwn := hops(headers, "me")
		require.Equal(t, n, gotN, lines)
		require.Equal(t, own, gotOwn, lines)
	}
	f(0, false)
	f(0, false, "")
	f(0, false, "cloudflare, foo123.foocdn.example, barcdn.example; trace=\"abcdef\"")
	f(1, false, "sluice")
	f(1, false, " Sluice ;node=\"you\"")
	f(1, true, "sluice; node=\"me\"")
	f(1, true, "sluice;node=me")
	f(2, true, "cdn, sluice; node=\"you\"", "sluice; x=1; NODE = \"m\\e\" ,, cdn")
	f(0, false, "cdn; node=\"me\"")
	f(0, false, "cdn; x=\"a, sluice; node=me\"")
	f(1, false, "sluice; node=\"me")
	f(1, false, "sluice; node=\"\\\"me\"")
	f(9, false, strings.Repeat("sluice; node=\"x\", ", 9))
	f(0, false, "sluices, xsluice, \"sluice\"")
}

// Where a front strips or resets CDN-Loop, the way is known by our own header.
func TestTheWayOfARequest(t *testing.T) {
	for _, c := range []struct {
		standard, ours, way string
		n                   int
		own                 bool
	}{
		{},
		{standard: `cdn`, way: `cdn`},
		{standard: `sluice; node="you"`, ours: `sluice; node="you"`, way: `sluice; node="you"`, n: 1},
		{ours: `sluice; node="you"`, way: `sluice; node="you"`, n: 1},
		{standard: `cdn`, ours: `sluice; node="you", sluice; node="me"`, way: `sluice; node="you", sluice; node="me", cdn`, n: 2, own: true},
		{standard: `sluice; node="me"`, ours: `x`, way: `sluice; node="me"`, n: 1, own: true},
	} {
		var ctx fasthttp.RequestCtx
		if c.standard != "" {
			ctx.Request.Header.Set("CDN-Loop", c.standard)
		}
		if c.ours != "" {
			ctx.Request.Header.Set("Sluice-Loop", c.ours)
		}
		way, n, own := via(&ctx, "me")
		require.Equal(t, c.way, string(way))
		require.Equal(t, c.n, n, c.way)
		require.Equal(t, c.own, own, c.way)
	}
}

func FuzzHops(f *testing.F) {
	for _, s := range []string{"", "sluice", `sluice; node="me"`, `a; b="c\", sluice`, `sluice;node=me,sluice;;,`, `"`, `\`, `sluice; node="`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		n, own := hops([][]byte{[]byte(line)}, "me")
		require.LessOrEqual(t, n, strings.Count(strings.ToLower(line), "sluice"))
		require.False(t, own && n == 0)
		// What is added behind a header that was sent is seen, unless that left a quote open.
		if strings.Count(line, `"`) == 0 {
			more, mine := hops([][]byte{[]byte(line + `, sluice; node="me"`)}, "me")
			require.Equal(t, n+1, more)
			require.True(t, mine)
		}
		again, also := hops([][]byte{[]byte(line), []byte(`sluice; node="me"`)}, "me")
		require.Equal(t, n+1, again)
		require.True(t, also)
	})
}
