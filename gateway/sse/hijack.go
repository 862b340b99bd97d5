package sse

import (
	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/session"
)

// hijack takes the connection over: with a plan it becomes a stream, without
// one it is told why not.
func (s *Server) hijack(ctx *fasthttp.RequestCtx, r *request, plan *session.Plan, refused error) {
	conn := &r.conn
	conn.Framing, conn.Request = r.framing(s.opt.Framing), r
	if refused == nil {
		r.start = r.head(conn.Framing, r.bounds != bounds{}, r.date)
		conn.Head, conn.BlankLine, conn.Preamble = &r.start, s.blankLine(), s.retryLine(r.retry[:0])
		if r.offer.Vary(conn.Head); r.padding == 0 { // which would be a few bytes if it were compressed
			conn.Coding, conn.Dictionary = r.offer.Choose(conn.Head, ctx.Request.Header.PeekAll)
		}
		conn.Padding = r.padding
		if s.sessions.KeepsSources() {
			conn.Agent = session.NewUserAgent(ctx.Request.Header.UserAgent())
		}
		conn.MaxEvents, conn.MaxDuration = r.bounds.events, r.bounds.duration
	}
	r.taken = true
	s.taker.Take(ctx, conn, plan, refused)
}

// blankLine returns the one that a body begins with: where nothing is added to
// what the reference sends, the reference's.
func (s *Server) blankLine() []byte {
	if !s.opt.LastEventID && s.opt.RetryMax <= 0 {
		return codec.ReferenceOpening
	}
	return codec.StreamOpening
}
