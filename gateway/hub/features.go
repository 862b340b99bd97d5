package hub

import "sluice/codec"

// Features are what a subscription was granted, and its client negotiated. They say what
// it is to get; the rest of a member says how that is done at present.
type Features uint8

const (
	// Positioned subscribers get each offset once, in order, or are told
	// that they lost their place.
	Positioned Features = 1 << iota
	// Delta subscribers get payloads as strings or as deltas.
	Delta
	// PushJoinLeave subscribers get join and leave pushes.
	PushJoinLeave
	// Recoverable subscriptions have a place in their stream's cursor.
	Recoverable
	// FollowsBare and FollowsWithID subscribers are on streams that may follow groups, see
	// Groups: at most one of them is set.
	FollowsBare
	FollowsWithID
	// Refers says that the dictionary of the stream is that of the channel's namespace.
	Refers
	// Checkpoints are sent where the channel stands, see Hub.Checkpoint.
	Checkpoints

	// counted are those that the interest of the channel counts: they stay as they were
	// when it was acquired.
	counted = Delta | follows | Refers
	follows = FollowsBare | FollowsWithID
	// needsAll are the members that must get every publication: an override of a
	// token or the API may have made them so in a namespace that leaves some out.
	needsAll = Positioned | Recoverable | Delta
)

func (f Features) has(all Features) bool { return f&all == all }

// Has reports whether it has all of some features.
func (f Features) Has(all Features) bool { return f.has(all) }

// Form is that of a subscriber on a stream of a coding, and with a dictionary or nil.
func (f Features) Form(c codec.Coding, d *codec.Dictionary) Form {
	form := Form{Delta: f.has(Delta), Coding: c}
	if f.has(Refers) {
		form.Dictionary = d
	}
	switch f & follows {
	case FollowsBare:
		form.Groups = GroupsBare
	case FollowsWithID:
		form.Groups = GroupsWithID
	}
	return form
}

// memberState is where a subscription is in its life.
type memberState uint8

const (
	// stateHeld: it is sent nothing until Shard.Activate.
	stateHeld memberState = 1 << iota
	// stateHasBase: its client has the payload that the next delta is made against.
	stateHasBase
)

// idRoute is how the position of a subscription travels. It follows from the
// subscriptions of its stream, see Shard.refreshCursor.
type idRoute uint8

const (
	routeNone idRoute = iota
	// routeShared: the channel is the only recoverable one of its stream, which
	// gets the id line that all such streams share.
	routeShared
	// routeOwn: the stream has several recoverable channels, and an id of its own.
	routeOwn
)
