package node

import (
	"github.com/valyala/fasthttp"

	"sluice/gateway/auth"
	"sluice/gateway/front"
	"sluice/gateway/loop"
	"sluice/gateway/sse"
)

// frontOptions are what all listeners have in common.
func (node *Node) frontOptions() front.Options {
	c := &node.cfg.HTTPServer
	return front.Options{
		Log: node.log, HeaderTimeout: c.HeaderTimeout, RequestTimeout: c.ReadTimeout, Waiting: node.waiting,
		Trusted: node.proxies.Trusts, ProxyProtocol: c.ProxyProtocol, ReusePort: c.ReusePort != "off",
	}
}

// waitingOptions bound what connections hold that are no streams.
func (node *Node) waitingOptions() front.WaitingOptions {
	c := &node.cfg.HTTPServer
	return front.WaitingOptions{
		PerAddress: c.HalfOpenLimit, Bytes: int64(c.WaitingMaxBytes), Head: c.MaxHeadSize + headSlack,
		Files: node.files.Files, Others: func() int { return loop.Sockets() + max(auth.Sockets()-node.files.out, 0) },
	}
}

// hold asks whether the handler of a request may wait for others.
func (node *Node) hold(ctx *fasthttp.RequestCtx) sse.Room {
	h := &ctx.Request.Header
	switch front.Hold(ctx.Conn(), node.clientAddress(ctx), len(h.RequestURI())+len(h.RawHeaders()), len(ctx.Request.Body())) {
	case front.NoRoom:
		return sse.NoRoom
	case front.NoRoomOfOwn:
		return sse.NoRoomOfOwn
	}
	return sse.RoomTaken
}
