package gateway

import (
	"strings"

	"github.com/valyala/fasthttp"

	"sluice/gateway/admin"
	"sluice/gateway/sse"
)

// external returns the handler of the public listener: the endpoint, and
// everything else too unless there is an internal listener for it.
func (g *Gateway) external(all bool) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		path := string(ctx.URI().PathOriginal()) // as sent: rules of a front for a path must not be passed by another spelling
		switch {
		case g.sse != nil && path == g.endpoint():
			g.sse.Handle(ctx)
		case g.sse != nil && path == g.cfg.UniSSE.HandlerPrefix+sse.TicketPath:
			g.sse.HandleTicket(ctx)
		case g.live != nil && g.live.Handle(ctx):
		case g.api != nil && (all || g.cfg.HTTPAPI.External) && g.api.Handle(ctx):
		case all && g.operations(ctx, path):
		default:
			notFound(ctx)
		}
	}
}

// endpoint returns the path of the endpoint; an empty prefix is the root
// (PROTOCOL 1.1).
func (g *Gateway) endpoint() string {
	if g.cfg.UniSSE.HandlerPrefix == "" {
		return "/"
	}
	return g.cfg.UniSSE.HandlerPrefix
}

// internal is the handler of the internal listener.
func (g *Gateway) internal(ctx *fasthttp.RequestCtx) {
	switch {
	case g.api != nil && g.api.Handle(ctx):
	case g.operations(ctx, string(ctx.Path())):
	default:
		notFound(ctx)
	}
}

// operations serves what an operator looks at.
func (g *Gateway) operations(ctx *fasthttp.RequestCtx, path string) bool {
	switch {
	case g.cfg.Health.Enabled && path == g.cfg.Health.HandlerPrefix:
		admin.Health(ctx)
	case g.cfg.Health.Enabled && path == readyPath(g.cfg.Health.HandlerPrefix):
		admin.Ready(ctx, g.ready.Load())
	case g.cfg.Prometheus.Enabled && path == g.cfg.Prometheus.HandlerPrefix:
		g.metrics.Handle(ctx)
	case g.cfg.Init.Enabled && path == g.cfg.Init.HandlerPrefix:
		admin.Init(ctx)
	case g.cfg.Debug.Enabled && strings.HasPrefix(path, g.cfg.Debug.HandlerPrefix+"/"):
		admin.Profile(ctx, strings.TrimPrefix(path, g.cfg.Debug.HandlerPrefix))
	default:
		return false
	}
	return true
}

// readyPath is where the ready check is: beside the health check.
func readyPath(health string) string {
	return health[:strings.LastIndexByte(health, '/')+1] + "ready"
}
