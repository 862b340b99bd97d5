package node

import (
	"context"
	"sort"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/api"
	"sluice/gateway/auth"
	"sluice/gateway/channel"
	"sluice/gateway/session"
)

// apiSessions is the node as the server API sees it: its sessions, and what other
// nodes would be asked.
type apiSessions struct {
	*session.Manager
	node *Node
}

var _ api.Sessions = apiSessions{}

// Channels implements api.Sessions.
func (s apiSessions) Channels(_ context.Context, match func(string) bool) ([]api.ChannelInfo, error) {
	var out []api.ChannelInfo
	s.node.hub.Channels(func(ch string, subscribers int) bool {
		if match == nil || match(ch) {
			out = append(out, api.ChannelInfo{Channel: ch, Clients: subscribers})
		}
		return true
	})
	sort.Slice(out, func(i, j int) bool { return out[i].Channel < out[j].Channel })
	return out, nil
}

// Nodes implements api.Sessions.
func (s apiSessions) Nodes(context.Context) ([]api.NodeInfo, error) {
	return []api.NodeInfo{{
		UID: s.node.id.String(), Name: s.node.nodeName(), Version: Version,
		Counts: s.Counts(), Uptime: int(time.Since(s.node.began) / time.Second),
		Metrics: s.node.lastInterval.Load(),
	}}, nil
}

// newAPI makes the server API; tellKeys logs calls without the key.
func (node *Node) newAPI(tellKeys bool) *api.Server {
	c := &node.cfg.HTTPAPI
	return api.New(api.Options{
		Prefix: c.HandlerPrefix, Rules: func() *channel.Rules { return node.rules.Load() },
		Broker: node.broker, Credit: node.hub, Presence: node.presence, Sessions: apiSessions{node.sessions, node},
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
