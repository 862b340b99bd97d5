// Package hijack takes connections out of the HTTP server and hands them to sessions,
// for every endpoint whose answers are streams. It knows nothing of requests but what
// lies behind them on their connection.
package hijack

import (
	"errors"
	"log/slog"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/gateway/broker"
	"sluice/gateway/loop"
	"sluice/gateway/session"
	"sluice/gateway/tally"
)

// Taker takes the connections of one endpoint over. Make it with [New]; its methods may
// be called from any goroutine.
type Taker struct {
	// Immutable after New.
	sessions *session.Manager
	socket   loop.SocketOptions
	log      *slog.Logger

	// Atomic.
	undetached atomic.Uint64
	took       tally.Shared
}

// New makes a taker that hands connections to m. socket is what the kernel is told about
// each of them.
func New(m *session.Manager, socket loop.SocketOptions, log *slog.Logger) *Taker {
	return &Taker{sessions: m, socket: socket, log: log}
}

// ErrSentMore refuses a connect that something follows: there is no answer to a
// second request on a connection that has become a stream.
var ErrSentMore = errors.New("nothing may follow the request for a stream on its connection")

// Take takes the connection of a request over, when its handler has returned: with a plan
// it becomes a stream that begins as conn says, without one conn.Request tells refused.
// conn lacks its socket yet, and may hold nothing of ctx. What the plan reserved is given
// back, whatever happens.
func (t *Taker) Take(ctx *fasthttp.RequestCtx, conn *session.Conn, plan *session.Plan, refused error) {
	t.sessions.Enter()
	k := &taking{t: t, began: ctx.Time(), conn: conn, plan: plan, refused: refused}
	// Whoever comes first: see front.Conn.OnClose. Without it a client could
	// make us hold places for streams that never were.
	if c, ok := ctx.Conn().(interface{ OnClose(f func()) }); ok {
		c.OnClose(k.closed)
	}
	c, ok := ctx.Conn().(interface {
		TakeOver(body int, f func(net.Conn)) bool
	})
	if body := ctx.Request.Header.ContentLength(); ok && body != chunked && c.TakeOver(max(body, 0), k.alone) {
		return
	}
	// Without NoResponse fasthttp would skip the handler for HTTP/1.0 and
	// for "Connection: close", so the response head is ours.
	ctx.HijackSetNoResponse(true)
	ctx.Hijack(k.hijacked)
}

// chunked is what fasthttp says of the length of such a body.
const chunked = -1

// taking is a connection on its way. Why one thing and not closures: there is one for each
// connect.
type taking struct {
	// Immutable after Take.
	t       *Taker
	began   time.Time
	plan    *session.Plan
	refused error

	// Owned by whoever takes it first, and by the session from then on.
	conn *session.Conn

	// Atomic.
	taken atomic.Bool
}

// first reports whether nobody took the connection before.
func (k *taking) first() bool { return k.taken.CompareAndSwap(false, true) }

// closed is told that the connection is: unless it was taken over before, it never will be.
func (k *taking) closed() {
	if !k.first() {
		return
	}
	if k.plan != nil {
		k.t.sessions.Abandon(k.plan)
	}
	k.t.sessions.Leave()
}

// alone takes over a connection on which nothing follows the request.
func (k *taking) alone(c net.Conn) { k.over(c, sentNothing) }

// hijacked takes over a connection from fasthttp's Hijack.
func (k *taking) hijacked(c net.Conn) { k.over(c, sentMore) }

func (k *taking) over(c net.Conn, more func(net.Conn) bool) {
	if !k.first() {
		return
	}
	defer func() { k.t.took.Add(time.Since(k.began)) }()
	k.t.takeOver(c, more, k.conn, k.plan, k.refused)
}

// takeOver runs on the goroutine that served the request, or on one of its own. The
// connection is the HTTP server's: it is closed when this returns, and only its
// descriptor, or a duplicate of it, lives on.
func (t *Taker) takeOver(c net.Conn, sent func(net.Conn) bool, conn *session.Conn, plan *session.Plan, refused error) {
	defer t.sessions.Leave()
	detached, owned := false, false // owned by the session once it is called
	defer func() {
		if v := recover(); v != nil {
			t.log.Error("panic while opening a stream", "request", conn.Request.ID(), "panic", v, "stack", string(debug.Stack()))
		}
		if owned {
			return
		}
		if plan != nil {
			t.sessions.Abandon(plan)
		}
		if detached {
			conn.Socket.Discard()
		}
	}()
	more := sent(c)
	var err error
	if conn.Socket, err = loop.Detach(c, t.socket); err != nil {
		n := t.undetached.Add(1)
		if n&(n-1) == 0 && !errors.Is(err, net.ErrClosed) { // at powers of two: any client can cause it
			t.log.Error("a connection cannot be streamed to", "request", conn.Request.ID(), "error", err, "failures", n)
		}
		return
	}
	detached = true
	switch {
	case more:
		if plan != nil {
			t.sessions.Abandon(plan)
		}
		owned = true
		t.sessions.Refuse(conn, loop.ReasonInput, ErrSentMore)
	case refused != nil:
		owned = true
		t.sessions.Refuse(conn, loop.ReasonRefused, refused)
	default:
		owned = true
		if w, ok := c.(broker.Waiter); ok && plan.MayWait() && w.BeginWait() {
			defer w.EndWait()
		}
		_ = t.sessions.Open(plan, conn) // the session told the client, and the log
	}
}

// sentNothing is sentMore where it is known.
func sentNothing(net.Conn) bool { return false }

// sentMore reports whether the client sent anything behind its request together
// with it. The HTTP server has read those bytes already, so epoll will never
// tell of them; what comes later is the loop's to judge.
func sentMore(c net.Conn) bool {
	// With a deadline in the past only what was read ahead is returned: the
	// socket is not touched (net.Conn; checked by a test).
	if c.SetReadDeadline(time.Unix(1, 0)) != nil {
		return false // closed: nobody will be disappointed
	}
	var ahead [loop.StrayInput + 1]byte
	n, _ := c.Read(ahead[:])
	_ = c.SetReadDeadline(time.Time{})
	return !loop.Stray(ahead[:n])
}

// Undetached returns how many connections could not be streamed to.
func (t *Taker) Undetached() uint64 { return t.undetached.Load() }

// Took is from requests to the queueing of the first push of their streams, or of their
// refusals, of those that got so far.
func (t *Taker) Took() tally.Durations { return t.took.Read() }
