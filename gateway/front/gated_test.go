package front

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

// gated starts a server on a gate; without one the test is skipped.
func gated(t *testing.T, opt Options, tune func(*fasthttp.Server)) *served {
	t.Helper()
	if !onGate {
		t.Skip("only on a gate")
	}
	return serve(t, opt, tune)
}

// takingOver makes handlers take the connection over, but for /stay. Whoever has its
// descriptor then says how long the body was.
func takingOver(srv *fasthttp.Server) {
	srv.Handler = func(ctx *fasthttp.RequestCtx) {
		Serving(ctx.Conn())
		c, ok := ctx.Conn().(*Conn)
		body := len(ctx.PostBody())
		switch {
		case string(ctx.Path()) == "/stay":
			ctx.SetBodyString("stays")
		case !ok || !c.TakeOver(body, func(c net.Conn) { speak(c, fmt.Sprintf("taken %d", body)) }):
			ctx.SetBodyString("answered")
			ctx.SetConnectionClose()
		}
	}
	strictly(srv)
}

// speak takes the descriptor of a connection, writes to it and closes it.
func speak(c net.Conn, text string) {
	taker := c.(*Conn).NetConn().(interface{ TakeFD() (int, bool) })
	if fd, ok := taker.TakeFD(); ok {
		_, _ = syscall.Write(fd, []byte(text))
		_ = syscall.Close(fd)
	}
}

func TestTakeOver(t *testing.T) {
	s := gated(t, Options{Waiting: NewWaiting(WaitingOptions{PerAddress: 10, IdlePerAddress: 10})}, takingOver)
	const stay = "GET /stay HTTP/1.1\r\nHost: h\r\n\r\n"
	const post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
	f := func(name, want string, pieces ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			c := s.dial(t, "")
			for i, p := range pieces {
				if i > 0 && p != "" {
					<-time.After(5 * time.Millisecond) // likely pieces of their own; right in any case
				}
				c.Send(p)
			}
			require.Equal(t, want, says(expectGone(t, c.NetConn())))
			testkit.EventuallyWithin(t, patience, func() bool { return s.waiting.used() == 0 }, "it to be off the books")
		})
	}
	f("GET", "taken 0", get)
	f("a head in pieces", "taken 0", get[:7], get[7:20], get[20:])
	f("HTTP/1.0", "taken 0", "GET / HTTP/1.0\r\n\r\n")
	f("a body", "taken 5", post+"12345")
	f("a body that comes later", "taken 5", post, "12", "345")
	f("the second request of a connection", "taken 0", stay, get)
	f("the same, with the first one", "taken 0", stay+get)
	f("something follows", "answered", get+"x")
	f("something follows a body", "answered", post+"12345\r\n")
	f("another request follows", "answered", get+get)
	f("a body in chunks", "answered", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n")
	require.Zero(t, s.gate.Stats().Panics)
}

// says is the last word of what a peer sent: of an answer its body.
func says(text string) string {
	for _, known := range []string{"answered", "taken 0", "taken 5"} {
		if len(text) >= len(known) && text[len(text)-len(known):] == known {
			return known
		}
	}
	return text
}

// A panic of who takes over ends the connection, and nothing else.
func TestWhoTakesOverPanics(t *testing.T) {
	s := gated(t, Options{}, func(srv *fasthttp.Server) {
		srv.Handler = func(ctx *fasthttp.RequestCtx) {
			Serving(ctx.Conn())
			if string(ctx.Path()) != "/" || !ctx.Conn().(*Conn).TakeOver(0, func(net.Conn) { panic("here") }) {
				ctx.SetBodyString("answered")
			}
		}
	})
	s.mayPanic = true
	for range 3 {
		c := s.dial(t, "")
		c.Send(get)
		require.Empty(t, expectGone(t, c.NetConn()))
	}
	require.Equal(t, "answered", body(t, s.dial(t, ""), "GET /else HTTP/1.1\r\nHost: h\r\n\r\n"))
	testkit.EventuallyWithin(t, patience, func() bool { return s.gate.Stats().Panics == 3 }, "the panics to be counted")
}

func TestAnIdleConnectionOverTLSEndsWithAFarewell(t *testing.T) {
	ca := newAuthority(t, "ca")
	s := gated(t, Options{TLS: newCerts(t, ca.issue(t, 1)).Config()}, func(srv *fasthttp.Server) { srv.IdleTimeout = 50 * time.Millisecond })
	c, err := tls.Dial("tcp", s.addr, ca.client())
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	body(t, testkit.NewConn(t, c), get)
	_, err = c.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err, "without a farewell it is unexpected")
}

// holdsBack is a connection whose writes can be held back.
type holdsBack struct {
	net.Conn
	holds bool
	held  []byte
}

func (h *holdsBack) Write(p []byte) (int, error) {
	if !h.holds {
		return h.Conn.Write(p)
	}
	h.held = append(h.held, p...)
	return len(p), nil
}

// The state of TLS has what came of the next record: such a connection must not wait for
// another one.
func TestTheNextRecordComesInPieces(t *testing.T) {
	ca := newAuthority(t, "ca")
	s := gated(t, Options{TLS: newCerts(t, ca.issue(t, 1)).Config()}, nil)
	raw, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	far := &holdsBack{Conn: raw}
	cfg := ca.client()
	c := testkit.NewConn(t, tls.Client(far, cfg))
	body(t, c, get)
	far.holds = true
	c.Send(get)
	size := len(far.held)
	for cut := 1; cut < size; cut += 3 {
		c.Send(get)
		_, err := raw.Write(far.held[:size+cut])
		require.NoError(t, err)
		answer(t, c)
		_, err = raw.Write(far.held[size+cut:])
		require.NoError(t, err)
		answer(t, c)
		far.held = far.held[:0]
		testkit.EventuallyWithin(t, patience, func() bool { return s.gate.Stats().Idle == 1 }, "it to be idle")
		c.Send(get)
	}
}

// Where descriptors run out the idle ones go first, then those that nobody has accepted;
// and who comes later is served.
func TestAcceptWithoutDescriptors(t *testing.T) {
	defer func(old func(net.Listener)) { deferAccept = old }(deferAccept)
	deferAccept = loop.DeferAccept // the last one is accepted when it sends something
	s := gated(t, Options{Waiting: NewWaiting(WaitingOptions{})}, strictly)
	var idle []*testkit.Conn
	for range 8 {
		c := s.dial(t, "")
		require.False(t, closing(t, c, get))
		idle = append(idle, c)
	}
	s.expectIdle(t, len(idle))
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	last := s.dial(t, "")
	newest, err := last.NetConn().(*net.TCPConn).File()
	require.NoError(t, err)
	none := syscall.Rlimit{Cur: uint64(newest.Fd()), Max: limit.Max} // nothing is free below
	require.NoError(t, newest.Close())
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none))
	restored := false
	restore := func() {
		if !restored {
			restored = true
			require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
		}
	}
	defer restore()
	require.False(t, closing(t, last, get), "an idle one made room")
	restore()
	require.Positive(t, s.waiting.Stats().Evicted)
	require.Positive(t, s.Stats().Retries)
	require.False(t, closing(t, s.dial(t, ""), get))
}

// Ten thousand of them are there for a long time, most of which they wait.
func TestAConnectionIsSmall(t *testing.T) {
	require.LessOrEqual(t, int(unsafe.Sizeof(Conn{})), 288, "the size of a class of the allocator: one byte more costs 32")
}
