package nats

import (
	"sync/atomic"
	"time"

	"sluice/gateway/nats"
	"sluice/gateway/tally"
)

// Call is a kind of call.
type Call int

// The kinds of calls.
const (
	callPublish Call = iota
	callEvent
	callSubscribe
	callSend
	callProbe
	callKinds
)

// String names the kind for metrics.
func (c Call) String() string {
	return [...]string{"publish", "event", "subscribe", "send", "probe"}[c]
}

// Skip is why something that came was not passed on.
type Skip int

// The reasons.
const (
	skipMalformed Skip = iota
	skipData
	skipUnwanted
	skipReasons
)

// String names the reason for metrics.
func (s Skip) String() string { return [...]string{"malformed", "data", "unwanted"}[s] }

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
	skips                                [skipReasons]atomic.Uint64
	parts                                atomic.Uint64
	lost, unknown, dropped, probesFailed atomic.Uint64
	dropTold                             atomic.Bool
}

func (s *engineStats) skipped(why Skip) { s.skips[why].Add(1) }

func (s *engineStats) left(parts int) {
	if parts > 0 {
		s.parts.Add(uint64(parts))
	}
}

// Stats are the counters of an engine.
type Stats struct {
	Calls    map[Call]tally.Durations // by kind, and how long they took
	Errors   map[string]uint64        // by reason, see the Reasons of gateway/nats
	Ready    bool
	Channels int             // subscribed
	ProbeAge time.Duration   // since the last probe began that worked; below 0: none has since a loss
	Lost     uint64          // losses of the feed
	Unknown  uint64          // channels that may have missed something in them
	Dropped  uint64          // messages that came and found no room
	Failed   uint64          // probes that failed
	Skipped  map[Skip]uint64 // messages that were not passed on
	Parts    uint64          // parts of messages that were left out
}

// Stats returns the counters. Any goroutine, from Start on.
func (e *Engine) Stats() Stats {
	st := Stats{
		Calls: make(map[Call]tally.Durations, callKinds), Errors: e.calls.errors.Read(), Skipped: make(map[Skip]uint64, skipReasons),
		Ready: e.Ready() == nil, Lost: e.stats.lost.Load(), Unknown: e.stats.unknown.Load(), Dropped: e.stats.dropped.Load(),
		Failed: e.stats.probesFailed.Load(), Parts: e.stats.parts.Load(),
	}
	for kind := range callKinds {
		st.Calls[kind] = e.calls.timed[kind].Read()
	}
	for why := range skipReasons {
		st.Skipped[why] = e.stats.skips[why].Load()
	}
	e.mu.RLock()
	st.Channels = len(e.channels)
	e.mu.RUnlock()
	st.ProbeAge, _ = e.probe.age(time.Now())
	return st
}
