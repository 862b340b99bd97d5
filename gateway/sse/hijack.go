package sse

import (
	"errors"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/loop"
	"sluice/gateway/session"
)

// hijack takes the connection over: with a plan it becomes a stream, without
// one it is told why not.
func (s *Server) hijack(ctx *fasthttp.RequestCtx, r *request, plan *session.Plan, refused error) {
	// Without NoResponse fasthttp would skip the handler for HTTP/1.0 and
	// for "Connection: close", so the response head is ours.
	ctx.HijackSetNoResponse(true)
	s.sessions.Enter()
	r.began = ctx.Time()
	// Whoever comes first: see front.Conn.OnClose. Without it a client could
	// make us hold places for streams that never were.
	taken := new(atomic.Bool)
	if c, ok := ctx.Conn().(interface{ OnClose(f func()) }); ok {
		c.OnClose(func() {
			if taken.CompareAndSwap(false, true) {
				if plan != nil {
					s.sessions.Abandon(plan)
				}
				s.sessions.Leave()
			}
		})
	}
	ctx.Hijack(func(c net.Conn) {
		if taken.CompareAndSwap(false, true) {
			s.takeOver(c, r, plan, refused)
		}
	})
}

// takeOver runs on a goroutine of its own. The connection is the HTTP server's:
// it is closed when this returns, and only the duplicate of its socket lives on.
func (s *Server) takeOver(c net.Conn, r *request, plan *session.Plan, refused error) {
	defer s.sessions.Leave()
	defer func() { s.took.Add(time.Since(r.began)) }()
	var sock loop.Socket
	detached, owned := false, false // owned by the session once it is called
	defer func() {
		if v := recover(); v != nil {
			s.opt.Log.Error("panic while opening a stream", "request", &r.id, "panic", v, "stack", string(debug.Stack()))
		}
		if owned {
			return
		}
		if plan != nil {
			s.sessions.Abandon(plan)
		}
		if detached {
			sock.Discard()
		}
	}()
	more := sentMore(c)
	var err error
	if sock, err = loop.Detach(c, s.opt.Socket); err != nil {
		n := s.undetached.Add(1)
		if n&(n-1) == 0 && !errors.Is(err, net.ErrClosed) { // at powers of two: any client can cause it
			s.opt.Log.Error("a connection cannot be streamed to", "request", &r.id, "error", err, "failures", n)
		}
		return
	}
	conn := session.Conn{
		Socket: sock, Framing: r.framing(s.opt.Framing),
		Request: r,
	}
	switch {
	case more:
		if plan != nil {
			s.sessions.Abandon(plan)
		}
		owned = true
		s.sessions.Refuse(conn, loop.ReasonInput, errSentMore)
		return
	case refused != nil:
		owned = true
		s.sessions.Refuse(conn, loop.ReasonRefused, refused)
		return
	}
	conn.Head, conn.BlankLine, conn.Preamble = r.head(conn.Framing, r.bounds != bounds{}), s.blankLine(), s.retryLine()
	conn.MaxEvents, conn.MaxDuration = r.bounds.events, r.bounds.duration
	owned = true
	_ = s.sessions.Open(plan, conn) // the session told the client, and the log
}

// errSentMore refuses a connect that something follows: there is no answer to a
// second request on a connection that has become a stream.
var errSentMore = errors.New("nothing may follow the request for a stream on its connection")

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

// blankLine returns the one that a body begins with: where nothing is added to
// what the reference sends, the reference's.
func (s *Server) blankLine() []byte {
	if !s.opt.LastEventID && s.opt.RetryMax <= 0 {
		return codec.ReferenceOpening
	}
	return codec.StreamOpening
}
