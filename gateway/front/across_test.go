package front

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// What the HTTP server has read of a request, with the one before, stays its beginning: the
// connection does not wait at the gate for the rest, where that would be the next request.
func TestRequestsThatBeganWithTheOneBeforeGoOn(t *testing.T) {
	const post = "POST /12 HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
	ca := newAuthority(t, "ca")
	certs := newCerts(t, ca.issue(t, 1))
	f := func(name string, opt Options, dial func(*served) *testkit.Conn) {
		s := serve(t, opt, strictly)
		for _, first := range []string{get, post} {
			for _, next := range []string{get, post} {
				for cut := 1; cut < len(next); cut++ {
					c := dial(s)
					what := fmt.Sprintf("%s: %.4s, %.4s cut at %d", name, first, next, cut)
					require.NotEmpty(t, body(t, c, first+next[:cut]), what)
					require.Contains(t, body(t, c, next[cut:]), map[string]string{get: " 1 0", post: " 3 4"}[next], what)
					require.Contains(t, body(t, c, post), " 3 4", what)
					require.NoError(t, c.Close())
				}
			}
		}
		s.expectHalfOpen(t, 0)
	}
	f("plain", Options{}, func(s *served) *testkit.Conn { return s.dial(t, "") })
	f("TLS", Options{TLS: certs.Config()}, func(s *served) *testkit.Conn {
		c := testkit.NewConn(t, tls.Client(s.dial(t, "").NetConn(), ca.client()))
		c.ReadTimeout = patience
		return c
	})
}

// A long first line is looked at once, not with each byte that comes behind it: the door
// has other connections.
func TestAFirstLineIsLookedAtOnce(t *testing.T) {
	var h headBounds
	line := []byte("GET /" + strings.Repeat("a", 100) + " HTTP/1.1\r\nA: b")
	require.False(t, h.odd(line))
	line[5] = 1
	require.False(t, h.odd(line), "that was seen before")
	require.True(t, new(headBounds).odd(line))
}
