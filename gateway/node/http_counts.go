package node

import (
	"maps"
	"sync"

	"github.com/valyala/fasthttp"

	"sluice/gateway/metrics"
)

// requestCounts counts HTTP requests for prometheus.instrument_http_handlers.
type requestCounts struct {
	// Guarded by mu.
	mu sync.Mutex
	n  map[metrics.Request]uint64
}

// counting counts what next answers. What nobody serves counts under one path,
// and odd methods under one method: clients must not choose the labels.
func (c *requestCounts) counting(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		next(ctx)
		r := metrics.Request{Path: "other", Method: "other", Status: ctx.Response.StatusCode()}
		if r.Status != fasthttp.StatusNotFound {
			r.Path = string(ctx.Path())
		}
		switch method := string(ctx.Method()); method {
		case fasthttp.MethodGet, fasthttp.MethodHead, fasthttp.MethodPost, fasthttp.MethodPut,
			fasthttp.MethodPatch, fasthttp.MethodDelete, fasthttp.MethodOptions:
			r.Method = method
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.n == nil {
			c.n = make(map[metrics.Request]uint64)
		}
		c.n[r]++
	}
}

// read returns the counts so far.
func (c *requestCounts) read() map[metrics.Request]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.n)
}
