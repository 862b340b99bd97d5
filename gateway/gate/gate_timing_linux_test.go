//go:build !race

package gate

import (
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
)

// httpClient is what package front is, without any policy: the HTTP server serves.
type httpClient struct {
	*Conn
	srv  *fasthttp.Server
	take bool
}

func (h *httpClient) Read(p []byte) (int, error) {
	if len(p) == 1 {
		return h.First(p)
	}
	return h.Conn.Read(p)
}

func (h *httpClient) Begins() bool           { return true }
func (h *httpClient) Whole(have []byte) bool { return HeadEnd(have, 0) > 0 }
func (h *httpClient) Waits() bool            { return true }
func (h *httpClient) Plain([]byte) bool      { return true }
func (h *httpClient) Ended()                 {}

func (h *httpClient) Serve() {
	if !h.take {
		_ = h.srv.ServeConn(h)
		return
	}
	var some [512]byte
	_, _ = h.First(some[:])
	if fd, ok := h.TakeFD(); ok {
		_, _ = unix.Write(fd, ok200)
		_ = unix.Close(fd)
	}
}

var (
	get   = []byte("GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: test\r\n\r\n")
	ok200 = []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
)

// How doors share the connections of an address.
type sharing int

const (
	everyDoor sharing = iota // each waits for the one listener: what the gate does
	oneDoor                  // one waits for it
	ownSocket                // each has a listener of its own, by SO_REUSEPORT
)

// newHTTP is a gate before an HTTP server.
func newHTTP(t testing.TB, opt Options, take bool, how sharing) (*Gate, string) {
	srv := &fasthttp.Server{ReduceMemoryUsage: true, NoDefaultServerHeader: true, NoDefaultDate: true, NoDefaultContentType: true, Handler: func(*fasthttp.RequestCtx) {}}
	g, err := New(opt)
	require.NoError(t, err)
	accepted := func(c *Conn) Client { return &httpClient{Conn: c, srv: srv, take: take} }
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
	}}
	addr := "127.0.0.1:0"
	for only := range opt.Doors {
		lopt := ListenOptions{Accepted: accepted}
		if how != everyDoor {
			lopt.only = only + 1
		}
		ln, err := lc.Listen(t.Context(), "tcp", addr)
		require.NoError(t, err)
		addr = ln.Addr().String()
		_, err = g.Listen(ln, lopt)
		require.NoError(t, err)
		require.NoError(t, ln.Close())
		if how != ownSocket {
			break
		}
	}
	g.Start()
	t.Cleanup(g.Close)
	return g, addr
}

// exchange is a request and its answer, without allocations.
func exchange(c net.Conn, buf []byte) error {
	if _, err := c.Write(get); err != nil {
		return err
	}
	for n := 0; n < 4 || string(buf[n-4:n]) != "\r\n\r\n"; {
		m, err := c.Read(buf[n:])
		if err != nil {
			return err
		}
		n += m
	}
	return nil
}

// cpu reports what the process used for an operation: of a benchmark that shares the
// machine that says more than how long it took.
func cpu(b *testing.B) (report func()) {
	var was, is unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &was)
	return func() {
		_ = unix.Getrusage(unix.RUSAGE_SELF, &is)
		ns := is.Utime.Nano() + is.Stime.Nano() - was.Utime.Nano() - was.Stime.Nano()
		b.ReportMetric(float64(ns)/float64(b.N), "cpu-ns/op")
	}
}

// exchanges measures requests on one connection, one after the other.
func exchanges(b *testing.B, addr string) {
	c, err := net.Dial("tcp", addr)
	require.NoError(b, err)
	defer func() { _ = c.Close() }()
	buf := make([]byte, 512)
	b.ReportAllocs()
	defer cpu(b)()
	for b.Loop() {
		if err := exchange(c, buf); err != nil {
			b.Fatal(err)
		}
	}
}

// What a request costs on a connection that waits before it, and after it.
func BenchmarkRequestAcrossAPark(b *testing.B) {
	_, addr := newHTTP(b, Options{Doors: 2, Workers: 64, HeadTime: 1e10, IdleTime: 1e10}, false, everyDoor)
	exchanges(b, addr)
}

// The same without a gate.
func BenchmarkRequestWithoutGate(b *testing.B) {
	srv := &fasthttp.Server{ReduceMemoryUsage: true, NoDefaultServerHeader: true, NoDefaultDate: true, NoDefaultContentType: true, Handler: func(*fasthttp.RequestCtx) {}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	go func() { _ = srv.Serve(ln) }()
	defer func() { _ = ln.Close() }()
	exchanges(b, ln.Addr().String())
}

// What a connection costs from accept until its descriptor is taken, with the client's
// half of it; in the several ways in which doors can share a listener.
func BenchmarkAcceptServeTake(b *testing.B) {
	for how, name := range []string{"every door", "one door", "own socket"} {
		b.Run(name, func(b *testing.B) {
			_, addr := newHTTP(b, Options{Doors: 2, Workers: 64, HeadTime: 1e10, IdleTime: 1e10}, true, sharing(how))
			b.ReportAllocs()
			defer cpu(b)()
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				buf := make([]byte, 512)
				for pb.Next() {
					if err := once(addr, buf); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

func once(addr string, buf []byte) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := exchange(c, buf); err != nil {
		return err
	}
	if n, err := c.Read(buf); err != io.EOF {
		return fmt.Errorf("expected the end, got %d bytes, %w", n, err)
	}
	return nil
}

// A request on a connection that waits costs no allocation beyond what the HTTP server
// needs, and that is none.
func TestARequestAcrossAParkAllocatesNothing(t *testing.T) {
	g, addr := newHTTP(t, Options{Doors: 1, Workers: 8, HeadTime: 1e10, IdleTime: 1e10}, false, everyDoor)
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	buf := make([]byte, 512)
	require.NoError(t, exchange(c, buf))
	var failed error
	n := testing.AllocsPerRun(2000, func() {
		if err := exchange(c, buf); err != nil {
			failed = err
		}
	})
	require.NoError(t, failed)
	require.LessOrEqual(t, n, 2.0, "the byte that the HTTP server reads first of all, for a request and for none")
	require.Greater(t, g.Stats().Handed, uint64(1), "it waited between requests")
}
