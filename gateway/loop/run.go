package loop

import (
	"slices"

	"sluice/codec"
)

// Event is one of several that a stream missed.
type Event struct {
	Frame *codec.Frame
	ID    []byte // as for [Loop.SendOwnID], in memory that is the run's; nil: as Mode says
	Mode  IDMode
}

// item returns the event as an item of a queue. The last one of a run is told by the tail.
func (e *Event) item(last bool) item {
	it := item{frame: e.Frame, bits: e.Mode.bits() | itemExempt}
	if e.ID != nil {
		it.setID(e.ID)
		it.bits |= itemOwn
	}
	if last {
		it.bits |= itemMore // the tail is no event
	}
	return it
}

// runPart is how many events of a run have items at a time: enough for some writes.
// Why not all: a run may have more than a hundred thousand, and to queue or to drop them
// would be a turn of many milliseconds.
const runPart = 4 * maxWriteFrames

// SendRun is [Loop.SendExempt] for events that a stream missed, of which there is at least
// one. A stream has one run at most; the slice is the loop's from here on. tail is an
// empty frame of this stream's alone: [Group.OnFreed] tells of it when its queue holds none
// of them any more. A limit of the stream cuts the run. On-loop only.
func (l *Loop) SendRun(slot uint32, events []Event, tail *codec.Frame) {
	s := l.at(slot)
	if s.state != stateLive {
		l.stats.Dropped += uint64(len(events))
		return
	}
	if s.left != 0 && uint64(len(events)) > uint64(s.left) {
		events = events[:s.left]
	}
	n := min(len(events), runPart)
	rest := events[n:]
	if s.queue != 0 {
		q := &l.queues[s.queue-1]
		q.items = slices.Grow(q.items, n+1)
	}
	for i := range events[:n] {
		l.enqueue(slot, events[i].item(i == len(events)-1))
	}
	end := item{frame: tail, bits: itemExempt | itemCharged}
	if len(rest) > 0 {
		end.bits |= itemRun
	}
	l.enqueue(slot, end)
	if len(rest) > 0 {
		l.queues[s.queue-1].rest = &rest
	}
	if s.left != 0 {
		s.left -= uint32(len(events)) - 1
		l.spend(slot)
	}
}

// refill gives the next part of a run the places of the one before, which has left: its
// tail is the first item.
func (l *Loop) refill(q *outQueue) {
	tail, rest := &q.items[q.head], *q.rest
	n := min(len(rest), runPart)
	q.head -= n
	for i := range rest[:n] {
		it := &q.items[q.head+i]
		*it = rest[i].item(i == len(rest)-1)
		l.charge(q, it, l.cost(it))
		l.check.queued(it.frame)
		l.keep(it)
	}
	if *q.rest = rest[n:]; n == len(rest) {
		q.rest = nil
		tail.bits &^= itemRun
	}
}
