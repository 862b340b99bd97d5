// Package presence is the contract for knowing which clients are in a channel.
package presence

import (
	"context"
	"errors"
	"time"

	"sluice/codec"
)

// Stats are the counters of one channel.
type Stats struct{ Clients, Users int }

// Change is a client that comes into a channel, is still there, or left it.
type Change struct {
	Channel string
	Info    *codec.ClientInfo
	Left    bool
}

// ErrUnavailable says that clients cannot be kept or read at present: what they stand in
// is out of reach, or did not answer in time. Changes may have been made or not.
var ErrUnavailable = errors.New("presence: not available at present")

// Manager keeps the clients of channels. All methods may be called from any
// goroutine but not from a turn: they may wait for the network until ctx ends.
// For one client of a channel the caller orders its changes, those of different calls
// too.
type Manager interface {
	// Apply makes changes, at the cost of few round trips. Each stands for itself:
	// on an error any of them may have been made or not, and all of them may be made
	// again. Errors of this and the next two wrap ErrUnavailable where it applies.
	Apply(ctx context.Context, changes []Change) error
	// Presence returns the clients of a channel, in no order.
	Presence(ctx context.Context, channel string) ([]*codec.ClientInfo, error)
	// Stats counts the clients of a channel and their distinct users;
	// anonymous clients are one user together.
	Stats(ctx context.Context, channel string) (Stats, error)
	// TTL is how long a client stays in a channel after its last change, unless
	// the node that has it says again that it is there; 0: until it leaves. It does not
	// change and does not block.
	TTL() time.Duration
	// Close ends what the manager began. No call may follow.
	Close(ctx context.Context) error
}
