package node

import (
	"sluice/gateway/edge"
	"sluice/gateway/metrics"
)

// newEdge makes the broadcast route. What the kernel is told of its sockets is as
// on the subscribe endpoint.
func (node *Node) newEdge() *edge.Server {
	b := &node.cfg.Broadcast
	return edge.New(node.sessions, node.hub, node.broker, edge.Options{
		Prefix: b.HandlerPrefix, VaryLastEventID: b.VaryLastEventID, MaxStreams: b.MaxOriginStreams, Retry: b.Retry,
		Rules: node.rules.Load, Node: node.id.String(),
		Socket: sseSettings(node.cfg).Socket, Address: node.clientAddress, Log: node.log,
	})
}

// addEdge adds what the broadcast route counts.
func (c counters) addEdge(n *metrics.Node) {
	if c.node.edge != nil {
		n.Broadcast = metrics.Broadcast(c.node.edge.Stats())
	}
}
