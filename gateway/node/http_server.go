package node

import (
	"bytes"
	"errors"
	"net"
	"runtime/debug"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/gateway/front"
	"sluice/gateway/front/strict"
	"sluice/gateway/heap"
	"sluice/gateway/reqid"
	"sluice/gateway/sse"
)

// Limits of the HTTP server on what is not a stream.
const (
	writeTimeout = 10 * time.Second
	// idleWorker is how long a worker of the HTTP server waits for its next
	// request before it ends: a storm of connects leaves nothing behind.
	idleWorker = heap.WorkersEnd
	// otherBody is the largest body for routes that expect none.
	otherBody = 64 << 10
	// headSlack is what the read buffer has beyond the largest head.
	headSlack = 512
)

// newServer makes the HTTP server for one listener. Streams leave it by hijack,
// so its limits are for requests only. MaxConnsPerIP stays 0: it would hide the
// socket. ReadTimeout bounds the handshake and the head of each request; what
// bodyLimit gives, the body. Both are set once and not by reads, so trickling
// does not stretch them; front.Options.RequestTimeout bounds the sum.
func (node *Node) newServer(handler fasthttp.RequestHandler, t *routes) *fasthttp.Server {
	if node.cfg.Prometheus.InstrumentHTTP {
		handler = node.counts.counting(t, handler)
	}
	return &fasthttp.Server{
		Handler:                      node.bodies.leaving(strict.Handler(node.guard(t, handler), sse.WriteError)),
		ErrorHandler:                 func(ctx *fasthttp.RequestCtx, err error) { node.badRequest(ctx, t, err) },
		HeaderReceived:               func(h *fasthttp.RequestHeader) fasthttp.RequestConfig { return node.bodyLimit(h, t) },
		Concurrency:                  mostServed,
		ReadBufferSize:               node.cfg.HTTPServer.MaxHeadSize + headSlack,
		ReadTimeout:                  node.headTime(),
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  node.cfg.HTTPServer.IdleTimeout,
		MaxIdleWorkerDuration:        idleWorker,
		MaxRequestBodySize:           otherBody,
		ReduceMemoryUsage:            true,
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		SecureErrorLogMessage:        true,
		CloseOnShutdown:              true,
		Logger:                       quietLogger{node},
	}
}

// guard keeps a panic in a handler to its request. Paths are taken as they were
// sent: rules of a front for a path must not be passed by another spelling, and
// the rule for the body was found by what was sent. Where a path has the name of a channel
// it is the route's to decode.
func (node *Node) guard(t *routes, next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if !front.Serving(ctx.Conn()) {
			ctx.SetConnectionClose()
			return
		}
		defer func() {
			if v := recover(); v != nil {
				var id reqid.ID
				id.Take(&ctx.Request.Header)
				node.log.Error("panic in a request", "request", &id, "path", string(ctx.Path()), "panic", v, "stack", string(debug.Stack()))
				ctx.Response.Reset()
				id.Echo(&ctx.Response.Header)
				sse.WriteError(ctx, fasthttp.StatusInternalServerError, "internal server error")
			}
		}()
		if raw := targetPath(ctx.Request.Header.RequestURI()); !t.ownsRaw(raw) && !bytes.Equal(raw, ctx.Path()) {
			NotFound(ctx)
			return
		}
		next(ctx)
	}
}

// badRequest answers requests that never reach a handler.
func (node *Node) badRequest(ctx *fasthttp.RequestCtx, t *routes, err error) {
	front.Linger(ctx.Conn())
	node.bodies.leave(&ctx.Request.Header)
	var small *fasthttp.ErrSmallBuffer
	var late net.Error
	switch {
	case errors.As(err, &small):
		sse.WriteError(ctx, fasthttp.StatusRequestHeaderFieldsTooLarge, "the request head is too large")
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		var id reqid.ID
		id.Take(&ctx.Request.Header)
		id.Echo(&ctx.Response.Header)
		switch t.find(targetPath(ctx.Request.Header.RequestURI())).body {
		case bodyConnect, bodyTicket:
			node.sse.WriteCORS(ctx)
		}
		sse.WriteError(ctx, fasthttp.StatusRequestEntityTooLarge, "the request body is too large")
	case errors.As(err, &late) && late.Timeout():
		sse.WriteError(ctx, fasthttp.StatusRequestTimeout, "the request did not arrive in time")
	case errors.Is(err, front.ErrBareLineEnd):
		sse.WriteError(ctx, fasthttp.StatusBadRequest, strict.LineEnds)
	default:
		sse.WriteError(ctx, fasthttp.StatusBadRequest, "the request cannot be parsed")
	}
}

// NotFound is the reference's answer to paths that are nobody's (PROTOCOL 9.5).
func NotFound(ctx *fasthttp.RequestCtx) {
	ctx.SetStatusCode(fasthttp.StatusNotFound)
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.Response.Header.Set(fasthttp.HeaderXContentTypeOptions, "nosniff")
	ctx.SetBodyString("404 page not found\n")
}

// quietLogger takes what the HTTP server says of broken connections: anybody
// can cause it, so it is for debugging only.
type quietLogger struct{ node *Node }

// Printf implements fasthttp.Logger.
func (q quietLogger) Printf(format string, args ...any) {
	q.node.log.Debug("http", "message", format, "args", len(args))
}
