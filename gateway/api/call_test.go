package api

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

// A call of somebody who was let in otherwise needs no key, and has its errors in the reply.
func TestCallNeedsNoKey(t *testing.T) {
	r := newRig(t, func(o *Options) { o.ErrorMode = ErrorModeTransport })
	call := func(method, body string) (status int, answer string, known bool) {
		var req fasthttp.Request
		req.Header.SetMethod("POST")
		req.SetBodyString(body)
		var ctx fasthttp.RequestCtx
		ctx.Init(&req, nil, nil)
		known = r.server.Call(&ctx, method)
		return ctx.Response.StatusCode(), string(ctx.Response.Body()), known
	}
	f := func(method, body string, status int, want string) {
		t.Helper()
		got, answer, known := call(method, body)
		require.True(t, known)
		require.Equal(t, status, got, answer)
		require.Contains(t, answer, want)
	}
	f("publish", `{"channel":"a","data":1}`, 200, `{"result":{`)
	f("publish", `{"channel":"","data":1}`, 200, `{"error":{"code":107`)
	f("publish", `{"channel":1}`, 400, "Bad Request")
	f("", `{"method":"publish","params":{"channel":"a","data":2}}`, 200, `{"result":{`)
	require.Len(t, r.sink.take(), 2)
	_, _, known := call("nope", `{}`)
	require.False(t, known)
	r.server.Drain()
	f("publish", `{"channel":"a","data":1}`, 503, "shutting down")
}
