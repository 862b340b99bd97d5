package node

import (
	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/api"
	"sluice/gateway/auth"
	"sluice/gateway/channel"
)

// newAPI makes the server API; tellKeys logs calls without the key.
func (node *Node) newAPI(tellKeys bool) *api.Server {
	c := &node.cfg.HTTPAPI
	return api.New(api.Options{
		Prefix: c.HandlerPrefix, Rules: func() *channel.Rules { return node.rules.Load() },
		Broker: node.broker, Credit: node.hub, Presence: node.presence, Sessions: apiSessions{node},
		Keys:   func() *auth.APIKeys { return node.keys.Load() },
		Unread: node.bodies.unread, Waits: node.bodies.calls, Front: node.cameBy, Fronts: node.mayHaveCome,
		Decoded: func(r *fasthttp.Request, copied bool) {
			n := len(r.Body())
			switch {
			case copied && n >= hugeBody:
				r.SwapBody(nil) // garbage by the next collection
			case copied && n >= largeBody:
				r.ResetBody() // for the next body
			}
			node.bodies.read(&r.Header, n)
		},
		Limits: codec.Limits{Depth: c.MaxDepth, Number: c.MaxNumberSize}, MaxBody: c.MaxBodySize, MaxPublication: c.MaxPublicationSize,
		MaxCommands: c.MaxBatchCommands, MaxNames: c.MaxBroadcastChannels, MaxWork: c.WorkMaxBytes, ErrorMode: c.ErrorMode, TellKeys: tellKeys, Log: node.log,
	})
}
