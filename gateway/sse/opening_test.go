package sse_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/sse"
	"sluice/gateway/testkit"
)

// Clients that take the first line end for that of all lines (react-native-sse) see no
// event of a body that opens with CR LF and goes on with LF. Only who asks for the bytes
// of the reference has them.
func TestTheBodyOpensWithTheLineEndOfAllLines(t *testing.T) {
	f := func(name, opening string, change func(*sse.Options)) {
		t.Helper()
		n := newNode(t, func(s *settings) { change(&s.sse) })
		for what, target := range map[string]string{"a stream": "", "a refusal": "?cf_connect=%7B%22token%22%3A%22x.y.z%22%7D"} {
			for proto, want := range map[string]string{
				"HTTP/1.0": "\r\n\r\n" + opening,
				"HTTP/1.1": "\r\n\r\n" + map[string]string{"\n": "1", "\r\n": "2"}[opening] + "\r\n" + opening + "\r\n",
			} {
				raw := rawUntil(t, n.addr, testkit.Request{Target: testkit.DefaultPath + target, Proto: proto}.String(), "}\n")
				_, body, ok := strings.Cut(raw, "\r\n\r\n")
				require.True(t, ok)
				rest, ok := strings.CutPrefix("\r\n\r\n"+body, want)
				require.True(t, ok, "%s, %s, %s: %q", name, what, proto, raw)
				if proto == "HTTP/1.0" {
					require.NotContains(t, rest, "\r", "%s, %s", name, what)
				}
			}
		}
	}
	f("reference bytes", "\r\n", func(*sse.Options) {})
	f("ids", "\n", func(o *sse.Options) { o.LastEventID = true })
	f("a reconnect delay", "\n", func(o *sse.Options) { o.RetryMin, o.RetryMax = time.Second, time.Second })
	f("both", "\n", func(o *sse.Options) { o.LastEventID, o.RetryMin, o.RetryMax = true, time.Second, time.Second })
}
