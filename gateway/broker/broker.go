// Package broker is the contract between the gateway and what carries its
// publications: the engine. An engine knows a [Sink] and nothing else of the
// gateway; package brokertest judges every engine by one suite.
package broker

import (
	"context"
	"errors"
	"time"

	"sluice/codec"
)

// Position is a place in a channel's history: the offset of a publication, and
// the epoch in which offsets count (PROTOCOL 6.1).
type Position struct {
	Offset uint64
	Epoch  string
}

// Sink takes what an engine received for local subscribers. Its methods never
// block and never fail; for one channel they must be called in the order of
// its publications, by one goroutine at a time.
type Sink interface {
	// Publication delivers p, which is immutable from here on. prev is the
	// publication before it in the history when p asks for a delta and one
	// is kept, else nil. credit travels with p and is released when every
	// subscriber's socket was offered it; nil for none.
	Publication(channel string, p, prev *codec.Publication, credit *Credit)
	// Join and Leave deliver events of presence, with their credit.
	Join(channel string, info *codec.ClientInfo, credit *Credit)
	Leave(channel string, info *codec.ClientInfo, credit *Credit)
}

// HistoryOptions say how much of a channel is kept (PROTOCOL 5.3). The zero
// value keeps nothing.
type HistoryOptions struct {
	Size    int
	TTL     time.Duration
	MetaTTL time.Duration
}

// Enabled reports whether the channel keeps history.
func (o HistoryOptions) Enabled() bool { return o.Size > 0 && o.TTL > 0 }

// PublishOptions of one publication.
type PublishOptions struct {
	History HistoryOptions
	// IdempotencyKey makes a repeat within five minutes return the first
	// result and publish nothing.
	IdempotencyKey string
	// VersionEpoch belongs to Publication.Version (PROTOCOL 6.1).
	VersionEpoch string
	// Credit is what the caller holds for this publication, nil for none; see
	// Result.CreditTaken.
	Credit *Credit
}

// Result of a publish.
type Result struct {
	Position
	// Suppressed says that nothing was published: the idempotency key or
	// the version was seen before.
	Suppressed bool
	// CreditTaken says that the credit went with the publication into the
	// Sink; otherwise the caller releases it.
	CreditTaken bool
}

// HistoryQuery asks for a part of a channel's history (PROTOCOL 7.9).
type HistoryQuery struct {
	// Since limits the answer to publications behind (in reverse: before)
	// this offset, if Set.
	Since   uint64
	Set     bool
	Limit   int // at most so many; 0 none, negative all
	Reverse bool
	MetaTTL time.Duration // lifetime of the position from this read on
}

// ErrNoHistory is returned by engines that cannot keep history.
var ErrNoHistory = errors.New("broker: this engine keeps no history")

// Broker is an engine. All methods may be called from any goroutine but not
// from a turn: they may wait for the network until ctx ends.
type Broker interface {
	// Start begins to deliver into sink. It is called once, first.
	Start(sink Sink) error
	// Subscribe returns when publications made from now on will reach the
	// Sink. The caller counts: it is called once until Unsubscribe.
	Subscribe(ctx context.Context, channel string) error
	Unsubscribe(ctx context.Context, channel string) error
	// Publish gives p its offset and epoch, keeps it if asked to, and hands
	// it to every node with a subscriber. p belongs to the engine from here
	// on. After a panic the credit is the caller's: an engine passes it on by
	// the last step of Publish that can fail.
	Publish(ctx context.Context, channel string, p *codec.Publication, opt PublishOptions) (Result, error)
	// Join and Leave tell of clients that came and went. On an error the caller
	// releases the credit.
	Join(ctx context.Context, channel string, info *codec.ClientInfo, credit *Credit) error
	Leave(ctx context.Context, channel string, info *codec.ClientInfo, credit *Credit) error
	// History returns publications in order (newest first in reverse) and
	// the present top position, which it creates if there is none.
	History(ctx context.Context, channel string, q HistoryQuery) ([]*codec.Publication, Position, error)
	RemoveHistory(ctx context.Context, channel string) error
	// Close ends deliveries. No call may follow.
	Close(ctx context.Context) error
}

// Instant is an engine within the process: its Subscribe and Unsubscribe do
// nothing, so callers need not wait for them.
type Instant interface{ Instant() }
