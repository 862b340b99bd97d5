// Package hub knows who listens here: it takes publications from the engine,
// encodes each once in the lane of its channel, and hands the frame to every
// loop that has a subscriber.
//
//	engine ─ Sink ─► lane (order, encode) ─► Frame ─► one post per loop ─► Shard
//
// Promises: for one channel frames reach every subscriber in the order in which
// the engine called the Sink; a subscriber that holds is sent nothing until it
// is activated, and then everything behind its position; a hole in the offsets of a
// positioned subscriber is never passed over in silence. The package knows
// nothing of sessions, users or requests.
package hub

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync/atomic"
	"time"

	"sluice/codec"
	"sluice/gateway/actor"
	"sluice/gateway/broker"
	"sluice/gateway/loop"
	"sluice/gateway/tally"
)

// DefaultCreditWait is Options.CreditWait where it is 0.
const DefaultCreditWait = time.Second

// Options of a [Hub]. Zero fields mean the defaults named.
type Options struct {
	Lanes       int           // publish lanes; one for each loop
	CreditBytes int64         // bytes of events between entrance and sockets; 64 MiB
	CreditWait  time.Duration // how long a publisher waits for credit; DefaultCreditWait
	HoldMaxSize int           // bytes held for one stream until its subscriptions are active; 1 MiB
	// UnsubscribeAfter is how long the engine goes on delivering a channel whose last
	// subscriber has left; DefaultUnsubscribeAfter.
	UnsubscribeAfter time.Duration
	// PositionMaxTimeLag is how old a publication may be on arrival in a
	// positioned channel, by its Time; 0 for no limit. Time is of the clock of the
	// node that published it: how far the clocks of nodes are apart counts too, and
	// so does an outage after which it was brought.
	PositionMaxTimeLag time.Duration
	// Policy is the first one, see Hub.SetPolicy.
	Policy func(channel string) Policy
	// Cursors puts id lines on publications of recoverable subscriptions.
	Cursors bool
	// CursorExactSize is up to how many bytes a stream's own cursor rides on
	// every event; 512.
	CursorExactSize int
	// OnCheckpoint learns where a channel stood when a checkpoint passed its lane; it is
	// called from a turn. May be nil where there are none.
	OnCheckpoint func(channel string, at Mark)
	// OnPanic learns of panics in lanes, for the log; may be nil.
	OnPanic func(v any, stack []byte)
}

// Hub implements broker.Sink. Make it with [New].
type Hub struct {
	// Immutable after Start.
	opt    Options
	broker broker.Broker
	// What the engine is like, see broker.Abilities.
	everything, synchronous bool
	lanes                   []*actor.Actor[event]
	group                   *loop.Group
	shards                  []*Shard
	seed                    maphash.Seed
	start                   time.Time
	credit                  *credits
	unsub                   *actor.Actor[string]
	endUnsubscribe          context.CancelFunc

	interests [interestStripes]interestStripe

	// Atomic.
	policies                                 atomic.Pointer[policies] // nil if nothing may be left out
	seq                                      atomic.Uint64            // events that entered the Sink
	published                                atomic.Uint64            // publications that entered the Sink
	tracked                                  atomic.Int64             // calls of Track without one of Untrack
	joins                                    atomic.Uint64
	leaves                                   atomic.Uint64
	panics                                   atomic.Uint64
	conflated                                atomic.Uint64 // publications that a newer one replaced in a lane
	unpaced                                  atomic.Uint64 // publications passed on for want of room to pace
	resynced                                 atomic.Uint64
	lost                                     atomic.Uint64
	coded                                    [codings]codingCounts
	groups                                   atomic.Int64
	groupsMade, groupsDropped, groupsRefused atomic.Uint64
	// unsubscribeFails are calls of the engine that are made again.
	unsubscribeFails atomic.Uint64
}

var _ broker.Sink = (*Hub)(nil)

// BlockingActors is how many actors of a hub run on the blocking pool.
const BlockingActors = 1

// New makes a hub over the loops of group. Lanes run on turns; the one actor
// whose calls may wait for the engine runs on blocking.
func New(group *loop.Group, b broker.Broker, turns, blocking actor.Submitter, opt Options) *Hub {
	if opt.Lanes <= 0 {
		opt.Lanes = len(group.Loops)
	}
	if opt.CreditBytes <= 0 {
		opt.CreditBytes = 64 << 20
	}
	if opt.CreditWait <= 0 {
		opt.CreditWait = DefaultCreditWait
	}
	if opt.HoldMaxSize <= 0 {
		opt.HoldMaxSize = 1 << 20
	}
	if opt.UnsubscribeAfter <= 0 {
		opt.UnsubscribeAfter = DefaultUnsubscribeAfter
	}
	if opt.CursorExactSize <= 0 {
		opt.CursorExactSize = 512
	}
	h := &Hub{
		opt: opt, broker: b, group: group, seed: maphash.MakeSeed(), start: time.Now(),
		credit: newCredits(opt.CreditBytes, opt.CreditWait),
	}
	h.SetPolicy(opt.Policy)
	u := &unsubscriber{hub: h, after: opt.UnsubscribeAfter}
	u.quit, h.endUnsubscribe = context.WithCancel(context.Background())
	h.unsub = actor.New[string](blocking, u)
	u.self = h.unsub
	able := b.Abilities()
	h.everything, h.synchronous = able.Everything, able.Synchronous
	for range opt.Lanes {
		ln := &lane{hub: h}
		ln.self = actor.New[event](turns, ln)
		h.lanes = append(h.lanes, ln.self)
	}
	for _, l := range group.Loops {
		h.shards = append(h.shards, newShard(h, l))
	}
	return h
}

// Shard returns the part of the hub that belongs to a loop.
func (h *Hub) Shard(l *loop.Loop) *Shard { return h.shards[l.ID()] }

// clock returns the time since the hub was made: one that lanes and loops share.
func (h *Hub) clock() time.Duration { return time.Since(h.start) }

func (h *Hub) hash(channel string) uint64 { return maphash.String(h.seed, channel) }

// event is one post into a lane.
type event struct {
	kind      eventKind
	channel   string
	pub, prev *codec.Publication
	info      *codec.ClientInfo
	top       broker.Position // of eventResynced and eventSettle
	credit    *broker.Credit
	at        time.Duration // on the hub's clock: when the engine handed it over
	seq       uint64        // when it entered the Sink: see Hub.Seq
	reached   chan<- struct{}
}

type eventKind uint8

const (
	eventPublication eventKind = iota
	eventJoin
	eventLeave
	eventBarrier
	eventDrain
	eventPace
	eventResynced
	eventLost
	eventUnfollowed // nobody follows a group of the channel any more
	eventTrack
	eventUntrack
	eventSettle
	eventCheckpoint
)

func (h *Hub) post(ev event) {
	h.lanes[h.hash(ev.channel)%uint64(len(h.lanes))].Post(ev)
}

// Publication implements broker.Sink.
func (h *Hub) Publication(channel string, p, prev *codec.Publication, credit *broker.Credit) {
	h.published.Add(1)
	// Before the look: a subscriber who is not seen comes behind it.
	seq := h.seq.Add(1)
	if h.forNobody(channel) {
		credit.Release()
		return
	}
	h.post(event{channel: channel, pub: p, prev: prev, credit: credit, at: h.clock(), seq: seq})
}

// forNobody reports whether a publication has no subscriber here, and its lane nothing to
// learn of it: no mark, and no rate that it counts for.
func (h *Hub) forNobody(channel string) bool {
	return h.tracked.Load() == 0 && h.policies.Load() == nil && !h.Wanted(channel)
}

// Join implements broker.Sink.
func (h *Hub) Join(channel string, info *codec.ClientInfo, credit *broker.Credit) {
	h.joins.Add(1)
	h.post(event{kind: eventJoin, channel: channel, info: info, credit: credit, seq: h.seq.Add(1)})
}

// Leave implements broker.Sink.
func (h *Hub) Leave(channel string, info *codec.ClientInfo, credit *broker.Credit) {
	h.leaves.Add(1)
	h.post(event{kind: eventLeave, channel: channel, info: info, credit: credit, seq: h.seq.Add(1)})
}

// Resynced implements broker.Sink.
func (h *Hub) Resynced(channel string, top broker.Position) {
	h.resynced.Add(1)
	h.post(event{kind: eventResynced, channel: channel, top: top, seq: h.seq.Add(1)})
}

// Lost implements broker.Sink.
func (h *Hub) Lost(channel string) {
	h.lost.Add(1)
	h.post(event{kind: eventLost, channel: channel, seq: h.seq.Add(1)})
}

// Seq is the number of the last event that entered the Sink. A subscriber that
// comes at a number is sent what entered behind it: what a caller was told
// before it asked to subscribe is not news. Any goroutine.
func (h *Hub) Seq() uint64 { return h.seq.Load() }

// Drain waits until everything that entered the Sink before the call is in
// the out-queues of its streams, at most until ctx ends: what a MaxRate holds
// back too, so it is for the end of the process. Not from a turn.
func (h *Hub) Drain(ctx context.Context) error { return h.barrier(ctx, eventDrain) }

// Arrived is Drain for positioned subscribers, which no MaxRate applies to:
// what waits for its time goes on waiting. It costs nothing while no publication is
// on its way. Not from a turn.
func (h *Hub) Arrived(ctx context.Context) error {
	if h.idle() {
		return nil
	}
	return h.barrier(ctx, eventBarrier)
}

// Posted waits until what entered the Sink before the call is with the loops that
// have a subscriber, which takes as long as to encode it. What waits there for
// blocked streams is brought forward for one stream by [Shard.CatchUp]. Not from a
// turn.
func (h *Hub) Posted(ctx context.Context) error {
	for _, l := range h.lanes {
		if l.Depth() > 0 {
			return h.lanesPass(ctx, eventBarrier)
		}
	}
	return nil
}

// idle reports whether everything that entered the Sink before the call is in
// the out-queues of its streams. The lanes are looked at first: a lane is done
// with an event after the loops have it.
func (h *Hub) idle() bool {
	for _, l := range h.lanes {
		if l.Depth() > 0 {
			return false
		}
	}
	for _, l := range h.group.Loops {
		if l.Deliveries() > 0 {
			return false
		}
	}
	return true
}

func (h *Hub) barrier(ctx context.Context, kind eventKind) error {
	if err := h.lanesPass(ctx, kind); err != nil {
		return err
	}
	// What the lanes posted before the barrier is in the loops' inboxes now.
	return h.group.DoBehind(ctx, func(*loop.Loop) {})
}

// lanesPass waits until the lanes have posted what they had.
func (h *Hub) lanesPass(ctx context.Context, kind eventKind) error {
	reached := make(chan struct{}, len(h.lanes))
	for _, l := range h.lanes {
		l.Post(event{kind: kind, reached: reached})
	}
	for range h.lanes {
		select {
		case <-reached:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Turns waits until every lane and every loop has had a turn from now on, however much
// waits behind it: whether they go on at all. The error is the cause of ctx, and says what
// has not. Not from a turn.
func (h *Hub) Turns(ctx context.Context) error {
	if err := h.lanesPass(ctx, eventBarrier); err != nil {
		return fmt.Errorf("hub: a lane does not turn: %w", err)
	}
	if err := h.group.Turns(ctx); err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	return nil
}

// InFlight returns the bytes of publish credit that are out. Any goroutine.
func (h *Hub) InFlight() int64 { return h.credit.used.Load() }

// Stats are the counters of a hub.
type Stats struct {
	Published uint64 // publications that entered the Sink
	Joins     uint64 // joins that reached a lane
	Leaves    uint64 // leaves that reached a lane
	Resynced  uint64 // channels that the engine lost sight of and found again
	Lost      uint64 // channels in which the engine may have missed something for good
	Channels  int    // with a subscriber here, or one on its way
	Leaving   int    // channels without one, which the engine delivers still
	// UnsubscribeFails are calls that could not tell the engine so, and are made again.
	UnsubscribeFails uint64
	LaneBacklog      int // posts waiting in lanes
	LaneLongest      int // of these, in the lane with the most
	LanePanics       uint64
	Conflated        uint64 // publications that a newer one of their key replaced before max_rate let them pass
	Unpaced          uint64 // publications that max_rate did not hold, for want of room
	CreditUsed       int64  // bytes of publish credit out
	CreditBack       uint64 // bytes of publish credit given back so far
	CreditSize       int64  // bytes of publish credit there are
	CreditWaits      uint64
	CreditFails      uint64
	CreditWait       tally.Durations      // of those that waited, whether they got it or not
	ReaderWaits      uint64               // of readers of the engine, who wait until they get it
	Coded            [codings]CodingStats // by codec.Coding
	Groups           int                  // that lanes go on with
	GroupsMade       uint64
	GroupsDropped    uint64 // to make room for another
	GroupsRefused    uint64 // publications that went without one, for want of room
}

// Stats returns the counters. Any goroutine.
func (h *Hub) Stats() Stats {
	s := Stats{
		Published: h.published.Load(), Joins: h.joins.Load(), Leaves: h.leaves.Load(), LanePanics: h.panics.Load(),
		Conflated: h.conflated.Load(), Unpaced: h.unpaced.Load(),
		Resynced: h.resynced.Load(), Lost: h.lost.Load(), UnsubscribeFails: h.unsubscribeFails.Load(),
		CreditUsed:  h.credit.used.Load(),
		CreditBack:  h.credit.back.Load(),
		CreditWaits: h.credit.waits.Load(),
		CreditFails: h.credit.fails.Load(),
		CreditSize:  h.credit.size,
		CreditWait:  h.credit.waited.Read(),
		ReaderWaits: h.credit.readerWaits.Load(),
		Groups:      int(h.groups.Load()),
		GroupsMade:  h.groupsMade.Load(), GroupsDropped: h.groupsDropped.Load(), GroupsRefused: h.groupsRefused.Load(),
	}
	for c := range h.coded {
		s.Coded[c] = h.coded[c].read()
	}
	for _, l := range h.lanes {
		depth := l.Depth()
		s.LaneBacklog += depth
		s.LaneLongest = max(s.LaneLongest, depth)
	}
	for i := range h.interests {
		stripe := &h.interests[i]
		stripe.mu.RLock()
		s.Channels += stripe.channels.Len() - stripe.idle
		s.Leaving += stripe.idle
		stripe.mu.RUnlock()
	}
	return s
}
