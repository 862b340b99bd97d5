package hub

// Flags say how a subscriber is delivered to.
type Flags uint16

const (
	// Held subscribers are sent nothing until Shard.Open.
	Held Flags = 1 << iota
	// Positioned subscribers get each offset once, in order, or are told
	// that they lost their place.
	Positioned
	// Delta subscribers get payloads as strings or as deltas.
	Delta
	// HasBase: the delta subscriber has the payload that the next delta is
	// made against.
	HasBase
	// PushJoinLeave subscribers get join and leave pushes.
	PushJoinLeave
	// Recoverable subscriptions have a place in their stream's cursor.
	Recoverable
	// SharedID: the channel is the only recoverable one of its stream, which
	// gets the id line that all such streams share.
	SharedID
	// OwnID: the stream has several recoverable channels and an id of its
	// own.
	OwnID
)
