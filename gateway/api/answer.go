package api

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/advice"
	"sluice/gateway/broker"
	"sluice/gateway/reqid"
	"sluice/gateway/session"
)

const (
	jsonType     = "application/json"
	textType     = "text/plain; charset=utf-8"
	detailHeader = "X-Sluice-Detail"
	maxDetail    = 200 // bytes of that header
)

// answer sends the reply of c. What c holds of the room goes with it.
func answer(ctx *fasthttp.RequestCtx, c *call) {
	ctx.SetContentType(jsonType)
	setDetail(ctx, c.detail)
	if c.hold != nil {
		if body := newHeldBody(c.dst, c.hold); body != nil {
			ctx.Response.SetBodyStream(body, len(c.dst))
			return
		}
	}
	ctx.Response.SwapBody(c.dst)
}

// answerError sends an API error, in the form that the error mode asks for
// (PROTOCOL 7.2).
func (s *Server) answerError(ctx *fasthttp.RequestCtx, c *call, fail *failure) {
	c.detail = fail.detail
	if !c.inReply && (s.opt.ErrorMode == ErrorModeTransport || string(ctx.Request.Header.Peek("X-Centrifugo-Error-Mode")) == ErrorModeTransport) {
		ctx.SetStatusCode(fail.err.HTTPStatus())
		c.dst = codec.AppendError(c.dst[:0], fail.err)
	} else {
		c.dst = codec.AppendErrorReply(c.dst[:0], fail.err)
	}
	answer(ctx, c)
}

// badRequest answers a body that is not a request of the method.
func (s *Server) badRequest(ctx *fasthttp.RequestCtx, id *reqid.ID, method string, err error) {
	detail := codec.Detail(err)
	s.noteRefused(id, refusedBody, slog.String("method", method), slog.String("detail", detail))
	text(ctx, fasthttp.StatusBadRequest, "Bad Request\n", detail)
}

// noBodyRoom is the detail of a call whose body was not read.
const noBodyRoom = "no room came free within http_api.publish_wait for the body, which was not read: nothing was done"

// answerUnread answers a call whose body was not read.
func (s *Server) answerUnread(ctx *fasthttp.RequestCtx, c *call) {
	s.noteRefused(c.id, refusedUnread)
	fail := &failure{err: codec.ErrInternal, detail: noBodyRoom, cause: errors.New("api: " + noBodyRoom)}
	s.note(c.id, "", fail)
	s.answerError(ctx, c, fail)
}

// text answers as the reference does where a request never reaches a method.
func text(ctx *fasthttp.RequestCtx, status int, body, detail string) {
	ctx.SetStatusCode(status)
	ctx.SetContentType(textType)
	ctx.Response.Header.Set("X-Content-Type-Options", "nosniff")
	setDetail(ctx, detail)
	ctx.SetBodyString(body)
}

// refuseHTTP answers a request that cannot be a call (PROTOCOL 12.40).
func refuseHTTP(ctx *fasthttp.RequestCtx, status int, message string) {
	ctx.SetStatusCode(status)
	ctx.SetContentType(jsonType)
	ctx.SetBody(codec.AppendHTTPError(nil, status, message))
}

func setDetail(ctx *fasthttp.RequestCtx, detail string) {
	if detail == "" {
		return
	}
	if len(detail) > maxDetail {
		detail = detail[:maxDetail]
	}
	ctx.Response.Header.Set(detailHeader, detail)
}

// internal is the failure of something behind the API. A codec.Error in err is
// meant for the caller.
func internal(err error) *failure {
	var short *session.Shortage
	if errors.As(err, &short) {
		return refuse(codec.ErrTooManyRequests, short.Detail+" ("+short.Option+")")
	}
	if errors.Is(err, broker.ErrReadOnly) {
		return refuse(codec.ErrNotAvailable, "channel: one of this node's own expected; it has its publications from another one (relay.origin): publish there")
	}
	var known *codec.Error
	if errors.As(err, &known) && known.Code != codec.ErrInternal.Code {
		return &failure{err: known}
	}
	return &failure{err: codec.ErrInternal, detail: engineDetail(err), cause: err}
}

// The details of calls that an engine did not carry out, or did not answer. Calls but for
// a publish may be made again.
const (
	engineAway    = "the engine is not available at present: nothing was done"
	engineUnknown = "the engine did not answer: it may have been done or not, and may be asked again"
	engineRefused = "it was refused, and would be again until that is mended: the log of the node says why"
)

// engineDetail says what became of a call that failed in an engine, "" where the call ended first.
func engineDetail(err error) string {
	switch {
	case errors.Is(err, broker.ErrUnknown): // of a part at least
		return engineUnknown
	case errors.Is(err, broker.ErrUnavailable):
		return engineAway
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return ""
	}
	return engineRefused
}

// noteRefused counts a call that reaches no method, and logs it for debugging.
func (s *Server) noteRefused(id *reqid.ID, why int, more ...slog.Attr) {
	s.refused[why].Add(1)
	if s.opt.Log.Enabled(context.Background(), slog.LevelDebug) {
		attrs := append([]slog.Attr{slog.String("reason", refusalNames[why]), slog.Any("request", id)}, more...)
		s.opt.Log.LogAttrs(context.Background(), slog.LevelDebug, "api: request refused", attrs...)
	}
}

// note logs a failure: what the caller did wrong for debugging only, what broke
// here as an error, at most once a second.
func (s *Server) note(id *reqid.ID, method string, fail *failure) {
	if fail.cause == nil {
		if s.opt.Log.Enabled(context.Background(), slog.LevelDebug) {
			s.opt.Log.Debug("api: call refused", "request", id, "method", method,
				"reason", fail.err.Message, "code", fail.err.Code, "detail", fail.detail)
		}
		return
	}
	if skipped, ok := s.failures.allow(time.Now()); ok {
		s.opt.Log.Error("api: call failed", "request", id, "method", method, "error", fail.cause, "remedy", advice.Remedy(fail.cause, advice.Away), "not_logged", skipped)
	}
}

// throttleStart is of the monotonic clock that throttles go by.
var throttleStart = time.Now()

// throttle lets one event in a second pass. The zero value is ready.
type throttle struct {
	// Atomic.
	next    atomic.Int64 // ns since throttleStart before which nothing passes, 0 at first
	skipped atomic.Uint64
}

// allow reports whether an event may pass, and how many have not since the last
// that did. Any goroutine.
func (t *throttle) allow(now time.Time) (skipped uint64, ok bool) {
	// A span: it must not last for hours because the wall clock was set back.
	next, at := t.next.Load(), int64(now.Sub(throttleStart))
	if next != 0 && at < next || !t.next.CompareAndSwap(next, at+int64(time.Second)) {
		t.skipped.Add(1)
		return 0, false
	}
	return t.skipped.Swap(0), true
}
