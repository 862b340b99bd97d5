package nats

import "sluice/gateway/tally"

// Stats are the counters of both connections.
type Stats struct {
	Calls CallsStats
	Feed  FeedStats
}

// CallsStats are those of what is asked.
type CallsStats struct {
	Up            bool
	Server        string // name of the server, "" for none yet
	Dials, Losses uint64 // connections made, and lost
	Asked         uint64 // requests and messages that were sent
	Waiting       int    // callers that wait until others are answered
	UnderWay      int    // requests that have yet to be answered
	Errors        map[string]uint64
	Took          tally.Durations // of calls, with their waits
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

// counted counts an error, which it returns.
func (c *Calls) counted(err *Error) error {
	c.errs.Add(err.Reason)
	return err
}

func (c *Calls) stats() CallsStats {
	c.mu.Lock()
	under := len(c.pending)
	c.mu.Unlock()
	return CallsStats{
		Up: c.conn.nc().IsConnected(), Server: c.conn.serverName(), Dials: c.conn.dials.Load(), Losses: c.conn.losses.Load(),
		Asked: c.asked.Load(), Waiting: int(c.waiting.Load()), UnderWay: under, Errors: c.errs.Read(), Took: c.took.Read(),
	}
}

func (f *Feed) stats() FeedStats {
	f.mu.Lock()
	subs := len(f.subs)
	f.mu.Unlock()
	waiting, size := f.queue.depth()
	return FeedStats{
		Up: f.conn.nc().IsConnected(), Server: f.conn.serverName(), Dials: f.conn.dials.Load(), Losses: f.conn.losses.Load(),
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
