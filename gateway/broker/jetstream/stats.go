package jetstream

import (
	"errors"
	"sync/atomic"
	"time"

	"sluice/gateway/broker/follow"
	"sluice/gateway/nats"
	"sluice/gateway/reference"
	"sluice/gateway/tally"
)

// Call is a kind of call.
type Call int

// The kinds of calls.
const (
	callPublish Call = iota
	callSubscribe
	callHistory
	callRemove
	callFollow
	callSend
	callProbe
	callKinds
)

// String names the kind for metrics.
func (c Call) String() string {
	return [...]string{"publish", "subscribe", "history", "history_remove", "compare", "send", "probe"}[c]
}

// Skip is why something that came was not passed on.
type Skip int

// The reasons.
const (
	skipMalformed Skip = iota
	skipFraming
	skipData
	skipForeign
	skipUnwanted
	skipReasons
)

// String names the reason for metrics.
func (s Skip) String() string {
	return [...]string{"malformed", "framing", "data", "foreign", "unwanted"}[s]
}

// skipFor is the reason for an error of a decoder.
func skipFor(err error) Skip {
	switch {
	case errors.Is(err, reference.ErrFraming):
		return skipFraming
	case errors.Is(err, reference.ErrData):
		return skipData
	}
	return skipMalformed
}

// callStats count the calls of an engine.
type callStats struct {
	// Atomic.
	timed  [callKinds]tally.Shared
	errors tally.Words // by reason
}

func (c *callStats) took(kind Call, d time.Duration) { c.timed[kind].Add(d) }

func (c *callStats) failed(err error) { c.errors.Add(nats.ReasonOf(err)) }

// engineStats count what an engine does. All fields are atomic.
type engineStats struct {
	skips                            [skipReasons]atomic.Uint64
	parts                            atomic.Uint64
	lost, probesFailed, dropped      atomic.Uint64
	doubts, leaders                  atomic.Uint64
	batches, batched, conflicts      atomic.Uint64
	repeated, outdated               atomic.Uint64
	purged, purgesFailed, purgesLeft atomic.Uint64
	readsAgain                       atomic.Uint64
	historySize                      atomic.Int64
	lossTold                         atomic.Bool
	before                           [2]atomic.Uint64
}

func (s *engineStats) skipped(why Skip) { s.skips[why].Add(1) }

func (s *engineStats) left(parts int) {
	if parts > 0 {
		s.parts.Add(uint64(parts))
	}
}

// Stats are the counters of an engine.
type Stats struct {
	follow.Stats
	Calls     map[Call]tally.Durations // by kind, and how long they took
	Errors    map[string]uint64        // by reason, see the Reasons of gateway/nats
	Shards    []ShardStats
	Lost      uint64 // losses of the feed
	Failed    uint64 // probes that failed
	NoRoom    uint64 // messages that came and found no room; their channels are compared, see follow.Stats.Dropped
	Doubts    uint64 // probes that worked again, or of another stream, after which channels were compared
	Leaders   uint64 // other leaders of streams
	Batches   uint64 // groups in which publications were kept
	Batched   uint64 // publications in them
	Conflicts uint64 // groups before which another node came, so that they were made again
	Repeated  uint64 // publications that their idempotency key suppressed
	Outdated  uint64 // publications that their version suppressed
	// Purged channels had a history that was over; PurgesLeft found no room to be remembered for that.
	Purged, PurgesFailed, PurgesLeft uint64
	// ReadsAgain are lists that a replica had not whole yet.
	ReadsAgain uint64
	Skipped    map[Skip]uint64 // messages that were not passed on
	Parts      uint64          // parts of messages that were left out
	States     int             // channels whose last state is remembered for publishers
}

// ShardStats are those of one stream.
type ShardStats struct {
	Name     string
	Ready    bool
	ProbeAge time.Duration // since the last probe began that worked; below 0: none has
}

// Stats returns the counters. Any goroutine, from Start on.
func (e *Engine) Stats() Stats {
	c := &e.stats
	st := Stats{
		Stats: e.follow.Stats(), Calls: make(map[Call]tally.Durations, callKinds), Errors: e.calls.errors.Read(), Skipped: make(map[Skip]uint64, skipReasons),
		Lost: c.lost.Load(), Failed: c.probesFailed.Load(), NoRoom: c.dropped.Load(), Doubts: c.doubts.Load(), Leaders: c.leaders.Load(),
		Batches: c.batches.Load(), Batched: c.batched.Load(), Conflicts: c.conflicts.Load(), Repeated: c.repeated.Load(), Outdated: c.outdated.Load(),
		Purged: c.purged.Load(), PurgesFailed: c.purgesFailed.Load(), PurgesLeft: c.purgesLeft.Load(), ReadsAgain: c.readsAgain.Load(),
		Parts: c.parts.Load(), States: e.lanes.known(),
	}
	for kind := range callKinds {
		st.Calls[kind] = e.calls.timed[kind].Read()
	}
	for why := range skipReasons {
		st.Skipped[why] = c.skips[why].Load()
	}
	now := time.Now()
	for _, s := range e.shards {
		one := ShardStats{Name: s.stream, Ready: s.ready(now) == nil, ProbeAge: -1}
		s.mu.Lock()
		if !s.worked.IsZero() {
			one.ProbeAge = now.Sub(s.worked)
		}
		s.mu.Unlock()
		st.Shards = append(st.Shards, one)
	}
	return st
}
