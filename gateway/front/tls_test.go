package front

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/testkit"
)

// secure is what the HTTP server asks of a connection to take it for TLS.
type secure interface {
	Handshake() error
	ConnectionState() tls.ConnectionState
}

func TestOnlyTLSConnectionsLookLikeTLS(t *testing.T) {
	var plain, encrypted net.Conn = &Conn{}, &TLSConn{}
	require.NotImplements(t, (*secure)(nil), plain)
	require.Implements(t, (*secure)(nil), encrypted)
}

func TestProtocolsOfTLS(t *testing.T) {
	ca := newAuthority(t, "ca")
	certs := newCerts(t, ca.issue(t, 1))
	s := serve(t, Options{TLS: certs.Config()}, nil)
	f := func(name string, tune func(*tls.Config), version uint16, alpn string) {
		t.Helper()
		cfg := ca.client()
		tune(cfg)
		state, err := s.dialTLS(cfg)
		if version == 0 {
			require.Error(t, err, name)
			return
		}
		require.NoError(t, err, name)
		require.Equal(t, version, state.Version, name)
		require.Equal(t, alpn, state.NegotiatedProtocol, name)
	}
	f("the newest", func(*tls.Config) {}, tls.VersionTLS13, "")
	f("1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, tls.VersionTLS12, "")
	f("1.1", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, 0, "")
	f("a browser", func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }, tls.VersionTLS13, "http/1.1")
	f("HTTP/1.0 only", func(c *tls.Config) { c.NextProtos = []string{"http/1.0"} }, tls.VersionTLS13, "http/1.0")
	f("HTTP/2 only", func(c *tls.Config) { c.NextProtos = []string{"h2"} }, 0, "")
}

func TestRequestsOverTLS(t *testing.T) {
	ca := newAuthority(t, "ca")
	certs := newCerts(t, ca.issue(t, 1))
	opt := proxied()
	opt.TLS, opt.Waiting = certs.Config(), atMost(1)
	s := serve(t, opt, nil)
	raw := s.dial(t, "").NetConn()
	c := testkit.NewConn(t, tls.Client(&prefixed{Conn: raw, prefix: "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n"}, ca.client()))
	c.ReadTimeout = patience
	for range 3 {
		require.Equal(t, "192.0.2.7:1 1 0", body(t, c, get))
		require.Equal(t, "192.0.2.7:1 1 5", body(t, c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345"))
	}
	s.expectHalfOpen(t, 0)

	require.NoError(t, c.Close())
	plain := s.dial(t, "127.0.0.2")
	plain.Send(get)
	require.NotContains(t, expectGone(t, plain.NetConn()), "HTTP")
	testkit.EventuallyWithin(t, patience, func() bool { return s.Stats().HandshakesFailed == 1 }, "HTTP on a TLS port to fail")
}

// Closing tells the client that the answer is complete.
func TestCloseSaysFarewell(t *testing.T) {
	ca := newAuthority(t, "ca")
	certs := newCerts(t, ca.issue(t, 1))
	s := serve(t, Options{TLS: certs.Config()}, nil)
	f := func(name, request string) {
		t.Helper()
		nc, err := net.Dial("tcp", s.addr)
		require.NoError(t, err)
		defer func() { _ = nc.Close() }()
		c := tls.Client(nc, ca.client())
		require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
		_, err = io.WriteString(c, request)
		require.NoError(t, err)
		_, err = io.ReadAll(c)
		require.NoError(t, err, name)
		require.ErrorIs(t, c.CloseWrite(), nil)
	}
	f("after an answer", "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	f("after a bad request", "nonsense\r\n\r\n")
}

func TestHandshakeThatNeverFinishesFreesItsPlace(t *testing.T) {
	ca := newAuthority(t, "ca")
	certs := newCerts(t, ca.issue(t, 1))
	s := serve(t, Options{TLS: certs.Config(), Waiting: atMost(1)}, func(srv *fasthttp.Server) { srv.ReadTimeout = 100 * time.Millisecond })
	f := func(name, hello string) {
		t.Helper()
		failed := s.Stats().HandshakesFailed
		c := s.dial(t, "")
		c.Send(hello)
		expectGone(t, c.NetConn())
		testkit.EventuallyWithin(t, patience, func() bool { return s.Stats().HandshakesFailed == failed+1 }, name)
		s.expectHalfOpen(t, 0)
	}
	f("silent", "")
	f("in the middle of a hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
	f("in the middle of a record head", "\x16\x03")
	f("no TLS", "hello, I am no hello")

	trickling := s.dial(t, "")
	trickling.Send("\x16\x03\x01\x40\x00\x01\x00\x3f\xfc")
	for trickling.TrySend("\x03") == nil { // each byte in time, the whole never
		<-time.After(5 * time.Millisecond)
	}
	s.expectHalfOpen(t, 0)
	require.Zero(t, s.Stats().HalfOpenRefused)
}

func TestUnfinishedHandshakesAreHalfOpen(t *testing.T) {
	ca := newAuthority(t, "ca")
	certs := newCerts(t, ca.issue(t, 1))
	s := serve(t, Options{TLS: certs.Config(), Waiting: atMost(2)}, nil)
	first, second := s.dial(t, ""), s.dial(t, "")
	first.Send("\x16\x03\x01")
	s.expectHalfOpen(t, 2)
	require.Empty(t, expectGone(t, s.dial(t, "").NetConn()), "one more is closed at once")
	require.EqualValues(t, 1, s.Stats().HalfOpenRefused)
	require.Zero(t, s.Stats().HandshakesFailed, "counted once")

	require.NoError(t, second.Close())
	s.expectHalfOpen(t, 1)
	_, err := s.dialTLS(ca.client())
	require.NoError(t, err, "a freed place is usable")

	// The handshake alone frees nothing: a request is due.
	c := tls.Client(s.dial(t, "").NetConn(), ca.client())
	require.NoError(t, c.Handshake())
	s.expectHalfOpen(t, 2)
	require.NoError(t, first.Close())
	s.expectHalfOpen(t, 1)
	over := testkit.NewConn(t, c)
	over.ReadTimeout = patience
	body(t, over, get)
	s.expectHalfOpen(t, 0)
}

func TestHalfOpenCountsWhomTheProxyNames(t *testing.T) {
	opt := proxied()
	opt.Waiting = atMost(1)
	s := serve(t, opt, nil)
	const alice, bob = "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n", "PROXY TCP4 192.0.2.8 198.51.100.1 1 2\r\n"
	for range 3 {
		s.dial(t, "") // the proxy itself is trusted
		s.dial(t, "").Send("PROXY UNKNOWN\r\nGET")
	}
	s.expectHalfOpen(t, 3)
	s.dial(t, "").Send(alice + "GET")
	s.expectHalfOpen(t, 4)
	c := s.dial(t, "")
	c.Send(alice + get)
	require.Empty(t, expectGone(t, c.NetConn()))
	require.EqualValues(t, 1, s.Stats().HalfOpenRefused)
	require.Equal(t, "192.0.2.8", hostOf(t, body(t, s.dial(t, ""), bob+get)))
	require.Equal(t, "127.0.0.1", hostOf(t, body(t, s.dial(t, ""), "PROXY UNKNOWN\r\n"+get)))
}
