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

// Sink takes what an engine received for local subscribers. Its methods never fail,
// and but for Credit they never block; for one channel they must be called in the order
// of its publications, by one goroutine at a time.
type Sink interface {
	// Publication delivers p, which is immutable from here on. prev is the
	// publication before it in the history when p asks for a delta and one
	// is kept, else nil. credit travels with p and is released when every
	// subscriber's socket was offered it; nil for none.
	Publication(channel string, p, prev *codec.Publication, credit *Credit)
	// Join and Leave deliver events of presence, with their credit.
	Join(channel string, info *codec.ClientInfo, credit *Credit)
	Leave(channel string, info *codec.ClientInfo, credit *Credit)
	// Resynced says that the engine lost sight of a channel and sees it again:
	// what it could bring of what was missed it has brought before, in order, and
	// top is where the history stands. Subscribers that are not there now, or are in
	// another epoch, have lost their place and are told so.
	Resynced(channel string, top Position)
	// Lost says that publications of a channel are missing, or may be, which
	// nothing can bring again: all its positioned subscribers have lost their
	// place, whatever position they have. Others have nothing to be told.
	Lost(channel string)
	// Credit waits for room for so many bytes until ctx ends, which is its
	// only error: an engine that reads faster than streams take waits here, and
	// what it reads from waits behind it. Not for publishers, which bring theirs.
	Credit(ctx context.Context, size int) (*Credit, error)
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
	// Binary is the payload of a publication whose Binary is set. No stream of ours
	// carries it, but it goes to other nodes: those of the reference have clients
	// that it is for, and ours tell it from an empty one. It is not written to.
	Binary []byte
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
	Channel string
	// Since limits the answer to publications behind (in reverse: before)
	// this offset, if Set.
	Since   uint64
	Set     bool
	Limit   int // at most so many; 0 none, negative all
	Reverse bool
	MetaTTL time.Duration // lifetime of the position from this read on
}

// History is the answer to a query: publications in order, in reverse newest first,
// and the top position at that time, which the read creates if there was none. All
// of it was read at one moment. Err is why there is no answer.
type History struct {
	Publications []*codec.Publication
	Top          Position
	Err          error
}

var (
	// ErrNoHistory is returned by engines that cannot keep history.
	ErrNoHistory = errors.New("broker: this engine keeps no history")
	// ErrUnavailable says that the engine cannot be reached at present, and that
	// nothing of the call was done. It may be made again.
	ErrUnavailable = errors.New("broker: the engine is not available, nothing was done")
	// ErrUnknown says that the call may have been carried out or not: its
	// connection broke, or its time was over, before there was an answer. Only calls
	// that are idempotent may be made again: all but a Publish without an
	// idempotency key, Join and Leave.
	ErrUnknown = errors.New("broker: the engine did not answer, what it did is not known")
	// ErrNoChannel says that there is no such channel where an engine has its
	// publications from, and that asking again soon brings nothing else.
	ErrNoChannel = errors.New("broker: there is no such channel")
	// ErrLoop says that a wish for a channel came back to a node that it had passed.
	ErrLoop = errors.New("broker: nodes have this channel from each other, in a circle")
	// ErrReadOnly says that an engine only passes on what others publish.
	ErrReadOnly = errors.New("broker: this engine only passes on what is published elsewhere: publish there")
)

type viaKey struct{}

// WithVia returns a context in which what is asked for is so for the sake of another
// node: via are the nodes by which the wish came, a value of CDN-Loop (RFC 8586). An
// engine that asks other nodes in turn tells them.
func WithVia(ctx context.Context, via string) context.Context {
	if via == "" {
		return ctx
	}
	return context.WithValue(ctx, viaKey{}, via)
}

// Via returns what WithVia put into a context, "" for nothing.
func Via(ctx context.Context) string {
	via, _ := ctx.Value(viaKey{}).(string)
	return via
}

// Abilities say what an engine is like, each by itself.
type Abilities struct {
	// History: it keeps publications and positions. Without it, reads of histories fail
	// with ErrNoHistory, and what is published has no position, whatever its HistoryOptions.
	History bool
	// Nodes: what is published here reaches the subscribers of other processes.
	Nodes bool
	// Everything: all that is published arrives in the Sink, whoever is
	// subscribed; Subscribe and Unsubscribe do nothing and need not be called.
	Everything bool
	// Synchronous: what Publish, Join or Leave returned for has entered the Sink
	// of this node, and a read never sees what has not; Barrier has nothing to wait
	// for.
	Synchronous bool
	// Local: calls do not leave the process. They need no deadline, may be made
	// where nothing may wait, and a read costs too little to be shared.
	Local bool
	// Bounded: Publish ends within a time of the engine's own, so a context need not end
	// for its sake, which costs.
	Bounded bool
}

// Broker is an engine. All methods may be called from any goroutine but not
// from a turn: they may wait for the network until ctx ends, and for as long as
// the engine's own limits allow where ctx has no end. Calls are idempotent unless said
// otherwise; errors wrap one of those above where it applies.
type Broker interface {
	// Abilities are the same before and after Start. It does not block.
	Abilities() Abilities
	// Start begins to deliver into sink. It is called once, first. An engine
	// that is not within reach is no error: see Ready.
	Start(sink Sink) error
	// Subscribe returns when publications made from now on in any of the
	// channels will reach the Sink. On an error it may be so for some of them: the
	// caller subscribes again, or unsubscribes. The caller counts: a channel that is
	// subscribed is not subscribed again until it was unsubscribed.
	Subscribe(ctx context.Context, channels []string) error
	// Unsubscribe ends that. On an error the channels count as subscribed.
	Unsubscribe(ctx context.Context, channels []string) error
	// Publish gives p its offset and epoch, keeps it if asked to, and hands
	// it to every node with a subscriber. p belongs to the engine from here
	// on. It is not idempotent without PublishOptions.IdempotencyKey. After a panic
	// the credit is the caller's: an engine passes it on by the last step of Publish
	// that can fail.
	Publish(ctx context.Context, channel string, p *codec.Publication, opt PublishOptions) (Result, error)
	// Join and Leave tell of clients that came and went; neither is idempotent.
	// On an error the caller releases the credit, otherwise the engine does or passes
	// it on.
	Join(ctx context.Context, channel string, info *codec.ClientInfo, credit *Credit) error
	Leave(ctx context.Context, channel string, info *codec.ClientInfo, credit *Credit) error
	// Histories reads several channels at the cost of few round trips and answers
	// each query, in their order. Positions are read with Limit 0.
	Histories(ctx context.Context, queries []HistoryQuery) []History
	RemoveHistory(ctx context.Context, channel string) error
	// Barrier returns when all that was published before the call, on any node, has
	// entered the Sink of this one, if it is subscribed here; or an error if that
	// cannot be said.
	Barrier(ctx context.Context) error
	// Ready returns nil while publications can be made and are delivered, as far
	// as known without asking, else why not and what to do. It does not block.
	Ready() error
	// StopIntake returns when nothing enters the Sink any more, for good. Publish
	// goes on. It is called once, before what entered the Sink is settled.
	StopIntake(ctx context.Context) error
	// Close ends everything, deliveries too. No call may follow.
	Close(ctx context.Context) error
}

// Read answers one query.
func Read(ctx context.Context, b Broker, q HistoryQuery) ([]*codec.Publication, Position, error) {
	h := b.Histories(ctx, []HistoryQuery{q})[0]
	return h.Publications, h.Top, h.Err
}
