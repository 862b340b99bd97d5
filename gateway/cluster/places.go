package cluster

import (
	"context"
	"time"
)

// Places are the connections of each user on all nodes, for
// client.user_connection_limit and single_connection. Who keeps presence for all nodes may
// keep them too. All methods may be called from any goroutine but not from a turn: they wait
// for the network until ctx ends. Errors wrap broker.ErrUnavailable or broker.ErrUnknown; a
// place that may have been taken is given back by Apply.
//
// A place that its node does not renew within [PlaceTTL] is free again, by the clock of the
// store: no clock of a node matters.
type Places interface {
	// Reserve takes a place for a client, unless the user has limit places or more; 0
	// takes it without looking. Who has one already keeps it.
	Reserve(ctx context.Context, user, client string, limit int) (Place, error)
	// Claim returns a number above all that it returned for the user before, on any
	// node: of the user's connections the one with the highest is the newest. others
	// says that there was a claim a moment ago, [ClaimMoment], whose connection may not
	// be in presence yet.
	//
	// One that could not be made when it was due may be made later: with an age it is
	// what it would have been so long ago, above claims that are older and below those
	// that are younger.
	Claim(ctx context.Context, user string, age time.Duration) (claim uint64, others bool, err error)
	// Apply renews places and gives back those of clients that left, at the cost of few
	// round trips. It may be made again.
	Apply(ctx context.Context, changes []PlaceChange) error
}

// PlaceTTL is how long a place lasts without a renewal. It is short: for so long a user is
// kept out whose node died.
const PlaceTTL = 15 * time.Second

// Place is the answer to a client that wants one.
type Place uint8

const (
	// PlaceTaken: the client has one.
	PlaceTaken Place = iota
	// PlaceDoubtful: none is free now, but one may be soon. Of those that have them not
	// each was renewed since the user was first refused, so some may be of a node that
	// died.
	PlaceDoubtful
	// PlaceRefused: none is free, and who has them is there.
	PlaceRefused
)

// ClaimMoment is longer than it takes from a claim until its connection is in presence,
// or has failed.
const ClaimMoment = time.Minute

// PlaceChange is a connection of a user that is still there, or left.
type PlaceChange struct {
	User, Client string
	Left         bool
}
