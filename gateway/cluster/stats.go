package cluster

import (
	"sync/atomic"

	"sluice/gateway/tally"
)

// counters are counted by any goroutine.
type counters struct {
	sent, received, skipped map[string]*atomic.Uint64 // the maps do not change
	unsent, unanswered      atomic.Uint64
	took                    tally.Shared
}

func (n *counters) init() {
	all := append(kinds(), kindReference)
	n.sent, n.received, n.skipped = counted(all), counted(all), counted(skipReasons())
}

func counted(names []string) map[string]*atomic.Uint64 {
	m := make(map[string]*atomic.Uint64, len(names))
	for _, name := range names {
		m[name] = new(atomic.Uint64)
	}
	return m
}

// Stats are numbers of a cluster.
type Stats struct {
	Nodes      int    // that are known, this one and those of the reference included
	Reference  int    // of these, nodes of the reference
	Silent     int    // of these, that missed their last answer
	Forgotten  uint64 // nodes that went without a word
	Unsent     uint64 // messages that could not be sent
	Unanswered uint64 // answers that did not come in time
	// Sent and Received are messages by kind, Skipped those that were not obeyed by
	// reason; all nil for a node that is alone.
	Sent, Received, Skipped map[string]uint64
	// Took is how long callers waited for other nodes.
	Took tally.Durations
}

// Stats returns the numbers so far.
func (c *Cluster) Stats() Stats {
	st := Stats{Nodes: 1}
	if c.opt.Carrier == nil {
		return st
	}
	st.Nodes, st.Silent, st.Forgotten = c.nodes.counts()
	st.Nodes++
	if c.mixed != nil {
		known, silent, forgotten := c.mixed.peers.counts()
		st.Reference, st.Nodes, st.Silent, st.Forgotten = known, st.Nodes+known, st.Silent+silent, st.Forgotten+forgotten
	}
	st.Unsent, st.Unanswered, st.Took = c.count.unsent.Load(), c.count.unanswered.Load(), c.count.took.Read()
	st.Sent, st.Received, st.Skipped = read(c.count.sent), read(c.count.received), read(c.count.skipped)
	return st
}

func read(counts map[string]*atomic.Uint64) map[string]uint64 {
	out := make(map[string]uint64, len(counts))
	for name, n := range counts {
		out[name] = n.Load()
	}
	return out
}
