package loop

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"
)

// What streams hold in memory beyond a moment: the frames of those whose socket
// takes no more, and the openings of all. A frame that many of them wait for is
// there once, so it counts once, for all loops together; what each stream adds is
// its places in the queue, its own id chunks and frames, and ciphertext. What an
// unblocked stream has queued is written in the same round and is covered by the
// credit of publishers. What a run has no items for yet is not counted here: whoever
// sends it has taken memory for all of it, see SendRun.

// keep counts an item among what is held, and takes its id chunk out of the
// block that it shares with others.
func (l *Loop) keep(it *item) {
	if it.has(itemKept) {
		return
	}
	it.bits |= itemKept
	n := itemCost
	if id := it.ownID(); id != nil {
		if !it.has(itemOwn) {
			it.setID(slices.Clone(id))
		}
		n += len(id)
	}
	if it.frame != nil {
		_, bytes := it.frame.Keep()
		n += bytes
	}
	l.stats.HeldBytes += int64(n)
}

// unkeep undoes keep.
func (l *Loop) unkeep(it *item) {
	if !it.has(itemKept) {
		return
	}
	it.bits &^= itemKept
	n := itemCost + len(it.ownID())
	if it.frame != nil {
		last, bytes := it.frame.Unkeep()
		n += bytes
		if last && it.has(itemCharged) && l.group.onFreed != nil {
			l.group.onFreed(it.frame)
		}
	}
	l.stats.HeldBytes -= int64(n)
}

// keepAll is keep for what a stream has queued when its socket is found full.
func (l *Loop) keepAll(s *stream) {
	if s.queue == 0 {
		return
	}
	q := &l.queues[s.queue-1]
	for i := q.head; i < len(q.items); i++ {
		l.keep(&q.items[i])
	}
}

// setBlocked notes that a stream's socket is full, or not any more.
func (l *Loop) setBlocked(slot uint32, blocked bool) {
	s := l.at(slot)
	if s.blocked == blocked {
		return
	}
	s.blocked = blocked
	if blocked {
		l.stats.Blocked++
		s.place = uint32(len(l.blocked))
		l.blocked = append(l.blocked, slot)
		l.keepAll(s)
		return
	}
	l.stats.Blocked--
	l.in.hold.freed++
	last := len(l.blocked) - 1
	moved := l.blocked[last]
	l.blocked[s.place] = moved
	l.at(moved).place = s.place
	l.blocked = l.blocked[:last]
}

const (
	// shedEvery is how often a loop looks for streams to end while all loops
	// hold more than Options.QueuesMaxTotal, and shedPart what part of that
	// is made free at a time, so that not every further frame costs a look.
	shedEvery = int64(50 * time.Millisecond)
	shedPart  = 16
	// overMax is for how long they may hold too much because of streams that take
	// something.
	overMax = int64(3 * time.Second)
)

// shedTotal ends the stalled streams that hold most of their own while all loops
// together hold more than Options.QueuesMaxTotal: those that no window waits for, and
// those that have taken nothing for long. For the others windows wait meanwhile until
// their queues are empty, see mayTake; if no window waits and it is still too much after
// overMax, the heaviest of all are ended, whatever they take. The first look only says how
// heavy its own are, and has the other loops say so; later, if another loop has a heavier
// one, it is left to that loop, once.
func (l *Loop) shedTotal() {
	if len(l.blocked) == 0 || !l.overTotal() {
		l.shed.over = false
		return
	}
	if !l.shed.over || l.in.hold.on {
		l.shed.since = l.fair
	}
	if l.shed.at != 0 && l.now-l.shed.at < shedEvery {
		return
	}
	l.shed.at = max(l.now, 1)
	type weighed struct {
		slot  uint32
		bytes int
	}
	long := l.fair-l.shed.since > overMax
	var stalled []weighed
	for _, slot := range l.blocked {
		if s := l.at(slot); s.state == stateLive && l.waits(s) && (long || s.late || s.stalled || l.age(s) > stallMax) {
			stalled = append(stalled, weighed{slot, l.weight(slot)})
		}
	}
	// Of those that hold the same, who has taken nothing for longest goes first.
	slices.SortFunc(stalled, func(a, b weighed) int {
		return cmp.Or(cmp.Compare(b.bytes, a.bytes), cmp.Compare(l.since(l.at(a.slot)), l.since(l.at(b.slot))))
	})
	heaviest := 0
	if len(stalled) > 0 {
		heaviest = stalled[0].bytes
	}
	l.shed.heaviest.Store(int64(heaviest))
	first := !l.shed.over
	l.shed.over = true
	if first && len(l.group.Loops) > 1 {
		for _, other := range l.group.Loops {
			if other != l {
				other.actor.Wake()
			}
		}
		return
	}
	if l.deferShed(heaviest) {
		return
	}
	target := l.opt.QueuesMaxTotal - l.opt.QueuesMaxTotal/shedPart
	for _, w := range stalled {
		if l.total.Load() <= target {
			break
		}
		l.shedOne(w.slot, w.bytes)
		l.publishTotal()
	}
	l.shed.heaviest.Store(0)
}

// overTotal reports whether all loops together hold more than they may.
func (l *Loop) overTotal() bool { return l.total.Load() > l.opt.QueuesMaxTotal }

// deferShed leaves it to another loop to end a heavier stream, once.
func (l *Loop) deferShed(heaviest int) bool {
	for _, other := range l.group.Loops {
		if other != l && other.shed.heaviest.Load() > int64(heaviest) && !l.shed.deferred {
			l.shed.deferred = true
			other.actor.Wake()
			return true
		}
	}
	l.shed.deferred = false
	return false
}

// shedOne ends a stream for what it holds. What has begun to leave cannot be taken
// back: one that holds little else is cut, or many would have to go for the same
// memory.
func (l *Loop) shedOne(slot uint32, weight int) {
	if l.at(slot).state == stateLive && l.begun(slot) > weight/2 {
		l.fail(slot, ReasonSlowTotal)
		return
	}
	l.slow(slot, ReasonSlowTotal)
}

// Reclaim ends streams that were sent something charged and have taken nothing
// of it for so long: others wait for the memory. On-loop only.
func (l *Loop) Reclaim(age time.Duration) {
	var stalled []uint32
	for _, slot := range l.blocked {
		s := l.at(slot)
		if s.state == stateFree || s.queue == 0 || l.age(s) < int64(age) {
			continue
		}
		q := &l.queues[s.queue-1]
		if q.exempt > 0 && slices.ContainsFunc(q.items[q.head:], func(it item) bool { return it.has(itemCharged) }) {
			stalled = append(stalled, slot)
		}
	}
	for _, slot := range stalled {
		l.fail(slot, ReasonSlowResume)
	}
}

// weight is what would come free if a stream ended: what it holds of its own,
// and the frames that nobody else waits for.
func (l *Loop) weight(slot uint32) int {
	s := l.at(slot)
	if s.queue == 0 {
		return l.tail(s)
	}
	q := &l.queues[s.queue-1]
	return l.tail(s) + weightOf(q.items[q.head:])
}

// begun is the part of its weight that a stream keeps until it is cut: ciphertext,
// and the event of which a byte is out.
func (l *Loop) begun(slot uint32) int {
	s := l.at(slot)
	if s.queue == 0 {
		return l.tail(s)
	}
	q := &l.queues[s.queue-1]
	return l.tail(s) + weightOf(q.items[q.head:q.unsent()])
}

func weightOf(items []item) (n int) {
	for i := range items {
		it := &items[i]
		n += itemCost + len(it.ownID())
		if it.frame != nil && it.frame.Kept() == 1 {
			n += it.frame.Len()
		}
	}
	return n
}

// trimming is what a loop knows of how many queues it needs.
type trimming struct {
	peak, before int   // most queues in use at once, in this span and the one before
	began        int64 // of this span
}

const (
	// trimEvery is the span after which queues that were not needed in it nor in
	// the one before go: a burst to all streams leaves each with an array.
	trimEvery = int64(time.Second)
	// keepQueues are not worth it.
	keepQueues = 256
	// keepItems is the largest backing array that an emptied queue keeps.
	keepItems = maxWindow
)

// trimQueues gives back the memory of queues that a burst left. Pings go on
// meanwhile, so it looks at how many queues were in use and not for silence.
func (l *Loop) trimQueues() {
	t := &l.trim
	if l.now-t.began < trimEvery {
		return
	}
	most := max(t.peak, t.before, keepQueues)
	t.before, t.peak, t.began = t.peak, len(l.queues)-len(l.spare), l.now
	if len(l.queues) < 2*most {
		return
	}
	if len(l.spare) == len(l.queues) {
		l.queues, l.spare = nil, nil
		l.lossies = table[lossy]{}
		return
	}
	for _, i := range l.spare[:len(l.spare)-min(most, len(l.spare))] {
		l.queues[i-1].items = nil
	}
}

// shedding is what a loop knows of the last look for streams to end.
type shedding struct {
	// Owned by the turn.
	at       int64 // when that was, 0 for never
	since    int64 // since when they do and no window waits, on the fair clock
	over     bool  // all loops together held too much then
	deferred bool  // it was left to another loop

	// Atomic.
	heaviest atomic.Int64 // what the heaviest stalled stream of the loop holds
}
