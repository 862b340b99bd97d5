package front

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/front/client"
	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

func everybody(netip.Addr) bool { return true }

// proxied accepts PROXY headers from 127.0.0.1 only.
func proxied() Options {
	return Options{
		ProxyProtocol: true, HeaderTimeout: serverPatience,
		Trusted: func(a netip.Addr) bool { return a == netip.MustParseAddr("127.0.0.1") },
	}
}

// v2 returns a header of version 2 from these ends, with so many bytes of TLVs.
func v2(t *testing.T, from, to net.Addr, extra int) string {
	t.Helper()
	h := proxyproto.HeaderProxyFromAddrs(2, from, to)
	if extra > 0 {
		require.NoError(t, h.SetTLVs([]proxyproto.TLV{{Type: proxyproto.PP2_TYPE_MIN_CUSTOM, Value: make([]byte, extra)}}))
	}
	raw, err := h.Format()
	require.NoError(t, err)
	return string(raw)
}

func tcp(s string) *net.TCPAddr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

func TestProxyHeaderNamesTheClient(t *testing.T) {
	s := serve(t, proxied(), nil)
	f := func(name, header, want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			c := s.dial(t, "")
			require.Equal(t, want, hostOf(t, body(t, c, header+get)), "in one piece")
			require.Equal(t, want, hostOf(t, body(t, c, get)), "for all requests of the connection")
			long := "GET /" + strings.Repeat("x", 20<<10) + " HTTP/1.1\r\nHost: h\r\n\r\n"
			require.Equal(t, " 20481 0", after(body(t, s.dial(t, ""), header+long)), "nothing behind it is lost")

			c = s.dial(t, "")
			c.Send(header)
			require.Equal(t, want, hostOf(t, body(t, c, get)), "in two pieces")

			ours, theirs := net.Pipe() // each Write is a Read of its own
			go func() {
				for _, b := range []byte(header + get) {
					_, _ = theirs.Write([]byte{b})
				}
				_ = theirs.Close()
			}()
			head, behind, err := collectHeader(ours)
			require.NoError(t, err)
			require.Equal(t, header, string(head), "byte by byte")
			require.Empty(t, behind)
			named, err := clientIn(head)
			require.NoError(t, err)
			if named == nil {
				named = tcp("127.0.0.1:1")
			}
			require.Equal(t, want, addrOf(named).String())
			require.NoError(t, ours.Close())
		})
	}
	f("version 1, IPv4", "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", "192.0.2.7")
	f("version 1, IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n", "2001:db8::7")
	f("version 1, IPv4 called IPv6, as nginx does", "PROXY TCP6 192.0.2.7 ::1 56324 443\r\n", "192.0.2.7")
	f("version 1, both of them", "PROXY TCP6 192.0.2.7 198.51.100.1 56324 443\r\n", "192.0.2.7")
	f("version 1, unknown", "PROXY UNKNOWN\r\n", "127.0.0.1")
	f("version 1, unknown with addresses", "PROXY UNKNOWN 192.0.2.7 198.51.100.1 56324 443\r\n", "127.0.0.1")
	f("version 2, IPv4", v2(t, tcp("192.0.2.8:1"), tcp("198.51.100.1:2"), 0), "192.0.2.8")
	f("version 2, IPv6", v2(t, tcp("[2001:db8::8]:1"), tcp("[2001:db8::1]:2"), 0), "2001:db8::8")
	f("version 2, longer than the buffer", v2(t, tcp("192.0.2.9:1"), tcp("198.51.100.1:2"), 3<<10), "192.0.2.9")
	f("version 2, local", v2(t, nil, nil, 0), "127.0.0.1")
	f("version 2, local with addresses", "\r\n\r\n\x00\r\nQUIT\n\x20\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x00\x01\x00\x02", "127.0.0.1")
	f("version 2, local of a family that nobody knows", "\r\n\r\n\x00\r\nQUIT\n\x20\x77\x00\x03abc", "127.0.0.1")
	f("version 2, no family", "\r\n\r\n\x00\r\nQUIT\n\x21\x00\x00\x00", "127.0.0.1")
	f("version 2, no family but a stream", "\r\n\r\n\x00\r\nQUIT\n\x21\x01\x00\x00", "127.0.0.1")
	f("version 2, no family, and TLVs", "\r\n\r\n\x00\r\nQUIT\n\x21\x00\x00\x05\x03\x00\x02ab", "127.0.0.1")
	f("version 2, a path of a Unix socket", v2(t, &net.UnixAddr{Net: "unix", Name: "/a"}, &net.UnixAddr{Net: "unix", Name: "/b"}, 0), "127.0.0.1")
	require.Zero(t, s.Stats().ProxyRefused)
}

// after returns an answer without the address.
func after(answer string) string { return answer[strings.IndexByte(answer, ' '):] }

func TestBadProxyHeaderClosesWithoutAnAnswer(t *testing.T) {
	s := serve(t, proxied(), nil)
	refused := uint64(0)
	f := func(name, raw string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			c := s.dial(t, "")
			c.Send(raw)
			require.Empty(t, expectGone(t, c.NetConn()))
			refused++
			require.Equal(t, refused, s.Stats().ProxyRefused)
		})
	}
	f("none", get)
	f("none, and TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
	f("an address that is none", "PROXY TCP4 192.0.2.777 198.51.100.1 1 2\r\n"+get)
	f("IPv6 called IPv4", "PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n"+get)
	f("a port too high", "PROXY TCP4 192.0.2.7 198.51.100.1 65536 2\r\n"+get)
	f("another protocol", "PROXY SCTP4 192.0.2.7 198.51.100.1 1 2\r\n"+get)
	f("a field too few", "PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n"+get)
	f("a bare line feed", "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n"+get)
	f("no end", "PROXY TCP4 "+strings.Repeat("1", 500))
	f("a family that only begins like none", "PROXY UNKNOWNS\r\n"+get)
	f("unknown, and a bare line feed", "PROXY UNKNOWN\n"+get)
	f("version 3", "\r\n\r\n\x00\r\nQUIT\n\x31\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x00\x01\x00\x02"+get)
	f("an unknown family", "\r\n\r\n\x00\r\nQUIT\n\x21\x51\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x00\x01\x00\x02"+get)
	f("shorter than its addresses", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x04\x01\x02\x03\x04"+get)
	f("longer than allowed", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff\x01\x02\x03\x04\x05\x06\x07\x08\x00\x01\x00\x02"+get)

	c := s.dial(t, "")
	c.Send("PROXY TCP4 192")
	require.NoError(t, c.Close())
	testkit.EventuallyWithin(t, patience, func() bool { return s.Stats().ProxyRefused == refused+1 }, "a header cut off to be counted")
	require.Equal(t, "127.0.0.1", hostOf(t, body(t, s.dial(t, ""), "PROXY UNKNOWN\r\n"+get)), "the server is well")
}

// A header without an address leaves the connection to the peer: what it claims in
// X-Forwarded-For counts if the peer is trusted to name clients that way.
func TestNamelessProxyHeaderLeavesTheWordToThePeer(t *testing.T) {
	const unspec = "\r\n\r\n\x00\r\nQUIT\n\x21\x00\x00\x00"
	const claim = "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"
	f := func(name, from, names, header, want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			p, err := client.NewProxies([]string{"127.0.0.1"}, names)
			require.NoError(t, err)
			opt := proxied()
			opt.Trusted = p.Trusts
			s := serve(t, opt, func(srv *fasthttp.Server) {
				srv.Handler = func(ctx *fasthttp.RequestCtx) {
					Serving(ctx.Conn())
					fmt.Fprint(ctx, p.Client(addrOf(ctx.RemoteAddr()), &ctx.Request.Header))
				}
			})
			require.Equal(t, want, body(t, s.dial(t, from), header+claim))
		})
	}
	for _, header := range []string{"PROXY UNKNOWN\r\n", unspec, v2(t, nil, nil, 0)} {
		f("a proxy that names clients", "127.0.0.1", client.XForwardedFor, header, "203.0.113.9")
		f("one that does not", "127.0.0.1", client.NoForwarded, header, "127.0.0.1")
	}
	f("a stranger has no header", "127.0.0.2", client.XForwardedFor, "", "127.0.0.2")
	f("a client that has an address", "127.0.0.1", client.XForwardedFor, "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n", "192.0.2.7")
	f("a client that is a proxy", "127.0.0.1", client.XForwardedFor, "PROXY TCP4 127.0.0.1 198.51.100.1 1 2\r\n", "203.0.113.9")
}

// A load balancer that only looks whether the port is open has done no wrong.
func TestPortCheckIsNoBadHeader(t *testing.T) {
	s := serve(t, proxied(), nil)
	require.NoError(t, s.dial(t, "").Close())
	testkit.EventuallyWithin(t, patience, func() bool { return s.Stats().Accepted == 1 }, "the check to be accepted")
	require.Equal(t, "127.0.0.1", hostOf(t, body(t, s.dial(t, ""), "PROXY UNKNOWN\r\n"+get)))
	require.Zero(t, s.Stats().ProxyRefused)
}

func TestProxyHeaderFromAStrangerIsBadHTTP(t *testing.T) {
	opt := proxied()
	opt.Trusted = func(netip.Addr) bool { return false }
	s := serve(t, opt, nil)
	c := s.dial(t, "")
	c.Send("PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n" + get)
	require.Equal(t, fasthttp.StatusTeapot, c.ReadHead(t).Status)
	require.Equal(t, "127.0.0.1", hostOf(t, body(t, s.dial(t, ""), get)), "and without one it is served")
}

func TestProxyHeaderIsBadHTTPUnlessAskedFor(t *testing.T) {
	s := serve(t, Options{Trusted: everybody}, nil)
	c := s.dial(t, "")
	c.Send("PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n" + get)
	require.Equal(t, fasthttp.StatusTeapot, c.ReadHead(t).Status)
}

func TestSilentProxyKeepsNobodyWaiting(t *testing.T) {
	s := serve(t, proxied(), nil) // it may be silent for longer than the test waits
	for range 20 {
		s.dial(t, "")
	}
	require.Equal(t, "192.0.2.7", hostOf(t, body(t, s.dial(t, ""), "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n"+get)))
}

func TestLateProxyHeaderClosesTheConnection(t *testing.T) {
	opt := proxied()
	opt.HeaderTimeout = 50 * time.Millisecond
	s := serve(t, opt, nil)
	silent, trickling := s.dial(t, ""), s.dial(t, "")
	header := v2(t, tcp("192.0.2.8:1"), tcp("198.51.100.1:2"), 3<<10)
	for i := 0; i < len(header) && trickling.TrySend(header[i:i+1]) == nil; i++ {
		<-time.After(5 * time.Millisecond) // the whole would take 15 s
	}
	require.Empty(t, expectGone(t, trickling.NetConn()))
	require.Empty(t, expectGone(t, silent.NetConn()))
	testkit.EventuallyWithin(t, patience, func() bool { return s.Stats().ProxyRefused == 2 }, "both to be counted")
}

// The deadline of the header is not left behind for what follows.
func TestReadDeadlineReturnsAfterTheProxyHeader(t *testing.T) {
	raw := &deadlines{head: "PROXY UNKNOWN\r\n"}
	c := &Conn{Conn: raw, header: true, trusted: true, ln: Wrap(newScripted(), Options{HeaderTimeout: time.Second})}
	defer c.ln.letGo()
	later := time.Now().Add(time.Hour)
	require.NoError(t, c.SetReadDeadline(later))
	_, _ = c.Read(make([]byte, 8))
	require.Zero(t, raw.read.Sub(later))
	require.Len(t, raw.all, 3, "its own was set between")
	require.WithinRange(t, raw.all[1], time.Now().Add(-time.Minute), time.Now().Add(time.Second))
}

// deadlines is a connection that notes its deadlines; it reads as head, and
// then ends.
type deadlines struct {
	net.Conn
	head        string
	read, write time.Time
	all         []time.Time
}

func (d *deadlines) Read(p []byte) (int, error) {
	n := copy(p, d.head)
	d.head = d.head[n:]
	if n == 0 {
		return 0, net.ErrClosed
	}
	return n, nil
}

func (d *deadlines) RemoteAddr() net.Addr { return tcp("192.0.2.1:1") }
func (d *deadlines) Close() error         { return nil }

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.read, d.all = t, append(d.all, t)
	return nil
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.write = t
	return nil
}

func (d *deadlines) SetDeadline(t time.Time) error {
	d.read, d.write = t, t
	return nil
}

func TestNoReadDeadlineLiesBehindTheEndOfTheRequest(t *testing.T) {
	raw := &deadlines{head: "many bytes of requests"}
	c := &Conn{Conn: raw, ln: Wrap(newScripted(), Options{RequestTimeout: time.Minute})}
	defer c.ln.letGo()
	buf := make([]byte, 4)
	now := time.Now()
	soon, late := now.Add(time.Second), now.Add(time.Hour)
	set := func(at time.Time) time.Time {
		t.Helper()
		require.NoError(t, c.SetReadDeadline(at))
		return raw.read
	}
	inTime := func(at time.Time) {
		t.Helper()
		require.False(t, at.IsZero() || at.After(time.Now().Add(time.Minute)), at)
	}
	require.Equal(t, late, set(late), "nothing was read yet")
	_, err := c.Read(buf)
	require.NoError(t, err)
	require.Equal(t, soon, set(soon), "sooner stays as it is")
	first := set(late)
	inTime(first)
	require.Equal(t, first, set(late), "it does not move")
	require.Equal(t, first, set(time.Time{}))
	require.NoError(t, c.SetDeadline(late))
	require.Equal(t, first, raw.read)
	require.Equal(t, late, raw.write, "writing has its own time")

	Serving(c)
	require.Equal(t, late, set(late), "between requests")
	require.NoError(t, c.SetDeadline(time.Time{}))
	require.Zero(t, raw.read)
	_, err = c.Read(buf)
	require.NoError(t, err)
	inTime(set(late))
	require.False(t, set(late).Before(first), "the next request has its own")
}

// A loop finds the socket below all that is ours, and what a worker does to the
// connection afterwards does not reach the client.
func TestLoopTakesTheSocket(t *testing.T) {
	ca := newAuthority(t, "ca")
	certs := newCerts(t, ca.issue(t, 1))
	f := func(name string, secure bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			testkit.Snapshot(t)
			opt := proxied()
			if secure {
				opt.TLS = certs.Config()
			}
			l, err := Listen("127.0.0.1:0", opt)
			require.NoError(t, err)
			defer func() { require.NoError(t, l.Close()) }()
			raw, err := net.Dial("tcp", l.Addr().String())
			require.NoError(t, err)
			defer func() { _ = raw.Close() }()
			peer := net.Conn(&prefixed{Conn: raw, prefix: "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n"})
			if secure {
				cfg := ca.client()
				cfg.SessionTicketsDisabled = true // nothing follows the handshake
				peer = tls.Client(peer, cfg)
			}
			c, err := l.Accept()
			require.NoError(t, err)
			wrote := make(chan error, 1)
			go func() {
				_, err := peer.Write([]byte("hello"))
				wrote <- err
			}()
			require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
			buf := make([]byte, 5)
			_, err = c.Read(buf)
			require.NoError(t, err)
			require.NoError(t, <-wrote)
			require.Equal(t, "hello", string(buf))
			require.Equal(t, "192.0.2.7:1", c.RemoteAddr().String())
			Serving(c)

			sock, err := loop.Detach(c, loop.SocketOptions{})
			require.NoError(t, err)
			require.NoError(t, c.Close())
			if secure {
				_, err = c.(*TLSConn).Conn.Write([]byte("later")) // as the loop does
				require.NoError(t, err, "the cipher lives on")
			}
			sock.Discard()
			require.Empty(t, expectGone(t, raw), "not even a farewell was sent")
		})
	}
	f("plain", false)
	f("TLS", true)
}

// prefixed writes a prefix in front of the first bytes, in one piece.
type prefixed struct {
	net.Conn
	prefix string
}

func (p *prefixed) Write(b []byte) (int, error) {
	n, err := p.Conn.Write(append([]byte(p.prefix), b...))
	n, p.prefix = max(0, n-len(p.prefix)), ""
	return n, err
}
