package front

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// where is how far the server is with the one connection of a test.
type where struct{ half, idle int }

var (
	betweenRequests = where{idle: 1}
	withinAHead     = where{half: 1}
	withinABody     = where{half: 1, idle: -1} // a worker waits for it
)

// settles waits until the server has read what was sent of the one connection there is,
// and waits for more: at the gate, but for bodies.
func (s *served) settles(t *testing.T, at where) {
	t.Helper()
	testkit.EventuallyWithin(t, patience, func() bool {
		if st := s.waiting.Stats(); st.Half != at.half || st.Idle != max(at.idle, 0) {
			return false
		}
		if s.gate == nil {
			return true
		}
		switch st := s.gate.Stats(); at {
		case betweenRequests:
			return st.Idle == 1 && st.Head+st.Served == 0 && st.Bytes == 0
		case withinAHead:
			return st.Head == 1 && st.Idle+st.Served == 0
		default:
			return st.Served == 1
		}
	}, fmt.Sprintf("the server to wait at %+v", at))
}

// piece is a request, and what the answer says behind the address.
type piece struct{ head, body, want string }

var pipeline = []piece{
	{get, "", " 1 0"},
	{"POST /abc HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n", "\r\n\r\nGET", " 4 7"},
	{"GET /ab HTTP/1.1\r\nHost: h\r\n\r\n", "", " 3 0"},
	{get, "", " 1 0"},
}

// Wherever a pipeline is split, and the server waits in between, each request gets its
// answer; a worker waits for bodies only.
func TestPipelinesSplitAtEveryByte(t *testing.T) {
	s := serve(t, Options{Waiting: NewWaiting(WaitingOptions{PerAddress: 1, IdlePerAddress: 1})}, strictly)
	c := s.dial(t, "")
	var all strings.Builder
	for _, p := range pipeline {
		all.WriteString(p.head + p.body)
	}
	raw := all.String()
	for n := 1; n <= len(raw); n++ {
		c.Send(raw[:n])
		at, rest, left, behindABody := betweenRequests, n, pipeline, false
		for rest > 0 {
			p := left[0]
			if rest < len(p.head)+len(p.body) {
				if at = withinAHead; rest >= len(p.head) || behindABody {
					at = withinABody // what comes with a body is the HTTP server's
				}
				break
			}
			behindABody = behindABody || p.body != ""
			require.Equal(t, p.want, after(answer(t, c)), "split at %d", n)
			rest -= len(p.head) + len(p.body)
			left = left[1:]
		}
		s.settles(t, at)
		c.Send(raw[n:])
		for _, p := range left {
			require.Equal(t, p.want, after(answer(t, c)), "split at %d", n)
		}
	}
	s.settles(t, betweenRequests)
	require.EqualValues(t, 1, s.Stats().Accepted)
}

func TestProxyHeadersSplitAtEveryByte(t *testing.T) {
	s := serve(t, proxied(), strictly)
	f := func(header, want string) {
		t.Helper()
		raw := header + get
		for n := 1; n < len(raw); n++ {
			c := s.dial(t, "")
			c.Send(raw[:n])
			testkit.EventuallyWithin(t, patience, func() bool {
				if s.gate == nil {
					return s.waiting.open.Load() == 1
				}
				st := s.gate.Stats()
				return st.Head == 1 && st.Served == 0
			}, fmt.Sprintf("the first %d bytes to wait for the rest", n))
			c.Send(raw[n:])
			require.Equal(t, want, hostOf(t, answer(t, c)), "split at %d", n)
			require.Equal(t, want, hostOf(t, body(t, c, get)))
			require.NoError(t, c.Close())
			testkit.EventuallyWithin(t, patience, func() bool { return s.waiting.open.Load() == 0 }, "it to be closed")
		}
	}
	f("PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", "192.0.2.7")
	f(v2(t, tcp("192.0.2.8:1"), tcp("198.51.100.1:2"), 8), "192.0.2.8")
}

// cutting splits what is written.
type cutting struct {
	net.Conn
	at      int    // 0: not; -1: everywhere
	between func() // with at > 0
}

func (c *cutting) Write(p []byte) (n int, err error) {
	if c.at > 0 && c.at < len(p) {
		if n, err = c.Conn.Write(p[:c.at]); err != nil {
			return n, err
		}
		c.between()
	}
	for err == nil && n < len(p) {
		end, more := len(p), 0
		if c.at < 0 {
			end = n + 1
		}
		more, err = c.Conn.Write(p[n:end])
		n += more
	}
	return n, err
}

// A handshake that comes byte by byte comes to its end, also one that resumes; a record
// that is split anywhere waits for the rest at the gate, with no worker.
func TestTLSSplitAtEveryByte(t *testing.T) {
	ca := newAuthority(t, "ca")
	certs := newCerts(t, ca.issue(t, 1))
	s := serve(t, Options{TLS: certs.Config(), Waiting: NewWaiting(WaitingOptions{PerAddress: 1, IdlePerAddress: 1})}, strictly)
	cfg := ca.client()
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for i := range 3 {
		wire := &cutting{Conn: s.dial(t, "").NetConn(), at: -1}
		secure := tls.Client(wire, cfg)
		c := testkit.NewConn(t, secure)
		c.ReadTimeout = patience
		require.Equal(t, " 1 0", after(body(t, c, get)))
		require.Equal(t, i > 0, secure.ConnectionState().DidResume, "with a ticket")
		s.settles(t, betweenRequests)
		require.Equal(t, " 4 7", after(body(t, c, pipeline[1].head+pipeline[1].body)))
		s.settles(t, betweenRequests)
		wire.between = func() { s.settles(t, withinAHead) }
		for wire.at = 1; wire.at < len(get)+22; wire.at++ {
			require.Equal(t, " 1 0", after(body(t, c, get)), "a record split at %d", wire.at)
			s.settles(t, betweenRequests)
		}
		wire.at = 0
		require.NoError(t, c.Close())
		testkit.EventuallyWithin(t, patience, func() bool { return s.waiting.open.Load() == 0 }, "it to be closed")
	}
	require.Zero(t, s.Stats().HandshakesFailed)
}
