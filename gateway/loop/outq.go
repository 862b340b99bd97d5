package loop

import (
	"time"
	"unsafe"

	"sluice/codec"
)

// item is one frame in an out-queue. Why it is packed: a burst gives every
// stream of the loop a queue of them at the same moment.
type item struct {
	frame *codec.Frame
	// id points to an id chunk of the stream's own, in its framing, that ends the
	// event behind the frame's data lines; nil for none.
	id    *byte
	bits  uint32 // flags, and above them the length of the id chunk
	lossy uint32 // name in Loop.lossies, 0 for a frame that must arrive
}

// The flags of an item.
const (
	// itemShared: the frame's own id chunk is part of the event.
	itemShared uint32 = 1 << iota
	// itemExempt keeps it out of Options.QueueMaxSize: the stream's opening.
	itemExempt
	// itemKept: it counts in what the loop holds, see Loop.keep.
	itemKept
	// itemCharged: Group.OnFreed learns when nothing holds its frame any more.
	itemCharged
	// itemMore: the event goes on in the next item. Such items are queued
	// together, and dropped together or not at all.
	itemMore
	// itemPush: it is no delivery, see Loop.Push.
	itemPush
	// itemOwn: its id chunk is in no block that others share.
	itemOwn
	// itemRun: the events of outQueue.rest come before it.
	itemRun
	// itemOnce: nobody has its frame when the item is forgotten.
	itemOnce

	itemIDShift = 9
)

func (it *item) has(flag uint32) bool { return it.bits&flag != 0 }

// ownID returns the id chunk of the stream's own.
func (it *item) ownID() []byte {
	if it.id == nil {
		return nil
	}
	return unsafe.Slice(it.id, it.bits>>itemIDShift)
}

func (it *item) setID(id []byte) {
	it.id = unsafe.SliceData(id)
	it.bits = it.bits&(1<<itemIDShift-1) | uint32(len(id))<<itemIDShift
}

// cost is what the item counts for in its queue.
func (l *Loop) cost(it *item) int {
	if l.dropped(it) > 0 {
		return gapCost
	}
	return len(it.ownID()) + it.frame.Len() + itemCost
}

// outQueue is what a stream has yet to write. It exists only while that is not
// nothing: emptied queues go back to Loop.spare without references in them.
type outQueue struct {
	items  []item
	head   int   // index of the first item not yet written whole
	sent   int   // bytes of that item already written
	bytes  int   // deliveries, bound by Options.QueueMaxSize: lengths plus itemCost each
	pushes int   // the same of pushes that are none, with a bound of their own
	exempt int   // the same of exempt items
	mid    bool  // the last item written whole was not the end of its event
	since  int64 // when the first item was queued, or last advanced; on the fair clock
	// keys finds unsent items that a newer frame may replace, by index; nil
	// unless the stream lags and such frames came.
	keys map[keyed]int
	rest *[]Event // of a run, what has no item yet; nil for nothing
}

// itemCost is what a queued frame counts for beyond its bytes.
const itemCost = 64

// enqueue appends without any limit.
func (l *Loop) enqueue(slot uint32, it item) {
	s := l.at(slot)
	if s.queue == 0 {
		s.queue = l.newQueue()
	}
	if l.in.queuing {
		l.in.sent++
		l.activate(s)
	}
	q := &l.queues[s.queue-1]
	// Why half: moving few items over and over would cost a long queue the
	// square of its length.
	if len(q.items) == cap(q.items) && q.head > 0 && q.head >= len(q.items)/2 && q.rest == nil {
		q.shift()
	}
	if len(q.items) == 0 {
		q.since = l.fair
	}
	q.items = append(q.items, it)
	last := &q.items[len(q.items)-1]
	l.charge(q, last, l.cost(last))
	l.check.queued(it.frame)
	if s.blocked || it.has(itemExempt) {
		l.keep(last)
	}
	l.markDirty(slot)
}

// shift moves the unwritten items to the front of the backing array.
func (q *outQueue) shift() {
	n := copy(q.items, q.items[q.head:])
	clear(q.items[n:])
	q.items, q.head, q.keys = q.items[:n], 0, nil
}

// charge counts n bytes more for an item of the queue.
func (l *Loop) charge(q *outQueue, it *item, n int) {
	switch {
	case it.has(itemExempt):
		q.exempt += n
	case it.has(itemPush):
		q.pushes += n
	default:
		q.bytes += n
	}
	l.stats.QueuedBytes += int64(n)
}

func (l *Loop) newQueue() uint32 {
	var i uint32
	if n := len(l.spare); n > 0 {
		i = l.spare[n-1]
		l.spare = l.spare[:n-1]
	} else {
		l.queues = append(l.queues, outQueue{})
		i = uint32(len(l.queues))
	}
	if used := len(l.queues) - len(l.spare); used > l.trim.peak {
		l.trim.peak = used
	}
	if l.in.queuing {
		l.in.opened++
	}
	// Why: growing by doubling leaves as much garbage as it keeps, for every
	// stream of the loop at once.
	if q := &l.queues[i-1]; q.items == nil && l.in.ahead > 1 {
		q.items = make([]item, 0, l.in.ahead)
	}
	return i
}

// dropQueue forgets what a stream has yet to write.
func (l *Loop) dropQueue(slot uint32) {
	s := l.at(slot)
	if s.queue == 0 {
		return
	}
	l.dropItems(slot, l.queues[s.queue-1].head)
}

// dropItems drops the queued frames from index keep on, and reports how many
// events they were.
func (l *Loop) dropItems(slot uint32, keep int) int {
	s := l.at(slot)
	q := &l.queues[s.queue-1]
	n, changed := 0, ""
	for i := keep; i < len(q.items); i++ {
		if !q.items[i].has(itemMore) {
			n++
		}
		if q.items[i].has(itemRun) {
			n += len(*q.rest) - 1 // it counts for the last of them
			q.rest = nil
		}
		changed = max(changed, l.forget(q, &q.items[i]))
	}
	q.items = q.items[:keep]
	if keep == q.head {
		l.recycle(s)
	}
	l.refuseChanged(slot, changed)
	return n
}

// forget takes an item out of all counts and clears its place. It returns what
// is wrong with its frame, "" if nothing is.
func (l *Loop) forget(q *outQueue, it *item) (changed string) {
	l.charge(q, it, -l.cost(it))
	l.unkeep(it)
	if it.frame != nil {
		changed = l.check.released(it.frame)
	}
	l.dropLossy(it)
	if it.has(itemOnce) {
		it.frame.FreeOnce()
	}
	*it = item{}
	return changed
}

// recycle gives an emptied queue back, without any reference left in it.
func (l *Loop) recycle(s *stream) {
	q := &l.queues[s.queue-1]
	clear(q.items[:len(q.items)])
	items := q.items[:0]
	if cap(items) > keepItems {
		items = nil
	}
	*q = outQueue{items: items}
	l.spare = append(l.spare, s.queue)
	s.queue, s.late, s.spent = 0, false, 0
}

// dropUnsent drops all queued frames but the one whose first byte is out, and
// reports how many.
func (l *Loop) dropUnsent(slot uint32) int {
	s := l.at(slot)
	if s.queue == 0 {
		return 0
	}
	return l.dropItems(slot, l.queues[s.queue-1].unsent())
}

// unsent returns the index of the first item of whose event no byte is out.
func (q *outQueue) unsent() int {
	i := q.head
	if q.sent == 0 && !q.mid {
		return i
	}
	for i < len(q.items) && q.items[i].has(itemMore) {
		i++
	}
	return min(i+1, len(q.items))
}

// Queued returns how many bytes wait for the stream, as limits count them.
// On-loop only.
func (l *Loop) Queued(slot uint32) int {
	if i := l.at(slot).queue; i != 0 {
		q := &l.queues[i-1]
		return q.bytes + q.pushes
	}
	return 0
}

// Unwritten returns how many bytes a stream has yet to write, its opening and what is
// encrypted already included, and for how long its socket has taken none of them; 0 if
// nothing waits. On-loop only.
func (l *Loop) Unwritten(slot uint32) (bytes int, lag time.Duration) {
	s := l.at(slot)
	if !l.waits(s) {
		return 0, 0
	}
	bytes = l.tail(s)
	if i := s.queue; i != 0 {
		q := &l.queues[i-1]
		bytes += q.bytes + q.pushes + q.exempt
	}
	return bytes, time.Duration(max(l.age(s), 0))
}

// Room returns how many bytes a stream may be sent at once without coming near its
// limit. On-loop only.
func (l *Loop) Room(slot uint32) int { return l.opt.QueueMaxSize/2 - l.Queued(slot) }

func (l *Loop) markDirty(slot uint32) {
	s := l.at(slot)
	if s.dirty || s.blocked {
		return
	}
	s.dirty = true
	// Under steady load the list never becomes empty: without this it would
	// grow for ever.
	if len(l.dirty) == cap(l.dirty) && l.dirtyHead > len(l.dirty)/2 {
		n := copy(l.dirty, l.dirty[l.dirtyHead:])
		l.dirty, l.dirtyHead = l.dirty[:n], 0
	}
	l.dirty = append(l.dirty, slot)
}
