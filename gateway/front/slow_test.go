package front

import (
	"crypto/tls"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// Whoever is slow makes room for others wherever he has stopped: who serves him waits for him.
func TestSlowConnectionsMakeRoomWhereverTheyStop(t *testing.T) {
	ca := newAuthority(t, "ca")
	certs := newCerts(t, ca.issue(t, 1))
	const post = "POST / HTTP/1.1\r\nHost: h\r\n"
	f := func(name string, secure bool, stop func(c *testkit.Conn)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			w := NewWaiting(WaitingOptions{PerAddress: 1 << 20, IdlePerAddress: 1 << 20, Files: Files{Scarce: 8, None: 12}})
			opt := Options{Waiting: w}
			if secure {
				opt.TLS = certs.Config()
			}
			s := serve(t, opt, strictly)
			ask := func() {
				c := s.dial(t, "127.0.0.3")
				if secure {
					c = testkit.NewConn(t, tls.Client(c.NetConn(), ca.client()))
					c.ReadTimeout = patience
				}
				require.Equal(t, "127.0.0.3", hostOf(t, body(t, c, get)))
			}
			for n := range 40 {
				stop(s.dial(t, "127.0.0.2"))
				if n%8 == 7 {
					ask()
				}
			}
			for range 20 {
				ask()
			}
			require.LessOrEqual(t, w.used(), 12)
			require.Positive(t, w.Stats().Evicted)
			require.Zero(t, s.Stats().Shed)
		})
	}
	f("in a body", false, func(c *testkit.Conn) { _ = c.TrySend(post + "Content-Length: 100\r\n\r\nabc") })
	f("before a body", false, func(c *testkit.Conn) { _ = c.TrySend(post + "Content-Length: 100\r\n\r\n") })
	f("in a chunk", false, func(c *testkit.Conn) { _ = c.TrySend(post + "Transfer-Encoding: chunked\r\n\r\n5\r\nabc") })
	f("between chunks", false, func(c *testkit.Conn) { _ = c.TrySend(post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n") })
	f("in the request after an answer", false, func(c *testkit.Conn) { _ = c.TrySend(get + post) })
	f("before a handshake", true, func(*testkit.Conn) {})
	f("in a handshake", true, func(c *testkit.Conn) { _ = c.TrySend("\x16\x03\x01\x02\x00\x01") })
	f("behind a handshake", true, func(c *testkit.Conn) {
		_ = tls.Client(c.NetConn(), ca.client()).Handshake()
	})
	f("in a head behind a handshake", true, func(c *testkit.Conn) {
		_, _ = io.WriteString(tls.Client(c.NetConn(), ca.client()), "GET / HT")
	})
	f("in a body behind a handshake", true, func(c *testkit.Conn) {
		_, _ = io.WriteString(tls.Client(c.NetConn(), ca.client()), post+"Content-Length: 100\r\n\r\nabc")
	})
}

// A request that has come whole is not closed by what it takes itself, over TLS either, of
// which the socket shows nothing any more.
func TestNobodyIsClosedForWhatHisOwnRequestTakes(t *testing.T) {
	ca := newAuthority(t, "ca")
	w := NewWaiting(WaitingOptions{Head: 64 << 10, Bytes: 1})
	s := serve(t, Options{TLS: newCerts(t, ca.issue(t, 1)).Config(), Waiting: w}, strictly)
	for range 20 {
		c := testkit.NewConn(t, tls.Client(s.dial(t, "").NetConn(), ca.client()))
		c.ReadTimeout = patience
		require.Equal(t, "127.0.0.1", hostOf(t, body(t, c, get)))
		require.NoError(t, c.Close())
		expectOpen(t, w, 0)
	}
	require.Zero(t, w.Stats().Evicted)
}

// One who has the last place is let be until somebody else comes.
func TestTheLastPlaceIsNotEmptiedForNobody(t *testing.T) {
	w := NewWaiting(WaitingOptions{Files: Files{Scarce: 5, None: 10}, Others: func() int { return 9 }})
	s := serve(t, Options{Waiting: w}, strictly)
	for range 50 {
		c := s.dial(t, "")
		expectOpen(t, w, 1)
		require.True(t, closing(t, c, get))
		expectOpen(t, w, 0)
	}
	require.Zero(t, w.Stats().Evicted)
	require.Zero(t, s.Stats().Shed)
}

func expectOpen(t *testing.T, w *Waiting, n int64) {
	t.Helper()
	testkit.EventuallyWithin(t, patience, func() bool { return w.open.Load() == n }, fmt.Sprintf("%d open connections", n))
}
