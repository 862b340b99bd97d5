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
		MaxTotal: node.broadcastStreams,
		Rules:    node.rules.Load, Node: node.id.String(),
		Address: node.clientAddress, Log: node.log,
	})
}

// broadcastStreams returns how many streams the broadcast route may have, 0 for no limit.
// Why half: anybody may open one, of a channel that does not exist before.
func (node *Node) broadcastStreams() int {
	if most := node.cfg.Broadcast.MaxStreams; most > 0 {
		return most
	}
	all, _ := node.sessions.StreamLimit()
	if !node.cfg.UniSSE.Enabled {
		return all
	}
	return (all + 1) / 2
}

// addEdge adds what the broadcast route counts.
func (c counters) addEdge(n *metrics.Node) {
	if c.node.edge != nil {
		n.Broadcast = metrics.Broadcast(c.node.edge.Stats())
	}
}
