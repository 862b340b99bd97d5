package gateway

import (
	"errors"
	"runtime/debug"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/gateway/sse"
)

// Limits of the HTTP server on what is not a stream.
const (
	readTimeout  = 10 * time.Second
	writeTimeout = 10 * time.Second
	idleTimeout  = 60 * time.Second
	// idleWorker is how long a worker of the HTTP server waits for its next
	// request before it ends: a storm of connects leaves nothing behind.
	idleWorker = 3 * time.Second
	// otherBody is the largest body for routes that expect none.
	otherBody = 64 << 10
	// headSlack is what the read buffer has beyond the largest head.
	headSlack = 512
)

// newServer makes the HTTP server for one listener. Streams leave it by hijack,
// so its limits are for requests only. MaxConnsPerIP stays 0: it would hide the
// socket.
func (g *Gateway) newServer(handler fasthttp.RequestHandler) *fasthttp.Server {
	return &fasthttp.Server{
		Handler:                      g.guard(handler),
		ErrorHandler:                 g.badRequest,
		HeaderReceived:               g.bodyLimit,
		Concurrency:                  1 << 20,
		ReadBufferSize:               g.cfg.HTTPServer.MaxHeadSize + headSlack,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		MaxIdleWorkerDuration:        idleWorker,
		MaxRequestBodySize:           otherBody,
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		SecureErrorLogMessage:        true,
		CloseOnShutdown:              true,
		Logger:                       quietLogger{g},
	}
}

// bodyLimit gives each route the body that it may have.
func (g *Gateway) bodyLimit(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	path, _, _ := strings.Cut(string(h.RequestURI()), "?")
	c := &g.cfg.HTTPAPI
	switch {
	case path == g.endpoint():
		return fasthttp.RequestConfig{MaxRequestBodySize: g.cfg.UniSSE.MaxRequestBodySize}
	case path == c.HandlerPrefix || strings.HasPrefix(path, c.HandlerPrefix+"/"):
		return fasthttp.RequestConfig{MaxRequestBodySize: c.MaxBodySize}
	}
	return fasthttp.RequestConfig{}
}

// guard keeps a panic in a handler to its request.
func (g *Gateway) guard(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		defer func() {
			if v := recover(); v != nil {
				g.log.Error("panic in a request", "path", string(ctx.Path()), "panic", v, "stack", string(debug.Stack()))
				ctx.Response.Reset()
				sse.WriteError(ctx, fasthttp.StatusInternalServerError, "internal server error")
			}
		}()
		next(ctx)
	}
}

// badRequest answers requests that never reach a handler.
func (g *Gateway) badRequest(ctx *fasthttp.RequestCtx, err error) {
	if c, ok := ctx.Conn().(*conn); ok {
		c.lingers = true
	}
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(err, &small):
		sse.WriteError(ctx, fasthttp.StatusRequestHeaderFieldsTooLarge, "the request head is too large")
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		if g.sse != nil && string(ctx.URI().PathOriginal()) == g.endpoint() {
			g.sse.WriteCORS(ctx)
		}
		sse.WriteError(ctx, fasthttp.StatusRequestEntityTooLarge, "the request body is too large")
	default:
		sse.WriteError(ctx, fasthttp.StatusBadRequest, "the request cannot be parsed")
	}
}

// notFound is the reference's answer to paths that are nobody's (PROTOCOL 9.5).
func notFound(ctx *fasthttp.RequestCtx) {
	ctx.SetStatusCode(fasthttp.StatusNotFound)
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.SetBodyString("404 page not found\n")
}

// quietLogger takes what the HTTP server says of broken connections: anybody
// can cause it, so it is for debugging only.
type quietLogger struct{ g *Gateway }

// Printf implements fasthttp.Logger.
func (q quietLogger) Printf(format string, args ...any) {
	q.g.log.Debug("http", "message", format, "args", len(args))
}
