package gateway

import (
	"bytes"
	"errors"
	"net"
	"runtime/debug"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/gateway/auth"
	"sluice/gateway/front"
	"sluice/gateway/loop"
	"sluice/gateway/reqid"
	"sluice/gateway/sse"
)

// Limits of the HTTP server on what is not a stream.
const (
	writeTimeout = 10 * time.Second
	// idleWorker is how long a worker of the HTTP server waits for its next
	// request before it ends: a storm of connects leaves nothing behind.
	idleWorker = time.Second
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
func (g *Gateway) newServer(handler fasthttp.RequestHandler, t *routes) *fasthttp.Server {
	if g.cfg.Prometheus.InstrumentHTTP {
		handler = g.counts.counting(handler)
	}
	return &fasthttp.Server{
		Handler:                      g.bodies.leaving(front.Strict(g.guard(handler), sse.WriteError)),
		ErrorHandler:                 func(ctx *fasthttp.RequestCtx, err error) { g.badRequest(ctx, t, err) },
		HeaderReceived:               func(h *fasthttp.RequestHeader) fasthttp.RequestConfig { return g.bodyLimit(h, t) },
		Concurrency:                  1 << 20,
		ReadBufferSize:               g.cfg.HTTPServer.MaxHeadSize + headSlack,
		ReadTimeout:                  min(g.cfg.HTTPServer.HeaderTimeout, g.cfg.HTTPServer.ReadTimeout),
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  g.cfg.HTTPServer.IdleTimeout,
		MaxIdleWorkerDuration:        idleWorker,
		MaxRequestBodySize:           otherBody,
		ReduceMemoryUsage:            true,
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		SecureErrorLogMessage:        true,
		CloseOnShutdown:              true,
		Logger:                       quietLogger{g},
	}
}

// frontOptions are what all listeners have in common.
func (g *Gateway) frontOptions() front.Options {
	c := &g.cfg.HTTPServer
	return front.Options{
		Log: g.log, HeaderTimeout: c.HeaderTimeout, RequestTimeout: c.ReadTimeout, Waiting: g.waiting,
		Trusted: g.proxies.Trusts, ProxyProtocol: c.ProxyProtocol, ReusePort: c.ReusePort != "off",
	}
}

// waitingOptions bound what connections hold that are no streams.
func (g *Gateway) waitingOptions() front.WaitingOptions {
	c := &g.cfg.HTTPServer
	return front.WaitingOptions{
		PerAddress: c.HalfOpenLimit, Bytes: int64(c.WaitingMaxBytes), Head: c.MaxHeadSize + headSlack,
		Files: g.files.Files, Others: func() int { return loop.Sockets() + max(auth.Sockets()-g.files.out, 0) },
	}
}

// hold asks whether the handler of a request may wait for others.
func (g *Gateway) hold(ctx *fasthttp.RequestCtx) sse.Room {
	h := &ctx.Request.Header
	switch front.Hold(ctx.Conn(), g.clientAddress(ctx), len(h.RequestURI())+len(h.RawHeaders()), len(ctx.Request.Body())) {
	case front.NoRoom:
		return sse.NoRoom
	case front.NoRoomOfOwn:
		return sse.NoRoomOfOwn
	}
	return sse.RoomTaken
}

// bodyLimit gives each route the body that it may have, and each body its time.
// One that no route wants is not read, or only if it is small: the answer is the
// route's own.
func (g *Gateway) bodyLimit(h *fasthttp.RequestHeader, t *routes) fasthttp.RequestConfig {
	front.Prepare(h)
	limit := fasthttp.RequestConfig{ReadTimeout: g.cfg.HTTPServer.ReadTimeout, MaxRequestBodySize: otherBody}
	rule := t.find(targetPath(h.RequestURI())).body
	wanted := false
	switch {
	case h.IsGet() && rule == bodyConnect:
		wanted = true // to be read, lest it stands in the way of the stream
	case h.IsGet() || h.IsHead():
		limit.MaxRequestBodySize = 0
	case !h.IsPost():
	case rule == bodyConnect:
		limit.MaxRequestBodySize, wanted = g.cfg.UniSSE.MaxRequestBodySize, true
	case rule == bodyTicket:
		wanted = true
	case rule == bodyCall && g.api.Allows(h):
		// Only with a key: the HTTP server allocates the whole
		// Content-Length before the first byte of a body.
		limit.MaxRequestBodySize, wanted = g.cfg.HTTPAPI.MaxBodySize, true
		g.bodies.letIn(h, limit.MaxRequestBodySize)
	}
	if n := h.ContentLength(); !wanted && (n > limit.MaxRequestBodySize || n == chunkedBody) {
		front.SkipBody(h)
	}
	return limit
}

// targetPath returns the path of a request target, which may name a host before
// it (RFC 9112 section 3.2.2).
func targetPath(target []byte) []byte {
	path, _, _ := bytes.Cut(target, []byte("?"))
	if bytes.HasPrefix(path, slash) {
		return path
	}
	if _, rest, ok := bytes.Cut(path, []byte("://")); ok {
		if i := bytes.IndexByte(rest, '/'); i >= 0 {
			return rest[i:]
		}
		return slash
	}
	return path
}

var slash = []byte("/")

// chunkedBody is what fasthttp gives as the length of a chunked body.
const chunkedBody = -1

// guard keeps a panic in a handler to its request. Paths are taken as they were
// sent: rules of a front for a path must not be passed by another spelling, and
// the rule for the body was found by what was sent.
func (g *Gateway) guard(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if !front.Serving(ctx.Conn()) {
			ctx.SetConnectionClose()
			return
		}
		defer func() {
			if v := recover(); v != nil {
				var id reqid.ID
				id.Take(&ctx.Request.Header)
				g.log.Error("panic in a request", "request", &id, "path", string(ctx.Path()), "panic", v, "stack", string(debug.Stack()))
				ctx.Response.Reset()
				id.Echo(&ctx.Response.Header)
				sse.WriteError(ctx, fasthttp.StatusInternalServerError, "internal server error")
			}
		}()
		if !bytes.Equal(targetPath(ctx.Request.Header.RequestURI()), ctx.Path()) {
			notFound(ctx)
			return
		}
		next(ctx)
	}
}

// badRequest answers requests that never reach a handler.
func (g *Gateway) badRequest(ctx *fasthttp.RequestCtx, t *routes, err error) {
	front.Linger(ctx.Conn())
	g.bodies.leave(&ctx.Request.Header)
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
			g.sse.WriteCORS(ctx)
		}
		sse.WriteError(ctx, fasthttp.StatusRequestEntityTooLarge, "the request body is too large")
	case errors.As(err, &late) && late.Timeout():
		sse.WriteError(ctx, fasthttp.StatusRequestTimeout, "the request did not arrive in time")
	default:
		sse.WriteError(ctx, fasthttp.StatusBadRequest, "the request cannot be parsed")
	}
}

// notFound is the reference's answer to paths that are nobody's (PROTOCOL 9.5).
func notFound(ctx *fasthttp.RequestCtx) {
	ctx.SetStatusCode(fasthttp.StatusNotFound)
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.Response.Header.Set(fasthttp.HeaderXContentTypeOptions, "nosniff")
	ctx.SetBodyString("404 page not found\n")
}

// quietLogger takes what the HTTP server says of broken connections: anybody
// can cause it, so it is for debugging only.
type quietLogger struct{ g *Gateway }

// Printf implements fasthttp.Logger.
func (q quietLogger) Printf(format string, args ...any) {
	q.g.log.Debug("http", "message", format, "args", len(args))
}
