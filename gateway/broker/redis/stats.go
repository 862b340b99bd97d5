package redis

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

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
	timed [callKinds]tally.Shared

	// Guarded by mu.
	mu     sync.Mutex
	errors map[string]uint64 // by reason, of which there are few
}

func (c *callStats) took(kind Call, d time.Duration) { c.timed[kind].Add(d) }

func (c *callStats) failed(err error) {
	reason := "other"
	var e *rds.Error
	if errors.As(err, &e) {
		reason = e.Reason
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.errors == nil {
		c.errors = make(map[string]uint64)
	}
	c.errors[reason]++
}

// followStats count what a follower does. All fields are atomic.
type followStats struct {
	repeats, jumps, heldDropped, unknown, comparisons, readsFailed atomic.Uint64
	wentBack, replayed, told, resynced, unconfirmed, behind        atomic.Uint64
	awayBack, forgotten                                            atomic.Uint64
	overtook, unreadable                                           atomic.Uint64
}

// linkStats count what comes through one shard. All fields are atomic.
type linkStats struct {
	follow             followStats
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
	Name     string
	Ready    bool
	Channels int           // subscribed
	Pending  int           // of them, to be compared with their histories
	Held     int           // bytes of messages that wait for that
	ProbeAge time.Duration // since the last probe began that worked; below 0: none has
	Lost     uint64        // losses of the pub/sub connection
	Failed   uint64        // probes that failed
	Compared uint64        // comparisons of a channel with its history
	Replayed uint64        // publications that were missed and brought from the history
	Resynced uint64        // comparisons after which nothing is missing
	Told     uint64        // comparisons after which subscribers were told of a loss
	WentBack uint64        // of these, histories that went back and got another epoch
	AwayBack uint64        // histories that went back of channels nobody is subscribed to here any more
	// Forgotten are positions of such channels that made room for others.
	Forgotten uint64
	Unknown   uint64 // channels without a place in a history that may have missed something in a loss
	Jumps     uint64 // publications whose offset was none that was expected
	Behind    uint64 // channels that a read found to be behind
	Repeats   uint64 // publications that came again
	// Unconfirmed publications came over pub/sub with a place that no history has.
	Unconfirmed uint64
	ReadsFailed uint64          // histories that could not be compared at once
	HeldDropped uint64          // messages that waited, dropped for want of room, to be read again
	Overtook    uint64          // messages without history that passed before what is to be read, for want of room
	Unreadable  uint64          // comparisons that Redis refused for good, after which subscribers were told
	Skipped     map[Skip]uint64 // payloads and entries that were not passed on
	Parts       uint64          // parts of messages that were left out
}

// Stats returns the counters. Any goroutine, from Start on.
func (e *Engine) Stats() Stats {
	st := Stats{Calls: make(map[Call]tally.Durations, callKinds), Errors: make(map[string]uint64), Unversioned: e.unversioned.Load()}
	for kind := range callKinds {
		st.Calls[kind] = e.calls.timed[kind].Read()
	}
	e.calls.mu.Lock()
	for reason, n := range e.calls.errors {
		st.Errors[reason] = n
	}
	e.calls.mu.Unlock()
	now := time.Now()
	for _, l := range e.links {
		st.Shards = append(st.Shards, l.read(now))
	}
	return st
}

func (l *link) read(now time.Time) ShardStats {
	f := &l.stats.follow
	s := ShardStats{
		Name: l.shard.Name(), Ready: l.ready(now) == nil, ProbeAge: -1,
		Lost: l.stats.lost.Load(), Failed: l.stats.probesFailed.Load(), Compared: f.comparisons.Load(),
		Replayed: f.replayed.Load(), Resynced: f.resynced.Load(), Told: f.told.Load(), WentBack: f.wentBack.Load(),
		AwayBack: f.awayBack.Load(), Forgotten: f.forgotten.Load(),
		Unknown: f.unknown.Load(), Jumps: f.jumps.Load(), Behind: f.behind.Load(), Repeats: f.repeats.Load(),
		Unconfirmed: f.unconfirmed.Load(), ReadsFailed: f.readsFailed.Load(), HeldDropped: f.heldDropped.Load(),
		Overtook: f.overtook.Load(), Unreadable: f.unreadable.Load(),
		Skipped: make(map[Skip]uint64, skipReasons), Parts: l.stats.parts.Load(),
	}
	s.Channels, s.Pending, s.Held = l.follower.counts()
	if age, ever, _ := l.probe.age(now); ever {
		s.ProbeAge = age
	}
	for why := range skipReasons {
		s.Skipped[why] = l.stats.skips[why].Load()
	}
	return s
}
