package api

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

// gateConn is a connection that is told of waits, as those of the gate are. It notes how
// much was answered at each.
type gateConn struct {
	net.Conn
	ctx         *fasthttp.RequestCtx
	begun, over []int
}

func (c *gateConn) BeginWait() bool {
	c.begun = append(c.begun, len(c.ctx.Response.Body()))
	return true
}

func (c *gateConn) EndWait() { c.over = append(c.over, len(c.ctx.Response.Body())) }

// A call may wait for others, and says so before: no other request waits behind it. Only
// publish does not, which says for itself if it has to.
func TestCallsThatMayWaitSaySo(t *testing.T) {
	r := newRig(t, nil)
	f := func(path, body string, waits bool) {
		t.Helper()
		var ctx fasthttp.RequestCtx
		c := &gateConn{ctx: &ctx}
		ctx.Init2(c, nil, false)
		ctx.Request.Header.SetMethod("POST")
		ctx.Request.Header.Set("X-API-Key", apiKey)
		ctx.Request.SetRequestURI(path)
		ctx.Request.SetBodyString(body)
		require.True(t, r.server.Handle(&ctx))
		if !waits {
			require.Empty(t, c.begun, path)
			require.Empty(t, c.over, path)
			return
		}
		require.Equal(t, []int{0}, c.begun, path)
		require.Len(t, c.over, 1, path)
		require.Positive(t, c.over[0], "%s: answered meanwhile", path)
	}
	for _, path := range Paths("/api") {
		f(path, `{}`, path != "/api/publish")
	}
	f("/api/publish", `{"channel":"news","data":1}`, false)
	f("/api", `{"method":"publish","params":{"channel":"news","data":1}}`, true)
	f("/api/history", `{"channel":"hh:a"}`, true)
}
