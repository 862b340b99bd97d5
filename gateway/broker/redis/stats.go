package redis

import (
	"errors"
	"sync/atomic"
	"time"

	"sluice/gateway/broker/follow"
	rds "sluice/gateway/redis"
	"sluice/gateway/reference"
	"sluice/gateway/tally"
)

// Call is a kind of command.
type Call int

// The kinds of commands.
const (
	callPublish Call = iota
	callEvent
	callHistory
	callRemove
	callFollow
	callSend
	callProbe
	callKinds
)

// String names the kind for metrics.
func (c Call) String() string {
	return [...]string{"publish", "event", "history", "history_remove", "compare", "send", "probe"}[c]
}

// Skip is why something that came was not passed on.
type Skip int

// The reasons.
const (
	skipMalformed Skip = iota
	skipFraming
	skipData
	skipEntry
	skipUnwanted
	skipReasons
)

// String names the reason for metrics.
func (s Skip) String() string {
	return [...]string{"malformed", "framing", "data", "entry", "unwanted"}[s]
}

// callStats count the commands of an engine.
type callStats struct {
	// Atomic.
	timed  [callKinds]tally.Shared
	errors tally.Words // by reason
}

func (c *callStats) took(kind Call, d time.Duration) { c.timed[kind].Add(d) }

func (c *callStats) failed(err error) { c.errors.Add(rds.ReasonOf(err)) }

// linkStats count what comes through one shard. All fields are atomic.
type linkStats struct {
	skips              [skipReasons]atomic.Uint64
	parts              atomic.Uint64
	lost, probesFailed atomic.Uint64
}

func (s *linkStats) skipped(why Skip) { s.skips[why].Add(1) }

func (s *linkStats) left(parts int) {
	if parts > 0 {
		s.parts.Add(uint64(parts))
	}
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

// Stats are the counters of an engine.
type Stats struct {
	Calls  map[Call]tally.Durations // commands by kind, and how long they took
	Errors map[string]uint64        // by reason, see the Reasons of gateway/redis
	// Unversioned publications had a version, and went into a list, which compares none.
	Unversioned uint64
	Shards      []ShardStats
}

// ShardStats are those of one shard.
type ShardStats struct {
	follow.Stats
	Name     string
	Ready    bool
	ProbeAge time.Duration   // since the last probe began that worked; below 0: none has
	Lost     uint64          // losses of the pub/sub connection
	Failed   uint64          // probes that failed
	Skipped  map[Skip]uint64 // payloads and entries that were not passed on
	Parts    uint64          // parts of messages that were left out
}

// Stats returns the counters. Any goroutine, from Start on.
func (e *Engine) Stats() Stats {
	st := Stats{Calls: make(map[Call]tally.Durations, callKinds), Errors: e.calls.errors.Read(), Unversioned: e.unversioned.Load()}
	for kind := range callKinds {
		st.Calls[kind] = e.calls.timed[kind].Read()
	}
	now := time.Now()
	for _, l := range e.links {
		st.Shards = append(st.Shards, l.read(now))
	}
	return st
}

func (l *link) read(now time.Time) ShardStats {
	s := ShardStats{
		Stats: l.follower.Stats(), Name: l.shard.Name(), Ready: l.ready(now) == nil, ProbeAge: -1,
		Lost: l.stats.lost.Load(), Failed: l.stats.probesFailed.Load(),
		Skipped: make(map[Skip]uint64, skipReasons), Parts: l.stats.parts.Load(),
	}
	if age, ever, _ := l.probe.age(now); ever {
		s.ProbeAge = age
	}
	for why := range skipReasons {
		s.Skipped[why] = l.stats.skips[why].Load()
	}
	return s
}
