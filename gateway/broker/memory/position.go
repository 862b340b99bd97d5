package memory

import (
	"container/heap"
	"strings"
	"sync"
	"time"

	"sluice/gateway/broker/history"
	"sluice/gateway/shrink"
)

// stripe holds the channels of one hash value. Its methods are for who holds
// mu.
type stripe struct {
	// Immutable after init.
	e *Engine

	// Guarded by mu.
	mu       sync.Mutex
	channels shrink.Map[string, *entry]
	due      dueHeap // every entry of channels, by when to look at it
	// unused is the ring of the entries in which nothing was ever published:
	// behind it the one that was used longest ago, before it the last used.
	unused   entry
	results  shrink.Map[resultID, result]
	expiring shrink.Queue[expiring] // of results, oldest first
}

func (s *stripe) init(e *Engine) {
	s.e = e
	s.unused.before, s.unused.behind = &s.unused, &s.unused
}

// entry is a channel that has a position. All times are on the engine's clock,
// which is monotonic. Its deadlines move forward for the most part, so its
// place in the heap may be early and is corrected when it comes up: a publish
// costs no heap operation.
//
// A position that is wanted lives on. Nobody tells the engine when the last
// subscriber leaves; it looks, whenever half of the lifetime has passed since
// the last use, and a look that finds a subscriber is a use. So a position
// outlives its last subscriber by its whole lifetime at the most, and by half
// of it, less the time between two sweeps, at the least.
type entry struct {
	stream  history.Stream
	channel string
	used    time.Duration // last publication, read, or look that found it wanted
	ttl     time.Duration // of the position, as the last use said
	listDue time.Duration // when the publications go, 0 for none
	heapDue time.Duration // what the heap is ordered by, not after next
	index   int           // in the heap, -1 if in no table of the stripe
	// In the ring of unused entries; nil if something was published.
	before, behind *entry
}

// life is how long the position lives without a use.
func (s *stripe) life(en *entry) time.Duration {
	if en.stream.Top == 0 {
		return min(en.ttl, s.e.opt.EmptyTTL)
	}
	return en.ttl
}

// end is when the position goes if nothing happens.
func (s *stripe) end(en *entry) time.Duration { return max(en.used+s.life(en), en.listDue) }

// next is when to look at the entry.
func (s *stripe) next(en *entry, now time.Duration) time.Duration {
	at := s.end(en)
	if half := en.used + s.life(en)/2; half > now {
		at = half
	}
	if en.listDue != 0 {
		at = min(at, en.listDue)
	}
	return at
}

// expire drops the publications when their time is over.
func (en *entry) expire(now time.Duration) {
	if en.listDue != 0 && en.listDue <= now {
		en.stream.Clear()
		en.listDue = 0
	}
}

// find returns the channel's entry, used now and to live for metaTTL more,
// with whatever has expired by now gone. A new one is in no table before it was
// placed, so that a panic between leaves nothing behind.
func (s *stripe) find(channel string, now, metaTTL time.Duration) *entry {
	if metaTTL <= 0 {
		metaTTL = defaultMetaTTL
	}
	en := s.channels.Value(channel)
	if en != nil {
		en.expire(now)
		if s.end(en) <= now && !s.e.opt.Wanted(channel) {
			s.remove(en)
			en = nil
		}
	}
	if en == nil {
		// Cloned: a name must not keep alive what it was cut from.
		en = &entry{stream: *history.New(), channel: strings.Clone(channel), index: -1}
	}
	en.used, en.ttl = now, metaTTL
	return en
}

// place puts an entry where it belongs after a use.
func (s *stripe) place(en *entry, now time.Duration) {
	due := s.next(en, now)
	switch {
	case en.index < 0:
		en.heapDue = due
		s.channels.Set(en.channel, en)
		heap.Push(&s.due, en)
		s.e.positions.Add(1)
	case due < en.heapDue:
		en.heapDue = due
		heap.Fix(&s.due, en.index)
	}
	switch {
	case en.stream.Top > 0:
		s.leaveRing(en)
	case en.behind == nil:
		s.e.empties.Add(1)
		s.joinRing(en)
		s.makeRoom(en, now)
	default:
		s.refresh(en)
	}
}

// remove forgets a position.
func (s *stripe) remove(en *entry) {
	s.channels.Delete(en.channel)
	heap.Remove(&s.due, en.index)
	s.leaveRing(en)
	s.e.positions.Add(-1)
}

// joinRing puts an entry into the ring as the last used.
func (s *stripe) joinRing(en *entry) {
	en.before, en.behind = s.unused.before, &s.unused
	en.before.behind, en.behind.before = en, en
}

// leaveRing takes an entry out of the ring if it is there.
func (s *stripe) leaveRing(en *entry) {
	if en.behind == nil {
		return
	}
	en.before.behind, en.behind.before = en.behind, en.before
	en.before, en.behind = nil, nil
	s.e.empties.Add(-1)
}

// refresh makes an entry of the ring the last used.
func (s *stripe) refresh(en *entry) {
	en.before.behind, en.behind.before = en.behind, en.before
	s.joinRing(en)
}

// makeRoomMost bounds how many entries one new one looks at for room. Why more
// than one: those that are wanted stay.
const makeRoomMost = 8

// makeRoom forgets unused entries of this stripe while there are too many in
// all of them, but not a new one (nil: there is none), nor one that is wanted:
// that one was used just now. Stripes are filled at random, so the oldest of one
// is an old one of all. What is above the bound, because a stripe had no other
// one to forget or because it was wanted, goes with later sweeps.
func (s *stripe) makeRoom(fresh *entry, now time.Duration) {
	for range makeRoomMost {
		en := s.unused.behind
		if s.e.empties.Load() <= int64(s.e.opt.EmptyMax) || en == fresh || en == &s.unused {
			return
		}
		if s.e.opt.Wanted(en.channel) {
			en.used = now
			s.refresh(en)
			continue
		}
		s.remove(en)
		s.e.emptyDropped.Add(1)
	}
}

// sweepMost bounds how much one sweep looks at while it holds a stripe.
const sweepMost = 1000

func (s *stripe) sweepSome(now time.Duration) (more bool) {
	for range sweepMost {
		switch {
		case len(s.due) > 0 && s.due[0].heapDue <= now:
			s.look(s.due[0], now)
		case s.expiring.Len() > 0 && s.expiring.Front().due <= now:
			s.dropOldestResult()
		default:
			return false
		}
	}
	return true
}

// look does what is due for an entry.
func (s *stripe) look(en *entry, now time.Duration) {
	en.expire(now)
	if en.used+s.life(en)/2 <= now && s.e.opt.Wanted(en.channel) {
		en.used = now
		if en.behind != nil {
			s.refresh(en)
		}
	}
	if s.end(en) <= now {
		s.remove(en)
		return
	}
	en.heapDue = s.next(en, now)
	heap.Fix(&s.due, en.index)
}

// dueHeap implements heap.Interface over entries by heapDue.
type dueHeap []*entry

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].heapDue < h[j].heapDue }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *dueHeap) Push(x any) {
	en := x.(*entry)
	en.index = len(*h)
	*h = append(*h, en)
}
func (h *dueHeap) Pop() any {
	old := *h
	n := len(old) - 1
	en := old[n]
	old[n] = nil
	*h = shrink.Slice(old[:n])
	en.index = -1
	return en
}
