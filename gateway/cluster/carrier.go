package cluster

import "context"

// Carrier carries messages between the nodes of one engine, which provides it. All
// methods may be called from any goroutine but not from a turn.
type Carrier interface {
	// Listen delivers what any node sends to one of the subjects, this node included, in
	// the order of each sender where there is one way between them; over several servers
	// messages may overtake each other. It is called after the engine was started, after an
	// error again with the same arguments, and may wait until ctx ends. An error says that the engine, or a part of it, is not
	// within reach yet: it is listened to as soon as it is, and again after each loss;
	// what was sent meanwhile is gone. receive is called by one goroutine at a time and
	// does not block; payload is valid during the call only. It ends with the engine.
	Listen(ctx context.Context, subjects []string, receive func(subject string, payload []byte)) error
	// Send sends to all who listen, at the most until ctx ends. Errors wrap
	// broker.ErrUnavailable or broker.ErrUnknown. payload is not kept.
	Send(ctx context.Context, subject string, payload []byte) error
}

// Subjects of a carrier, which puts the engine's prefix and a dot before them.
const (
	// SubjectAll is heard by all nodes.
	SubjectAll = "sluice.control"
	// subjectNode and the id of a node is heard by that one.
	subjectNode = "sluice.node."
)
