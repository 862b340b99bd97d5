package node

import (
	"net"

	"sluice/gateway/api"
	"sluice/gateway/front"
	"sluice/gateway/front/client"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
	"sluice/gateway/metrics"
	"sluice/gateway/session"
	"sluice/gateway/sse"
)

// Parts are what a node is made of.
type Parts struct {
	Sessions  *session.Manager
	Hub       *hub.Hub
	Group     *loop.Group
	SSE       *sse.Server // nil without the endpoint
	API       *api.Server // nil without the server API
	Limits    *client.Limits
	Certs     []*front.Certs // those there are, the public listener's first
	Bodies    *bodyRoom
	HookCalls int // of one hook at once
	Counters  metrics.Source
	Waiting   *front.Waiting
	Listeners []*front.Listener // the public one first
}

// Parts returns the parts after Start; for tests, which count and stop what users
// cannot.
func (node *Node) Parts() Parts {
	return Parts{
		Sessions: node.sessions, Hub: node.hub, Group: node.group, SSE: node.sse, API: node.api,
		Limits: node.limits, Certs: node.certs.all(), Waiting: node.waiting, Listeners: node.listeners,
		Bodies: node.bodies, HookCalls: node.files.calls, Counters: counters{node},
	}
}

// Verify panics if the tables of the parts disagree; for tests.
func (node *Node) Verify() { node.sessions.Verify() }

// Listening is where a listener is bound, and whether it encrypts.
type Listening struct {
	Addr net.Addr
	TLS  bool
}

// Listening returns the listeners after Start, the public one first.
func (node *Node) Listening() []Listening {
	out := []Listening{{node.listeners[0].Addr(), node.certs.external != nil}}
	if len(node.listeners) > 1 {
		out = append(out, Listening{node.listeners[1].Addr(), node.certs.internal != nil})
	}
	return out
}
