package node

import brokermemory "sluice/gateway/broker/memory"

// memoryOptions returns those of the memory engine, which is made before the hub
// that it asks, and asks nothing before it is started.
func (node *Node) memoryOptions() brokermemory.Options {
	return brokermemory.Options{
		Wanted:   func(ch string) bool { return node.hub.Wanted(ch) },
		EmptyTTL: node.cfg.Channel.HistoryEmptyTTL, EmptyMax: node.cfg.Channel.HistoryEmptyMax,
		ResultsMax: node.cfg.HTTPAPI.IdempotencyMaxResults,
	}
}
