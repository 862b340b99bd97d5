package api

import (
	"testing"

	"github.com/valyala/fasthttp"
)

// publishCtx returns a request as fasthttp hands it to the handler.
func publishCtx() *fasthttp.RequestCtx {
	var req fasthttp.Request
	req.Header.SetMethod("POST")
	req.SetRequestURI("/api/publish")
	req.Header.Set("X-API-Key", apiKey)
	req.SetBodyString(`{"channel":"news","data":{"text":"hello hello hello hello hello hello hello hello hello hello hello hello hello"}}`)
	ctx := &fasthttp.RequestCtx{}
	ctx.Init(&req, nil, nil)
	return ctx
}

func BenchmarkPublish(b *testing.B) {
	r := newRig(b, nil)
	ctx := publishCtx()
	b.ReportAllocs()
	for b.Loop() {
		ctx.Response.Reset()
		r.server.Handle(ctx)
		r.sink.got = r.sink.got[:0]
	}
}
