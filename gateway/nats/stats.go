package nats

import (
	"maps"
	"sync"

	"sluice/gateway/tally"
)

// reasons counts errors by what went wrong, of which there are few kinds.
type reasons struct {
	mu sync.Mutex
	by map[string]uint64
}

// count counts an error, which it returns.
func (r *reasons) count(err *Error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by == nil {
		r.by = make(map[string]uint64)
	}
	r.by[err.Reason]++
	return err
}

func (r *reasons) read() map[string]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.by)
}

// Stats are the counters of both connections.
type Stats struct {
	Calls CallsStats
	Feed  FeedStats
}

// CallsStats are those of what is asked.
type CallsStats struct {
	Up              bool
	Server          string // name of the server, "" for none yet
	Dials, Losses   uint64 // connections made, and lost
	Asked           uint64 // requests and messages that were sent
	Waiting         int    // callers that wait until others are answered
	UnderWay        int    // requests that have yet to be answered
	Errors          map[string]uint64
	Took            tally.Durations // of calls, with their waits
	InBytes, OutMsg uint64
}

// FeedStats are those of what is delivered.
type FeedStats struct {
	Up            bool
	Server        string
	Dials, Losses uint64
	Subscriptions int
	Messages      uint64 // handed over
	Bytes         uint64 // of them
	Waiting       int    // messages that came and were not handed over yet
	WaitingBytes  int
	Dropped       uint64 // messages for which there was no room
	Markers       uint64 // that came back
	MarkerTime    tally.Durations
}

// Stats returns the counters. Any goroutine.
func (n *NATS) Stats() Stats { return Stats{Calls: n.calls.stats(), Feed: n.feed.stats()} }

func (c *Calls) stats() CallsStats {
	c.mu.Lock()
	under := len(c.pending)
	c.mu.Unlock()
	lib := c.conn.nc.Stats()
	return CallsStats{
		Up: c.conn.nc.IsConnected(), Server: c.conn.serverName(), Dials: c.conn.dials.Load(), Losses: c.conn.losses.Load(),
		Asked: c.asked.Load(), Waiting: int(c.waiting.Load()), UnderWay: under, Errors: c.errs.read(), Took: c.took.Read(),
		InBytes: lib.InBytes, OutMsg: lib.OutMsgs,
	}
}

func (f *Feed) stats() FeedStats {
	f.mu.Lock()
	subs := len(f.subs)
	f.mu.Unlock()
	waiting, size := f.queue.depth()
	return FeedStats{
		Up: f.conn.nc.IsConnected(), Server: f.conn.serverName(), Dials: f.conn.dials.Load(), Losses: f.conn.losses.Load(),
		Subscriptions: subs, Messages: f.messages.Load(), Bytes: f.bytes.Load(), Waiting: waiting, WaitingBytes: size,
		Dropped: f.dropped.Load(), Markers: f.markers.Load(), MarkerTime: f.markerTime.Read(),
	}
}

func (c *conn) serverName() string {
	if s := c.server.Load(); s != nil {
		return s.Name
	}
	return ""
}
