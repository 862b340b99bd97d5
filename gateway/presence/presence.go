// Package presence is the contract for knowing which clients are in a channel.
package presence

import (
	"context"

	"sluice/codec"
)

// Stats are the counters of one channel.
type Stats struct{ Clients, Users int }

// Manager keeps the clients of channels. All methods may be called from any
// goroutine but not from a turn: they may wait for the network until ctx ends.
// For one client of a channel the caller orders Add and Remove.
type Manager interface {
	// Add puts a client into a channel, or says that it is still there:
	// entries of other nodes expire when this stops.
	Add(ctx context.Context, channel string, info *codec.ClientInfo) error
	// Remove takes a client out.
	Remove(ctx context.Context, channel string, info *codec.ClientInfo) error
	// Presence returns the clients of a channel, in no order.
	Presence(ctx context.Context, channel string) ([]*codec.ClientInfo, error)
	// Stats counts the clients of a channel and their distinct users;
	// anonymous clients are one user together.
	Stats(ctx context.Context, channel string) (Stats, error)
}
