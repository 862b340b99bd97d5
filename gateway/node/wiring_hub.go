package node

import (
	"time"

	"sluice/codec"
	"sluice/gateway/channel"
	"sluice/gateway/config"
	"sluice/gateway/heap"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
)

func (node *Node) hubOptions() hub.Options {
	opt := hub.Options{
		Lanes: node.cfg.Node.Lanes, CreditBytes: int64(node.cfg.HTTPAPI.PublishInflightMaxBytes),
		CreditWait: node.cfg.HTTPAPI.PublishWait, HoldMaxSize: node.cfg.Client.HoldMaxBytes,
		Policy:             policy(&node.cfg.Channel, node.rules.Load()),
		PositionMaxTimeLag: node.cfg.Client.ChannelPositionMaxTimeLag,
		Cursors:            node.cfg.UniSSE.LastEventID, CursorExactSize: node.cfg.UniSSE.CursorExactBytes,
		OnPanic:      node.onPanic,
		OnCheckpoint: func(ch string, at hub.Mark) { node.edge.Checkpoint(ch, at) }, // only it asks for any
	}
	if node.cfg.Relays() {
		opt.UnsubscribeAfter = relayLinger
	}
	return opt
}

// relayLinger is how long a channel is relayed behind its last viewer: those who follow
// the end of a stream are away for a moment, and what came is kept for them.
const relayLinger = 30 * time.Second

// policy returns how the hub learns what may be left out, nil if no namespace
// allows anything: then nobody asks.
func policy(c *config.Channel, rules *channel.Rules) func(string) hub.Policy {
	any := lossy(&c.WithoutNamespace)
	for i := range c.Namespaces {
		any = any || lossy(&c.Namespaces[i].ChannelOptions)
	}
	if !any {
		return nil
	}
	return func(ch string) hub.Policy {
		o, err := rules.Lookup(ch)
		if err != nil {
			return hub.Policy{}
		}
		return hub.Policy{
			DropOldest: o.SlowPolicy == channel.SlowDropOldest, ConflateKey: o.ConflateKey, MaxRate: o.MaxRate,
		}
	}
}

// lossy reports whether publications of the namespace may be left out.
func lossy(o *config.ChannelOptions) bool {
	return o.SlowPolicy == string(channel.SlowDropOldest) || o.ConflateKey != "" || o.MaxRate > 0
}

// userTimeoutSlack is how much longer than a stream may be slow the kernel
// waits for acknowledgements: a mere pause of a reader must not be cut sooner.
const userTimeoutSlack = 5 * time.Second

func (node *Node) loopOptions() loop.Options {
	c := &node.cfg.Client
	return loop.Options{
		QueueMaxSize: c.QueueMaxSize, QueueMaxAge: c.QueueMaxAge, QueuesMaxTotal: int64(c.QueuesMaxTotal),
		SlowFrame: codec.DisconnectFrame(codec.DisconnectSlow),
		Ring:      node.cfg.Node.IOURing != "off",
		OnPanic:   node.onPanic, Verify: node.verify,
	}
}

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
