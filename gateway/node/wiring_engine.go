package node

import (
	"errors"

	brokermemory "sluice/gateway/broker/memory"
	"sluice/gateway/metrics"
	presencememory "sluice/gateway/presence/memory"
)

// newEngines makes the broker and the presence that the options name: another engine is
// another case here, and in refusals.
func (node *Node) newEngines() {
	node.broker = brokermemory.New(node.memoryOptions())
	node.presence = presencememory.New()
}

// errNotUp is why a node is not ready that does not serve.
var errNotUp = errors.New("this node has not started yet, or is stopping")

// notReady returns why new clients should not be sent here, nil if they may. It does not
// block.
func (node *Node) notReady() error {
	if !node.ready.Load() {
		return errNotUp
	}
	if err := node.broker.Ready(); err != nil {
		return err
	}
	if p, ok := node.presence.(interface{ Ready() error }); ok {
		if err := p.Ready(); err != nil {
			return err
		}
	}
	return node.cluster.Ready()
}

// memoryOptions returns those of the memory engine, which is made before the hub
// that it asks, and asks nothing before it is started.
func (node *Node) memoryOptions() brokermemory.Options {
	return brokermemory.Options{
		Wanted:   func(ch string) bool { return node.hub.Wanted(ch) },
		EmptyTTL: node.cfg.Channel.HistoryEmptyTTL, EmptyMax: node.cfg.Channel.HistoryEmptyMax,
		ResultsMax: node.cfg.HTTPAPI.IdempotencyMaxResults,
	}
}

// addEngine adds what only an engine within the process counts.
func (c counters) addEngine(n *metrics.Node) {
	engine, ok := c.node.broker.(*brokermemory.Engine)
	if !ok {
		return
	}
	st := engine.Stats()
	n.Suppressed = map[string]uint64{"idempotency": st.Repeated, "version": st.Outdated}
	n.Positions = map[string]int{"published": st.Positions - st.Empty, "empty": st.Empty}
	n.Results = st.Results
	n.Forgotten = map[string]uint64{"empty_position": st.EmptyDropped, "idempotency_result": st.ResultsDropped}
}
