package loop

import (
	"time"

	"sluice/codec"
)

// IDMode says which id line a frame is sent with.
type IDMode uint8

const (
	// NoID leaves the frame's id line out.
	NoID IDMode = iota
	// SharedID sends the frame's own id line.
	SharedID
)

func (m IDMode) bits() uint32 {
	if m == SharedID {
		return itemShared
	}
	return 0
}

// Send queues a frame for a stream; it leaves with the flush of this turn.
// Frames for a stream that is closing are dropped: its client has been told.
// A stream whose socket is full and whose queue has no room for the frame is
// closed as slow; a queue in which nothing waits has room for a frame of any
// size. On-loop only.
func (l *Loop) Send(slot uint32, f *codec.Frame, mode IDMode) {
	l.send(slot, item{frame: f, bits: mode.bits()})
}

// SendOwnID is [Loop.Send] with an id chunk made for this stream, in its
// framing ([codec.AppendEventEnd]), behind the frame's data lines; the frame must
// not be a closed one. id must not be written to afterwards;
// while the stream is blocked the loop keeps a copy, so that blocks which many
// ids are cut from do not live as long as its queue. On-loop only.
func (l *Loop) SendOwnID(slot uint32, f *codec.Frame, id []byte) {
	it := item{frame: f}
	it.setID(id)
	l.send(slot, it)
}

// Push is [Loop.Send] for what is no delivery: a ping, or what a call sends. It has a
// limit of its own, as large. On-loop only.
func (l *Loop) Push(slot uint32, f *codec.Frame) {
	l.send(slot, item{frame: f, bits: itemPush})
}

// PushOwnID is [Loop.Push] with an id chunk as for [Loop.SendOwnID]. On-loop only.
func (l *Loop) PushOwnID(slot uint32, f *codec.Frame, id []byte) {
	it := item{frame: f, bits: itemPush}
	it.setID(id)
	l.send(slot, it)
}

// SendExempt is [Loop.Send] without the limit on the stream's bytes: for its
// opening, which has a limit of its own. On-loop only.
func (l *Loop) SendExempt(slot uint32, f *codec.Frame, mode IDMode) {
	l.send(slot, item{frame: f, bits: mode.bits() | itemExempt})
}

// SendOnce is [Loop.SendExempt] for a frame of [codec.TakeOnce], which the loop frees. On-loop
// only.
func (l *Loop) SendOnce(slot uint32, f *codec.Frame) {
	l.send(slot, item{frame: f, bits: itemExempt | itemOnce})
}

// SendCharged is [Loop.SendExempt] for what a stream missed: frames that somebody
// has taken memory for, and gives it back when [Group.OnFreed] says that no queue
// holds them any more. id is an id chunk as for [Loop.SendOwnID], nil for none.
// On-loop only.
func (l *Loop) SendCharged(slot uint32, f *codec.Frame, id []byte) {
	it := item{frame: f, bits: itemExempt | itemCharged}
	if id != nil {
		it.setID(id)
	}
	l.send(slot, it)
}

// SendPieces is [Loop.SendCharged] for one event in several pieces, of which some
// may be shared with other streams. On-loop only.
func (l *Loop) SendPieces(slot uint32, pieces []*codec.Frame) {
	for i, f := range pieces {
		it := item{frame: f, bits: itemExempt | itemCharged}
		if i < len(pieces)-1 {
			it.bits |= itemMore
		}
		l.send(slot, it)
	}
}

// Opening has all that f sends, but for what may be left out, count as an opening, as
// [Loop.SendExempt] does: what was kept back for a stream while it was opened has a limit
// of its own. Not for a stream that no window waits for: one that can be opened again and
// again does not read. On-loop only.
func (l *Loop) Opening(f func()) {
	l.opening = true
	f()
	l.opening = false // or in Panicked
}

func (l *Loop) send(slot uint32, it item) {
	s := l.at(slot)
	if l.opening && !s.late && !s.stalled {
		it.bits |= itemExempt
	}
	if s.state != stateLive {
		l.refuse(&it)
		return
	}
	if s.queue != 0 && !it.has(itemExempt) && !l.room(slot, &it) {
		l.refuse(&it)
		return
	}
	l.enqueue(slot, it)
	if s.left != 0 && !it.has(itemMore) {
		l.spend(slot)
	}
}

// refuse counts a frame that goes nowhere.
func (l *Loop) refuse(it *item) {
	if !it.has(itemMore) {
		l.stats.Dropped++
	}
	l.dropLossy(it)
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

// over reports whether a queue that is not empty has no room for a frame more. The first
// one does not count, for it is being written or is next, and so one of any size finds
// room where nothing waits behind it: what counts is that the client takes what it is
// given, not how large that is.
func (l *Loop) over(s *stream, it *item) bool {
	if q := &l.queues[s.queue-1]; q.bytes+q.pushes+l.cost(it) <= l.opt.QueueMaxSize {
		return false // of nearly all
	}
	waiting := l.waiting(s, it.has(itemPush))
	return waiting > 0 && waiting+l.cost(it) > l.opt.QueueMaxSize
}

// waiting is what counts against the limit of a stream whose queue is not empty, if a
// delivery comes, or a push that is none. Each has a limit of its own while windows wait
// for the stream. Why: what deliveries may fill of a queue then is up to us, and one of
// them may be larger than the limit; the next ping would end whoever reads.
func (l *Loop) waiting(s *stream, push bool) int {
	q := &l.queues[s.queue-1]
	deliveries, pushes := q.bytes, q.pushes
	switch first := &q.items[q.head]; {
	case first.has(itemExempt):
	case first.has(itemPush):
		pushes -= l.cost(first)
	default:
		deliveries -= l.cost(first)
	}
	switch {
	case s.late || s.stalled:
		return deliveries + pushes
	case push:
		return pushes
	}
	return deliveries
}

// room reports whether a live stream may be sent a frame more. If its queue is
// over the limit, it is offered to the kernel first; if that refuses, frames
// that may be left out are; and only then the stream ends as slow.
func (l *Loop) room(slot uint32, it *item) bool {
	s := l.at(slot)
	if !l.over(s, it) {
		return true
	}
	if l.queues[s.queue-1].exempt > 0 && !s.blocked && !it.has(itemPush) {
		return true // its opening comes first, and was not refused: see Loop.catchingUp
	}
	for s.state == stateLive && !s.blocked && s.queue != 0 {
		l.flushStream(slot)
	}
	if s.state != stateLive {
		return false
	}
	if s.queue == 0 || !l.over(s, it) {
		return true
	}
	if !it.has(itemPush) || s.late || s.stalled {
		l.dropOldest(slot, l.cost(it))
	}
	if l.over(s, it) && !l.onlyNotices(s, slot, it) {
		l.slow(slot, ReasonSlowBytes)
		return false
	}
	return true
}

// onlyNotices reports whether nothing but notices waits in front of a delivery.
func (l *Loop) onlyNotices(s *stream, slot uint32, it *item) bool {
	if it.has(itemPush) || (s.late || s.stalled) && l.queues[s.queue-1].pushes > 0 {
		return false
	}
	return l.deliveriesBehind(slot) == 0
}

const (
	// pushPatience is for how long a push may wait for a stream that takes nothing.
	pushPatience = int64(time.Second)
	// pushSpare is more than what a push has beyond its frame: the id chunk.
	pushSpare = 8 << 10
)

// MayPush reports whether a push of n bytes finds room in the queue of a stream, or it is
// no use to wait until it does: the stream has ended, no window waits for it, or it has
// taken nothing for long. On-loop only.
func (l *Loop) MayPush(ref Ref, n int) bool {
	s := l.live(ref)
	for s != nil && s.queue != 0 && !s.late && !s.stalled {
		if waiting := l.waiting(s, true); waiting == 0 || waiting+n+pushSpare <= l.opt.QueueMaxSize {
			return true
		}
		if s.blocked {
			return l.age(s) > pushPatience
		}
		l.flushStream(ref.Slot) // it was not tried yet
		s = l.live(ref)
	}
	return true
}
