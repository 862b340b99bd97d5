package sse_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/broker"
	brokermemory "sluice/gateway/broker/memory"
	"sluice/gateway/testkit"
)

// gateConn is a connection like those of the gate: it can be taken over, and is told of
// waits.
type gateConn struct {
	net.Conn
	takeOver    func(net.Conn)
	begun, over atomic.Int32
}

func (c *gateConn) NetConn() net.Conn { return c.Conn }

func (c *gateConn) TakeOver(_ int, f func(net.Conn)) bool { c.takeOver = f; return true }

func (c *gateConn) BeginWait() bool { c.begun.Add(1); return true }
func (c *gateConn) EndWait()        { c.over.Add(1) }

// watchedEngine has to be asked for each channel, and calls a function when it is.
type watchedEngine struct {
	broker.Broker
	subscribes func()
}

func (e *watchedEngine) Abilities() broker.Abilities {
	able := e.Broker.Abilities()
	able.Everything = false
	return able
}

func (e *watchedEngine) Subscribe(ctx context.Context, channels []string) error {
	e.subscribes()
	return e.Broker.Subscribe(ctx, channels)
}

// Whoever opens a stream that may have to wait says so before, and when that is over, so
// that no other request waits behind it; for one that cannot it is spared.
func TestAnOpeningThatMayWaitSaysSo(t *testing.T) {
	var conn *gateConn
	during := int32(-1)
	n := newNode(t, func(s *settings) {
		kinds(s)
		s.broker = &watchedEngine{brokermemory.New(brokermemory.Options{}), func() { during = conn.begun.Load() - conn.over.Load() }}
	})
	for ch, waits := range map[string]int32{"plain:a": 0, "pos:a": 1, "rec:a": 1, "present:a": 1} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		far, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(t, err)
		near, err := ln.Accept()
		require.NoError(t, err)
		require.NoError(t, ln.Close())
		conn, during = &gateConn{Conn: near}, -1
		var ctx fasthttp.RequestCtx
		ctx.Init2(conn, nil, false)
		ctx.Request.SetRequestURI(testkit.DefaultPath + `?cf_connect={"subs":{"` + ch + `":{}}}`)
		n.endpoint.Handle(&ctx)
		require.NotNil(t, conn.takeOver, "%s: %s", ch, ctx.Response.String())
		conn.takeOver(conn)
		require.NoError(t, near.Close()) // as the HTTP server does
		require.Equal(t, [3]int32{waits, waits, waits}, [3]int32{conn.begun.Load(), conn.over.Load(), during}, ch)
		require.NoError(t, far.Close())
		n.sessionsOpen(t, 0)
	}
}
