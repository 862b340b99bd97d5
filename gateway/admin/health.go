package admin

import "github.com/valyala/fasthttp"

// Health answers a liveness check: 200 with {} from the moment the listener is
// up, whatever the method (PROTOCOL 9.5).
func Health(ctx *fasthttp.RequestCtx) {
	ctx.SetContentType("application/json")
	ctx.SetBodyString("{}")
}

// Init answers what pages ask before they connect, so that a front can set its
// cookies: {} (PROTOCOL 9.2).
func Init(ctx *fasthttp.RequestCtx) { Health(ctx) }
