package relay

import "sync/atomic"

// reason is why a stream of the origin ended, or did not begin.
type reason uint8

const (
	endPlanned  reason = iota // at its planned end, behind a retry line
	endEarly                  // in order, but before its time or without having said so
	endCut                    // broken off
	endStalled                // nothing came for too long
	endGarbage                // something that is no push of the channel
	endOffsets                // offsets that are not dense and rising
	endEpoch                  // an epoch that is not the one of the head
	endDial                   // no connection
	endTimeout                // no answer in time
	endHead                   // an answer that is no event stream of a broadcast route
	endStatus                 // a status that is no stream
	endAbsent                 // 404: there is no such channel
	endLoop                   // 508: the nodes have the channel from each other
	endAway                   // an answer that only says when to come back
	endRedirect               // a redirect that is not followed
	endReasons
)

var reasonNames = [endReasons]string{
	"planned", "early", "cut", "stalled", "garbage", "offsets", "epoch", "dial", "timeout", "head", "status", "absent", "loop", "away", "redirect",
}

func (r reason) String() string { return reasonNames[r] }

// counters are those of an engine.
type counters struct {
	// Atomic.
	up       atomic.Int64 // streams whose head was taken
	ends     [endReasons]atomic.Uint64
	bytes    atomic.Uint64
	taken    atomic.Uint64
	repeats  atomic.Uint64
	skipped  atomic.Uint64
	tooLong  atomic.Uint64
	gaps     atomic.Uint64
	epochs   atomic.Uint64
	refused  atomic.Uint64
	absentBy atomic.Uint64
}

// Stats are the counters of an engine.
type Stats struct {
	Channels int               // relayed, or on their way to be
	Streams  int               // of the origin, open
	Ends     map[string]uint64 // of streams of the origin, and attempts at one, by reason
	Bytes    uint64            // of bodies from the origin
	Taken    uint64            // publications that were new
	Repeats  uint64            // publications dropped because they had come before
	Skipped  uint64            // events that are not for a relay
	TooLong  uint64            // events dropped because of their length
	Gaps     uint64            // times that subscribers of a channel were told of a gap
	Epochs   uint64            // of these, because the origin began anew
	Refused  uint64            // channels refused because there are too many
	Absent   uint64            // channels refused because the origin said so a moment ago
	Kept     int64             // bytes of kept publications
	KeptMax  int64             // most of them there may be
	Trimmed  uint64            // publications forgotten before their time for want of room
}

// Stats returns the counters. Any goroutine.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	channels := e.links.Len()
	e.mu.Unlock()
	c := &e.counters
	st := Stats{
		Channels: channels, Streams: int(c.up.Load()), Ends: make(map[string]uint64, endReasons),
		Bytes: c.bytes.Load(), Taken: c.taken.Load(), Repeats: c.repeats.Load(), Skipped: c.skipped.Load(), TooLong: c.tooLong.Load(),
		Gaps: c.gaps.Load(), Epochs: c.epochs.Load(), Refused: c.refused.Load(), Absent: c.absentBy.Load(),
		Kept: e.memory.used.Load(), KeptMax: e.memory.most, Trimmed: e.memory.trimmed.Load(),
	}
	for r := range endReasons {
		st.Ends[r.String()] = c.ends[r].Load()
	}
	return st
}
