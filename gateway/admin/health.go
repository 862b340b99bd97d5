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

// Ready answers whether new clients may be sent here: 200, or 503 before the
// node has started, while it stops, and while its engine does not work (PROTOCOL 12.28);
// why says which, nil for ready. It is for balancers; whoever restarts what is not alive
// asks for Health.
func Ready(ctx *fasthttp.RequestCtx, why error) {
	if why == nil {
		sendJSON(ctx, fasthttp.StatusOK, struct {
			Ready bool `json:"ready"`
		}{true})
		return
	}
	sendJSON(ctx, fasthttp.StatusServiceUnavailable, struct {
		Ready  bool   `json:"ready"`
		Reason string `json:"reason"`
	}{false, why.Error()})
}
