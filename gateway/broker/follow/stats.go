package follow

import "sync/atomic"

// counters count what a follower does. All fields are atomic.
type counters struct {
	repeats, jumps, heldDropped, unknown, comparisons, readsFailed atomic.Uint64
	wentBack, replayed, told, resynced, unconfirmed, behind        atomic.Uint64
	awayBack, forgotten                                            atomic.Uint64
	overtook, unreadable, dropped                                  atomic.Uint64
}

// Stats are the counters of a follower.
type Stats struct {
	Channels int    // subscribed
	Pending  int    // of them, to be compared with their histories
	Held     int    // bytes of messages that wait for that
	Compared uint64 // comparisons of a channel with its history
	Replayed uint64 // publications that were missed and brought from the history
	Resynced uint64 // comparisons after which nothing is missing
	Told     uint64 // comparisons after which subscribers were told of a loss
	WentBack uint64 // of these, histories that went back and got another epoch
	AwayBack uint64 // histories that went back of channels nobody is subscribed to here any more
	// Forgotten are positions of such channels that made room for others.
	Forgotten uint64
	Unknown   uint64 // channels without a place in a history that may have missed something in a loss
	Jumps     uint64 // publications whose offset was none that was expected
	Behind    uint64 // channels that a read found to be behind
	Repeats   uint64 // publications that came again
	// Unconfirmed publications came live with a place that no history has.
	Unconfirmed uint64
	ReadsFailed uint64 // histories that could not be compared at once
	HeldDropped uint64 // messages that waited, dropped for want of room, to be read again
	Overtook    uint64 // messages without history that passed before what is to be read, for want of room
	Unreadable  uint64 // comparisons that were refused for good, after which subscribers were told
	Dropped     uint64 // channels of which a message was dropped before it came here, see DoubtChannel
}

// Stats returns the counters. Any goroutine.
func (f *Follower) Stats() Stats {
	c := &f.stats
	s := Stats{
		Compared: c.comparisons.Load(), Replayed: c.replayed.Load(), Resynced: c.resynced.Load(), Told: c.told.Load(), WentBack: c.wentBack.Load(),
		AwayBack: c.awayBack.Load(), Forgotten: c.forgotten.Load(), Unknown: c.unknown.Load(), Jumps: c.jumps.Load(), Behind: c.behind.Load(),
		Repeats: c.repeats.Load(), Unconfirmed: c.unconfirmed.Load(), ReadsFailed: c.readsFailed.Load(), HeldDropped: c.heldDropped.Load(),
		Overtook: c.overtook.Load(), Unreadable: c.unreadable.Load(), Dropped: c.dropped.Load(),
	}
	s.Channels, s.Pending, s.Held = f.Counts()
	return s
}
