package edge

import (
	"container/heap"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"sluice/gateway/channel"
	"sluice/gateway/hub"
	"sluice/gateway/session"
)

// channels are those that have streams here, and those that had some a short while ago:
// the positions of their checkpoints are what viewers come back with. Time is that since
// newChannels: no clock that somebody sets has a say in it.
type channels struct {
	// Immutable after newChannels.
	hub   checkpoints
	most  int           // streams of one channel, 0 for no limit
	total func() int    // of all, 0 for no limit
	reach time.Duration // of a backlog, beyond the freshness
	now   func() time.Duration
	tight func(channel string) // told when a channel comes near most
	wake  chan struct{}        // something is due earlier than what run waits for

	// Guarded by mu.
	mu           sync.Mutex
	named        map[string]*state
	due          dueHeap
	streams      int
	known, blank uint64   // checkpoints that told a position, and that did not
	pressed      uint64   // times that streams of a channel began to end sooner
	crowded      []string // these channels, until tell
}

// checkpoints is what a hub does for them. Its methods post to the lane of a channel.
type checkpoints interface {
	Track(channel string)
	Untrack(channel string)
	Checkpoint(channel string)
}

// state is one channel. Guarded by channels.mu.
type state struct {
	channel  string
	streams  int
	options  *channel.Options // of the latest stream
	ring     []passage        // of one epoch, the oldest first
	opened   int              // since the last checkpoint
	settled  bool             // the lane knew the position at the last checkpoint
	lifetime *atomic.Int64    // of streams at present, read by turns
	due      time.Duration    // for the next checkpoint; without streams, to be forgotten
	position int              // in channels.due
}

// passage is when a checkpoint passed the lane, and where the channel stood.
type passage struct {
	at   time.Duration
	mark hub.Mark
}

func newChannels(h checkpoints, most int, reach time.Duration) *channels {
	start := time.Now()
	return &channels{
		hub: h, most: most, reach: reach, now: func() time.Duration { return time.Since(start) },
		wake: make(chan struct{}, 1), named: make(map[string]*state), tight: func(string) {},
		total: func() int { return 0 },
	}
}

// keep is for how long a checkpoint is live: somebody on a stream that was shared until its
// end may come back with it.
func (c *channels) keep(s *state) time.Duration {
	return s.options.BroadcastLifetime + s.options.BroadcastFreshness + c.reach
}

// place is what a stream has of its channel: backlog is where one begins that is for all,
// the rest is as session.BroadcastRequest has it.
type place struct {
	backlog   session.Backlog
	unsettled bool
	lifetime  *atomic.Int64
}

// enter takes a place among the streams of a channel. ok is false if there is none.
func (c *channels) enter(ch string, o *channel.Options) (p place, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.full() {
		return place{}, false
	}
	now, s := c.now(), c.named[ch]
	if s == nil {
		s = &state{channel: ch, lifetime: new(atomic.Int64)}
		s.lifetime.Store(math.MaxInt64)
		c.named[ch] = s
		heap.Push(&c.due, s)
	}
	s.options = o
	if c.most > 0 && s.streams >= c.most {
		return place{}, false
	}
	c.streams++
	s.opened++
	if s.streams++; s.streams == 1 {
		// Before the first stream takes an interest in the channel: whatever the lane
		// sees from then on, it notes.
		c.hub.Track(ch)
		s.settled = false
		c.set(s, now+o.BroadcastFreshness)
	} else if next := now + o.BroadcastFreshness; next < s.due { // it was longer before a reload
		c.set(s, next)
	}
	return place{s.begin(now - o.BroadcastFreshness - c.reach), !s.settled, s.lifetime}, true
}

// full reports whether there are as many streams of all channels as may be. Caller holds mu.
func (c *channels) full() bool {
	limit := c.total()
	return limit > 0 && c.streams >= limit
}

// refusal says why enter has just had no place.
func (c *channels) refusal() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.full() {
		return refusedNode
	}
	return refusedChannels
}

// set changes when something is due for a channel. Caller holds mu.
func (c *channels) set(s *state, due time.Duration) {
	s.due = due
	if heap.Fix(&c.due, s.position); s.position == 0 {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// leave gives a place back. Turns call it.
func (c *channels) leave(ch string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.named[ch]
	c.streams--
	if s.streams--; s.streams == 0 {
		// From here on the engine may stop delivering the channel.
		c.hub.Untrack(ch)
		if len(s.ring) == 0 || len(c.named) > mostNamed {
			c.forget(s) // there is nothing to know of it, or too much of others
			return
		}
		c.set(s, c.now()+c.keep(s))
	}
}

// mostNamed is with how many channels those without streams are forgotten at once: whoever
// comes back to one is sent a longer backlog.
const mostNamed = 100_000

// forget drops what is known of a channel without streams. Caller holds mu.
func (c *channels) forget(s *state) {
	heap.Remove(&c.due, s.position)
	delete(c.named, s.channel)
}

// passed notes a checkpoint. A turn calls it.
func (c *channels) passed(ch string, at hub.Mark) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.named[ch]
	if s == nil || s.streams == 0 {
		return
	}
	if s.settled = at.Known(); !s.settled {
		c.blank++
		return
	}
	c.known++
	now := c.now()
	if n := len(s.ring); n > 0 && s.ring[n-1].mark.Epoch != at.Epoch {
		s.ring = nil
	}
	s.ring = append(s.ring, passage{now, at})
	old := 0
	for s.ring[old].at < now-c.keep(s) {
		old++
	}
	s.ring = s.ring[old:] // append moves what is left when the room is used up
}

// begin returns the youngest position that is not younger than a moment: whatever was
// published since lies behind it. It is the zero Backlog where nobody noted any.
func (s *state) begin(before time.Duration) session.Backlog {
	for i := len(s.ring) - 1; i >= 0; i-- {
		if p := &s.ring[i]; p.at <= before {
			return session.Backlog{Offset: p.mark.Offset, Epoch: p.mark.Epoch}
		}
	}
	return session.Backlog{}
}

// live reports whether a position is that of a checkpoint of this node which a viewer may
// have.
func (c *channels) live(ch string, at hub.Mark) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.named[ch]
	if s == nil {
		return false
	}
	since := c.now() - c.keep(s)
	for i := len(s.ring) - 1; i >= 0 && s.ring[i].at >= since; i-- {
		if s.ring[i].mark == at {
			return true
		}
	}
	return false
}

// run does what is due until done is closed.
func (c *channels) run(done <-chan struct{}) {
	timer := time.NewTimer(idleLook)
	defer timer.Stop()
	for {
		select {
		case <-done:
			return
		case <-c.wake:
		case <-timer.C:
		}
		wait := c.step()
		for c.tell(); wait == 0; c.tell() {
			wait = c.step()
		}
		timer.Reset(wait)
	}
}

// tell tells of channels that came near the limit.
func (c *channels) tell() {
	c.mu.Lock()
	crowded := c.crowded
	c.crowded = nil
	c.mu.Unlock()
	for _, ch := range crowded {
		c.tight(ch)
	}
}

// idleLook is how long run waits where nothing is due.
const idleLook = time.Hour

// stepMost is how much a step does at once.
const stepMost = 256

// step sends the checkpoints that are due and forgets channels that nobody comes back to.
// It returns how long there is nothing to do: 0 where there is more, which waits for those
// who come and go, lanes and loops among them.
func (c *channels) step() (wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for done := 0; len(c.due) > 0; done++ {
		s := c.due[0]
		switch {
		case s.due > now:
			return s.due - now
		case done == stepMost:
			return 0
		case s.streams == 0:
			c.forget(s)
		default:
			c.press(s)
			c.hub.Checkpoint(s.channel)
			s.due = max(s.due, now-s.options.BroadcastFreshness) + s.options.BroadcastFreshness
			if s.due <= now { // the process was held up
				s.due = now + s.options.BroadcastFreshness
			}
			heap.Fix(&c.due, 0)
		}
	}
	return idleLook
}

// press lets streams of a channel end sooner the nearer it is to the limit, so that there is
// room for those who come: a front opens one for each coding and id that somebody names,
// and whoever names many would shut the others out for a lifetime. Those who lose their
// stream are on the newest one at once, all together. Streams that are fresh stay. Caller
// holds mu.
func (c *channels) press(s *state) {
	fresh, full := int64(s.options.BroadcastFreshness), int64(s.options.BroadcastLifetime)
	now, opened := min(s.lifetime.Load(), full), int64(max(s.opened, 1))
	s.opened = 0
	switch {
	case c.most > 0 && s.streams > c.most-c.most/4:
		if now == full {
			c.pressed++
			c.crowded = append(c.crowded, s.channel)
		}
		half := fresh * int64(c.most) / (2 * opened) // with this many openings half of them are taken
		s.lifetime.Store(min(now, max(min(now/2, half), 2*fresh)))
	case now < full && s.streams <= c.most/2:
		s.lifetime.Store(now + fresh)
	}
}

func (c *channels) count(st *Stats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	st.Channels, st.Streams, st.Checkpoints, st.Blank = len(c.named), c.streams, c.known, c.blank
	st.Pressed = c.pressed
}

// dueHeap implements heap.Interface over channels by due.
type dueHeap []*state

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due < h[j].due }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].position, h[j].position = i, j
}

func (h *dueHeap) Push(x any) {
	s := x.(*state)
	s.position = len(*h)
	*h = append(*h, s)
}

func (h *dueHeap) Pop() any {
	old := *h
	n := len(old) - 1
	s := old[n]
	old[n] = nil
	*h = old[:n]
	return s
}
