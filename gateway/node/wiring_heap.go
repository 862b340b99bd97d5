package node

import "sluice/gateway/heap"

// watchHeap gives memory back until done is closed.
func (node *Node) watchHeap(done <-chan struct{}) {
	heap.Watch(heap.Source{Load: node.load, InFlight: node.Undelivered, Accepted: node.accepted}, done)
}

// load is what the node does, for the heap. It waits for the loops.
func (node *Node) load() heap.Load {
	st := node.group.Stats()
	return heap.Load{
		Open: st.Open, Connects: st.Adopted, Written: st.Bytes,
		Delivered: node.hub.Stats().CreditBack, Waiting: node.waiting.Held(),
	}
}

// accepted returns how many connections came so far, whatever became of them. Unlike the
// loops' own figures it waits for nobody. Any goroutine, after Start.
func (node *Node) accepted() (n uint64) {
	for _, ln := range node.listeners {
		n += ln.Stats().Accepted
	}
	return n
}

// Undelivered returns how many bytes of publications there are between the entrance and
// the sockets. Any goroutine.
func (node *Node) Undelivered() int64 { return node.hub.InFlight() + node.bodies.held() }
