package api

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/testkit"
)

// A call may wait for others, and says so before: no other request waits behind it. Only
// publish does not, which says for itself if it has to.
func TestCallsThatMayWaitSaySo(t *testing.T) {
	r := newRig(t, nil)
	f := func(path, body string, waits bool) {
		t.Helper()
		var ctx fasthttp.RequestCtx
		c := &testkit.Waiter{Answered: func() int { return len(ctx.Response.Body()) }}
		ctx.Init2(c, nil, false)
		ctx.Request.Header.SetMethod("POST")
		ctx.Request.Header.Set("X-API-Key", apiKey)
		ctx.Request.SetRequestURI(path)
		ctx.Request.SetBodyString(body)
		require.True(t, r.server.Handle(&ctx))
		if !waits {
			require.Empty(t, c.Begun, path)
			require.Empty(t, c.Over, path)
			return
		}
		require.Equal(t, []int{0}, c.Begun, path)
		require.Len(t, c.Over, 1, path)
		require.Positive(t, c.Over[0], "%s: answered meanwhile", path)
	}
	for _, path := range Paths("/api") {
		f(path, `{}`, path != "/api/publish")
	}
	f("/api/publish", `{"channel":"news","data":1}`, false)
	f("/api", `{"method":"publish","params":{"channel":"news","data":1}}`, true)
	f("/api/history", `{"channel":"hh:a"}`, true)
}
