package loop

import (
	"time"

	"sluice/codec"
)

// item is one frame in an out-queue.
type item struct {
	frame *codec.Frame
	// id is an id chunk of the stream's own, in its framing, that goes in
	// front of the frame's data; nil for none.
	id []byte
	// shared says that the frame's own id chunk is part of the event.
	shared bool
	// exempt keeps it out of Options.QueueMaxSize.
	exempt bool
	// drops, class and key are those of a lossy frame, see Lossy.
	drops bool
	class Class
	key   uint64
	// gap with Dropped set makes the item a notice that frames of class were
	// dropped in its place; frame is nil until it is about to be written.
	// Without, From and To are the offset of the lossy frame.
	gap codec.Gap
}

// cost is what the item counts for in its queue.
func (it *item) cost() int {
	if it.gap.Dropped > 0 {
		return gapCost
	}
	return len(it.id) + it.frame.Len() + itemCost
}

// outQueue is what a stream has yet to write. It exists only while that is not
// nothing: emptied queues go back to Loop.spare without references in them.
type outQueue struct {
	items  []item
	head   int   // index of the first item not yet written whole
	sent   int   // bytes of that item already written
	bytes  int   // bound by Options.QueueMaxSize: lengths plus itemCost each
	exempt int   // the same of exempt items
	since  int64 // when the first item was queued, or last advanced
	// keys finds unsent items that a newer frame may replace, by index; nil
	// unless the stream lags and such frames came.
	keys map[keyed]int
}

const (
	// itemCost is what a queued frame counts for beyond its bytes.
	itemCost = 64
	// keepItems is the largest backing array an emptied queue keeps: append
	// grows one of items to 17, 34 and 69.
	keepItems = 34
)

// IDMode says which id line a frame is sent with.
type IDMode uint8

const (
	// NoID leaves the frame's id line out.
	NoID IDMode = iota
	// SharedID sends the frame's own id line.
	SharedID
)

// Send queues a frame for a stream; it leaves with the flush of this turn.
// Frames for a stream that is closing are dropped: its client has been told.
// A stream whose queue is over its limit, though a flush was tried, is closed
// as slow. On-loop only.
func (l *Loop) Send(slot uint32, f *codec.Frame, mode IDMode) {
	l.send(slot, item{frame: f, shared: mode == SharedID})
}

// SendOwnID is [Loop.Send] with an id chunk made for this stream, in its
// framing, in front of the frame's data. id must not be written to afterwards.
// On-loop only.
func (l *Loop) SendOwnID(slot uint32, f *codec.Frame, id []byte) {
	l.send(slot, item{frame: f, id: id})
}

// SendExempt is [Loop.Send] without the limit on the stream's bytes: for its
// opening, which has a limit of its own. It counts for the limit on all queues.
// On-loop only.
func (l *Loop) SendExempt(slot uint32, f *codec.Frame) {
	l.send(slot, item{frame: f, shared: true, exempt: true})
}

func (l *Loop) send(slot uint32, it item) {
	s := l.at(slot)
	if s.state != stateLive {
		l.stats.Dropped++
		return
	}
	l.enqueue(slot, it)
	if l.queues[s.queue-1].bytes > l.opt.QueueMaxSize {
		l.overfull(slot)
	}
	if s.left != 0 {
		l.spend(slot)
	}
}

// Limit has Handler.Spent called when so many frames more were sent to the
// stream, in the midst of the call that sends the last one; 0 is for no limit.
// A notice of dropped frames counts for one, as it is one event to the client,
// and a frame that takes the place of another for none. On-loop only.
func (l *Loop) Limit(slot, frames uint32) { l.at(slot).left = frames }

// spend counts a frame against the limit of its stream.
func (l *Loop) spend(slot uint32) {
	s := l.at(slot)
	if s.state != stateLive {
		return // it was slow
	}
	if s.left--; s.left == 0 {
		l.handler.Spent(Ref{slot, s.gen})
	}
}

// overfull is the slow path of send: a queue over its limit is first offered
// to the kernel, since everything in it may have come in this very turn. Then
// what may be dropped is, and only if that is not enough the stream ends.
func (l *Loop) overfull(slot uint32) {
	s := l.at(slot)
	for s.state == stateLive && !s.blocked && s.queue != 0 {
		l.flushStream(slot)
	}
	over := func() bool {
		return s.state == stateLive && s.queue != 0 && l.queues[s.queue-1].bytes > l.opt.QueueMaxSize
	}
	if over() {
		l.dropOldest(slot)
	}
	if over() {
		l.slow(slot, ReasonSlowBytes)
	}
}

// enqueue appends without any limit.
func (l *Loop) enqueue(slot uint32, it item) {
	s := l.at(slot)
	if s.queue == 0 {
		s.queue = l.newQueue()
	}
	q := &l.queues[s.queue-1]
	// Why half: moving few items over and over would cost a long queue the
	// square of its length.
	if len(q.items) == cap(q.items) && q.head > 0 && q.head >= len(q.items)/2 {
		q.shift()
	}
	if len(q.items) == 0 {
		q.since = l.now
	}
	q.items = append(q.items, it)
	l.charge(q, &it, it.cost())
	l.check.queued(it.frame)
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
	if it.exempt {
		q.exempt += n
	} else {
		q.bytes += n
	}
	l.stats.QueuedBytes += int64(n)
}

func (l *Loop) newQueue() uint32 {
	l.queuedAt = l.now
	if n := len(l.spare); n > 0 {
		i := l.spare[n-1]
		l.spare = l.spare[:n-1]
		return i
	}
	l.queues = append(l.queues, outQueue{})
	return uint32(len(l.queues))
}

const (
	// trimAfter is how long nothing was queued before the memory of emptied
	// queues is given back: a burst to all streams leaves each with an array.
	trimAfter = int64(10 * time.Second)
	// keepQueues are not worth it.
	keepQueues = 256
)

// trimQueues gives back the memory of queues once the loop has been quiet.
func (l *Loop) trimQueues() {
	if len(l.queues) > keepQueues && len(l.spare) == len(l.queues) && l.now-l.queuedAt > trimAfter {
		l.queues, l.spare = nil, nil
	}
}

// dropQueue forgets what a stream has yet to write.
func (l *Loop) dropQueue(slot uint32) {
	s := l.at(slot)
	if s.queue == 0 {
		return
	}
	l.dropItems(slot, l.queues[s.queue-1].head)
}

// dropItems drops the queued frames from index keep on, and reports how many.
func (l *Loop) dropItems(slot uint32, keep int) int {
	s := l.at(slot)
	q := &l.queues[s.queue-1]
	n := len(q.items) - keep
	changed := ""
	for i := keep; i < len(q.items); i++ {
		it := &q.items[i]
		l.charge(q, it, -it.cost())
		if it.frame != nil {
			changed = max(changed, l.check.released(it.frame))
		}
	}
	clear(q.items[keep:])
	q.items = q.items[:keep]
	if keep == q.head {
		l.recycle(s)
	}
	l.refuseChanged(slot, changed)
	return n
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
	s.queue = 0
}

// dropUnsent drops all queued frames but the one whose first byte is out, and
// reports how many.
func (l *Loop) dropUnsent(slot uint32) int {
	s := l.at(slot)
	if s.queue == 0 {
		return 0
	}
	q := &l.queues[s.queue-1]
	keep := q.head
	if q.sent > 0 {
		keep++
	}
	return l.dropItems(slot, keep)
}

// Queued returns how many bytes wait for the stream, as limits count them.
// On-loop only.
func (l *Loop) Queued(slot uint32) int {
	if q := l.at(slot).queue; q != 0 {
		return l.queues[q-1].bytes
	}
	return 0
}

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
