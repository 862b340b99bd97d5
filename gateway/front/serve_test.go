package front

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/gate"
	"sluice/gateway/testkit"
)

// patience is how long a test waits for what must happen; serverPatience is how
// long its server waits for clients, unless the test is about that.
const (
	patience       = time.Minute
	serverPatience = 10 * patience
)

// served is an HTTP server on a Listener. It answers with the client's address,
// the length of the path and that of the body.
type served struct {
	*Listener
	addr string
	gate *gate.Gate // nil if the HTTP server accepts

	mayPanic bool
}

// serve starts one on loopback; it ends with the test, and nothing may be left.
func serve(t *testing.T, opt Options, tune func(*fasthttp.Server)) *served {
	t.Helper()
	testkit.Snapshot(t, "fasthttp.updateServerDate", "fasthttp.(*workerPool).Start")
	opt.Plain = func([]byte) bool { return rand.IntN(2) == 0 }
	ln, err := Listen("127.0.0.1:0", opt)
	require.NoError(t, err)
	srv := &fasthttp.Server{
		Handler: func(ctx *fasthttp.RequestCtx) {
			Serving(ctx.Conn())
			fmt.Fprintf(ctx, "%s %d %d", ctx.RemoteAddr(), len(ctx.Path()), len(ctx.PostBody()))
		},
		ErrorHandler: func(ctx *fasthttp.RequestCtx, err error) {
			Linger(ctx.Conn())
			ctx.SetStatusCode(fasthttp.StatusTeapot)
		},
		ReduceMemoryUsage: true, // Conn tells by what it is asked for whether a request has begun
		ReadTimeout:       serverPatience, WriteTimeout: serverPatience, IdleTimeout: serverPatience,
		MaxIdleWorkerDuration: 50 * time.Millisecond, ReadBufferSize: 64 << 10, Logger: noLog{},
	}
	if tune != nil {
		tune(srv)
	}
	s := &served{Listener: ln, addr: ln.Addr().String()}
	end := s.byServer
	if onGate {
		end = s.byGate
	}
	stop := end(t, srv)
	t.Cleanup(func() {
		stop()
		testkit.EventuallyWithin(t, patience, func() bool {
			st := ln.waiting.Stats()
			return st.Half+st.Idle == 0
		}, "every place to be given back")
		testkit.EventuallyWithin(t, patience, func() bool { return ln.waiting.Stats().Held == 0 }, "all that they held to be given back")
	})
	return s
}

// onGate says who accepts: TestMain runs all tests either way.
var onGate bool

func TestMain(m *testing.M) {
	code := m.Run()
	if g, err := gate.New(gate.Options{Doors: 1, Workers: 1}); err == nil {
		g.Close()
		onGate = true
		deferAccept = func(net.Listener) {} // many tests are about who says nothing
		code = max(code, m.Run())
	}
	os.Exit(code)
}

func (s *served) byServer(t *testing.T, srv *fasthttp.Server) (stop func()) {
	done := make(chan error, 1)
	go func() { done <- srv.Serve(s.Listener) }()
	return func() {
		require.NoError(t, srv.Shutdown())
		require.NoError(t, <-done)
	}
}

func (s *served) byGate(t *testing.T, srv *fasthttp.Server) (stop func()) {
	t.Helper()
	ln := s.Listener
	headTime := srv.ReadTimeout
	for _, limit := range []time.Duration{ln.opt.HeaderTimeout, ln.opt.RequestTimeout} {
		if limit > 0 {
			headTime = min(headTime, limit)
		}
	}
	g, err := gate.New(gate.Options{Doors: 2, Workers: 1 << 16, Runners: 2, HeadTime: headTime, IdleTime: srv.IdleTimeout, HeadMax: srv.ReadBufferSize})
	require.NoError(t, err)
	s.gate = g
	require.NoError(t, ln.ServeOn(g, srv.ServeConn, func(err error) { t.Error(err) }))
	g.Start()
	return func() {
		require.NoError(t, ln.Close())
		g.Drain()
		g.Close()
		testkit.EventuallyWithin(t, patience, func() bool { return g.Stats().Served == 0 }, "what is served to end")
		st := g.Stats()
		require.Zero(t, st.Fresh+st.Head+st.Idle+int(st.Bytes), "nothing waits any more")
		require.True(t, st.Panics == 0 || s.mayPanic)
	}
}

type noLog struct{}

func (noLog) Printf(string, ...any) {}

const get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

// dial connects from a loopback address; "" is any.
func (s *served) dial(t *testing.T, from string) *testkit.Conn {
	t.Helper()
	d := net.Dialer{Timeout: patience}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	nc, err := d.Dial("tcp", s.addr)
	require.NoError(t, err)
	c := testkit.NewConn(t, nc)
	c.ReadTimeout = patience
	return c
}

// body sends a request and returns the body of the answer.
func body(t *testing.T, c *testkit.Conn, raw string) string {
	t.Helper()
	c.Send(raw)
	return answer(t, c)
}

func answer(t *testing.T, c *testkit.Conn) string {
	t.Helper()
	head := c.ReadHead(t)
	require.Equal(t, 200, head.Status, head.Raw)
	text, err := io.ReadAll(c.Body())
	require.NoError(t, err)
	return string(text)
}

// hostOf is the first word of an answer: the address, without the port.
func hostOf(t *testing.T, answer string) string {
	t.Helper()
	host, _, err := net.SplitHostPort(strings.Fields(answer)[0])
	require.NoError(t, err)
	return host
}

// expectGone waits until the peer closed the connection, in whatever way, and
// returns what it sent before.
func expectGone(t *testing.T, c net.Conn) string {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	var got strings.Builder
	_, err := io.Copy(&got, c)
	if ne, ok := err.(net.Error); ok {
		require.False(t, ne.Timeout(), "the peer keeps the connection open")
	}
	return got.String()
}

func (s *served) expectHalfOpen(t *testing.T, n int) {
	t.Helper()
	testkit.EventuallyWithin(t, patience, func() bool { return s.waiting.Stats().Half == n }, fmt.Sprintf("%d half-open connections", n))
}
