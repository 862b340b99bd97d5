package front

import (
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/front/strict"
	"sluice/gateway/gate"
	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

// off waits until nothing is on the books of a listener.
func (s *served) off(t *testing.T, what string) {
	t.Helper()
	testkit.EventuallyWithin(t, patience, func() bool {
		w := s.waiting
		left := w.held.Load() + w.handled.Load() + w.working.Load() + w.open.Load() + w.private.Load() + s.lingering.Load() + int64(loop.Sockets())
		for i := range w.stripes {
			w.stripes[i].mu.Lock()
			left += int64(w.stripes[i].n.Len())
			w.stripes[i].mu.Unlock()
		}
		return left == 0
	}, what+": nothing to be left on the books")
}

// endings answers by the path in ways that end a connection.
func endings(srv *fasthttp.Server) {
	srv.Handler = strict.Handler(func(ctx *fasthttp.RequestCtx) {
		Serving(ctx.Conn())
		detach := func(c net.Conn) {
			if sock, err := loop.Detach(c, loop.SocketOptions{}); err == nil {
				sock.Discard()
			}
		}
		over := func(f func(net.Conn)) {
			c, ok := ctx.Conn().(*Conn)
			if !ok || !c.TakeOver(0, f) {
				ctx.HijackSetNoResponse(true)
				ctx.Hijack(f)
			}
		}
		switch string(ctx.Path()) {
		case "/taken":
			over(detach)
		case "/untaken":
			over(func(net.Conn) {})
		case "/cut":
			c := ctx.Conn().(fronted).bottom()
			over(func(top net.Conn) {
				c.cutOff()
				detach(top)
			})
		case "/hijacked":
			ctx.HijackSetNoResponse(true)
			ctx.Hijack(detach)
		case "/closed":
			ctx.SetConnectionClose()
		case "/lingers":
			Linger(ctx.Conn())
			ctx.SetConnectionClose()
		case "/large":
			ctx.SetBodyString(strings.Repeat("x", 32<<20))
		}
	}, func(ctx *fasthttp.RequestCtx, status int, _ string) { ctx.SetStatusCode(status) })
	srv.IdleTimeout, srv.ReadTimeout, srv.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
}

// However a connection ends, it leaves nothing on the books.
func TestConnectionsLeaveTheBooks(t *testing.T) {
	ca := newAuthority(t, "ca")
	certs := newCerts(t, ca.issue(t, 1))
	at := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n" }
	sends := map[string]string{
		"nothing": "", "a part of a head": "GET / HT", "nonsense": "nonsense\r\n\r\n", "a long head": "GET /" + strings.Repeat("x", 70<<10),
		"a part of a body":        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc",
		"an unwanted body":        "TRACE / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc",
		"a request":               get,
		"two":                     get + get,
		"one and a part":          get + get[:9],
		"a body and a part":       "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx" + get[:9],
		"taken":                   at("/taken"),
		"taken behind another":    get + at("/taken"),
		"taken before another":    at("/taken") + get,
		"not taken":               at("/untaken"),
		"cut before it was taken": at("/cut"),
		"hijacked":                at("/hijacked"),
		"the last":                at("/closed"),
		"heard out":               at("/lingers"),
		"one that is not read":    at("/large"),
	}
	leave := map[string]func(c *net.TCPConn){
		"stays":  func(*net.TCPConn) {},
		"closes": func(c *net.TCPConn) { _ = c.Close() },
		"ends":   func(c *net.TCPConn) { _ = c.CloseWrite() },
		"resets": func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() },
	}
	f := func(kind string, opt Options, before string, secure bool) {
		opt.Private = true
		opt.Waiting = NewWaiting(WaitingOptions{PerAddress: 100, IdlePerAddress: 100, Bytes: 1 << 30, Head: 64 << 10})
		s := serve(t, opt, endings)
		s.answerTime = 50 * time.Millisecond
		for _, raw := range sends {
			for _, end := range leave {
				nc, err := net.Dial("tcp", s.addr)
				require.NoError(t, err)
				defer func() { _ = nc.Close() }()
				var c net.Conn = nc
				_, _ = nc.Write([]byte(before))
				if secure && raw != "" {
					c = tls.Client(nc, ca.client())
				}
				_, _ = c.Write([]byte(raw))
				end(nc.(*net.TCPConn))
			}
		}
		s.off(t, kind)
	}
	f("plain", Options{}, "", false)
	f("TLS", Options{TLS: certs.Config()}, "", true)
	f("no TLS", Options{TLS: certs.Config()}, "", false)
	p := proxied()
	f("PROXY refused", p, "PROXY nonsense\r\n", false)
	f("half a PROXY header", p, "PROX", false)
	p.TLS = certs.Config()
	f("named TLS", p, "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n", true)
}

// Where some are closed for others, nothing is left either.
func TestConnectionsUnderPressureLeaveTheBooks(t *testing.T) {
	ca := newAuthority(t, "ca")
	certs := newCerts(t, ca.issue(t, 1))
	requests := []string{get, get + get, get[:9], get + get[:9], "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n", "GET /taken HTTP/1.1\r\nHost: h\r\n\r\n", "GET /hijacked HTTP/1.1\r\nHost: h\r\n\r\n"}
	for _, secure := range []bool{false, true} {
		opt := Options{Waiting: NewWaiting(WaitingOptions{
			PerAddress: 6, IdlePerAddress: 3, Bytes: 1 << 20, Head: 64 << 10,
			Files: Files{Scarce: 8, None: 12},
		})}
		if secure {
			opt.TLS = certs.Config()
		}
		s := serve(t, opt, endings)
		var clients sync.WaitGroup
		closed := func() uint64 {
			st := s.waiting.Stats()
			return st.Evicted + st.Older + st.Lasts
		}
		// On a slow machine it takes longer until one is closed for another.
		until, most := time.Now().Add(time.Second/4), time.Now().Add(time.Minute)
		for i := range 16 {
			clients.Go(func() {
				rnd := rand.New(rand.NewPCG(1, uint64(i)))
				for now := time.Now(); now.Before(until) || closed() == 0 && now.Before(most); now = time.Now() {
					nc, err := net.Dial("tcp", s.addr)
					if err != nil {
						continue
					}
					_ = nc.SetDeadline(time.Now().Add(time.Second / 4))
					var c net.Conn = nc
					if secure {
						c = tls.Client(nc, ca.client())
					}
					for range rnd.IntN(4) {
						_, _ = io.WriteString(c, requests[rnd.IntN(len(requests))])
						if rnd.IntN(2) == 0 {
							_, _ = c.Read(make([]byte, 1000))
						}
					}
					_ = nc.Close()
				}
			})
		}
		clients.Wait()
		s.off(t, fmt.Sprint("secure ", secure))
		require.NotZero(t, closed())
	}
}

// Neither where what serves one panics, in the midst of whatever.
func TestConnectionsWhoseServerPanicsLeaveTheBooks(t *testing.T) {
	ln, err := Listen("127.0.0.1:0", Options{Waiting: atMost(3)})
	require.NoError(t, err)
	g, err := gate.New(gate.Options{Doors: 1, Workers: 10})
	if err != nil {
		_ = ln.Close()
		t.Skip("there is no gate here")
	}
	srv := &fasthttp.Server{ReduceMemoryUsage: true, Logger: noLog{}, Handler: func(ctx *fasthttp.RequestCtx) {
		Linger(ctx.Conn())
		panic("in the handler")
	}}
	require.NoError(t, ln.ServeOn(g, srv.ServeConn, func(err error) { t.Error(err) }))
	g.Start()
	defer g.Close()
	s := &served{Listener: ln, addr: ln.Addr().String()}
	defer func() { _ = s.Close() }()
	c := s.dial(t, "")
	c.Send(get)
	expectGone(t, c.NetConn())
	s.off(t, "a panic")
	require.EqualValues(t, 1, g.Stats().Panics)
}
