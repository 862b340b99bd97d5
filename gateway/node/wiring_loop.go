package node

import (
	"time"

	"sluice/codec"
	"sluice/gateway/loop"
)

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
