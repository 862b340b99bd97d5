package redis

import (
	"sync/atomic"
	"time"

	"sluice/gateway/tally"
)

// counts are what a shard counts. Any goroutine.
type counts struct {
	// Atomic.
	commands, retries atomic.Uint64
	dials, dialErrors atomic.Uint64
	latency           tally.Shared // of calls: one command, or one pipeline, with its waits
	errors            tally.Words  // by reason
}

// Stats are the counters of a shard.
type Stats struct {
	Shard      string
	Up         bool              // commands are executed
	Commands   uint64            // asked for
	Errors     map[string]uint64 // attempts that failed, by reason
	Retries    uint64
	Dials      uint64 // of connections of commands
	DialErrors uint64
	Waiting    int // callers
	UnderWay   int // commands and pipelines that are sent
	// Batches and Batched: what went in batches, and how many commands that were.
	Batches, Batched uint64
	Latency          tally.Durations
}

// Stats returns the counters. Any goroutine.
func (s *Shard) Stats() Stats {
	_, err := s.gate.state()
	batched := s.batches.read()
	return Stats{
		Shard: s.name, Up: err == nil, Commands: s.counts.commands.Load(), Errors: s.counts.errors.Read(),
		Retries: s.counts.retries.Load(), Dials: s.counts.dials.Load(), DialErrors: s.counts.dialErrors.Load(),
		Batches: batched.batches, Batched: batched.commands,
		Waiting: int(s.waiting.Load()), UnderWay: int(s.underWay.Load()), Latency: s.counts.latency.Read(),
	}
}

// counted counts an error, which it returns.
func (s *Shard) counted(err *Error) *Error {
	s.counts.errors.Add(err.Reason)
	return err
}

// readerCounts are what a reader counts. Any goroutine.
type readerCounts struct {
	// Atomic.
	messages, bytes, oversize atomic.Uint64
	connects, losses          atomic.Uint64
	refused                   atomic.Uint64
	markers, markerErrors     atomic.Uint64
	markerTime                tally.Shared
	delivered                 atomic.Int64 // when the latest marker came, Unix ns
}

// ReaderStats are the counters of a reader.
type ReaderStats struct {
	Shard        string
	Name         string
	Live         bool
	Channels     int    // wanted
	Pending      int    // to be subscribed or unsubscribed, not yet acknowledged
	Messages     uint64 // handed over
	Bytes        uint64 // of their payloads
	Oversize     uint64 // messages left out for their length
	Connects     uint64
	Losses       uint64 // of connections that were live
	Refused      uint64 // channels that the server refused
	Markers      uint64 // that came back
	MarkerErrors uint64
	MarkerTime   tally.Durations
	// ProbeAge is the time since a marker came back: since then delivery was not
	// proved. Negative: never.
	ProbeAge time.Duration
}

// Stats returns the counters. Any goroutine.
func (r *Reader) Stats() ReaderStats {
	if r.fan != nil {
		return r.fan.stats()
	}
	c := &r.counts
	age := time.Duration(-1)
	if at := c.delivered.Load(); at != 0 {
		age = time.Since(time.Unix(0, at))
	}
	r.mu.Lock()
	live, channels, pending := r.live, len(r.wanted), r.queue.len()+r.flying
	r.mu.Unlock()
	return ReaderStats{
		Shard: r.s.name, Name: r.name, Live: live, Channels: channels, Pending: pending,
		Messages: c.messages.Load(), Bytes: c.bytes.Load(), Oversize: c.oversize.Load(),
		Connects: c.connects.Load(), Losses: c.losses.Load(), Refused: c.refused.Load(),
		Markers: c.markers.Load(), MarkerErrors: c.markerErrors.Load(), MarkerTime: c.markerTime.Read(), ProbeAge: age,
	}
}

// add adds the counters of a part.
func (t *ReaderStats) add(s ReaderStats) {
	t.Messages += s.Messages
	t.Bytes += s.Bytes
	t.Oversize += s.Oversize
	t.Connects += s.Connects
	t.Losses += s.Losses
	t.Refused += s.Refused
	t.Markers += s.Markers
	t.MarkerErrors += s.MarkerErrors
	t.MarkerTime.Merge(&s.MarkerTime)
}
