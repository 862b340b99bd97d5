package loop

import "sluice/codec"

// Lossy says what may be left out of an out-queue for the sake of a client that
// does not keep up.
type Lossy struct {
	// Class is the source of the frame; not nil.
	Class Class
	// Drops: when the queue is over its limit, the oldest such frames are
	// dropped and a notice takes the place of the first one of each class,
	// so the client learns of the gap before the class's next frame.
	Drops bool
	// Key, if not 0: while the stream lags, the frame takes the place of the
	// unsent one of the same class and key.
	Key uint64
	// Offset is told in the notice, 0 for none.
	Offset uint64
}

// Class is a source of lossy frames. It is compared by identity, and lives as
// long as any queue holds a frame of it: also when the stream has left it since,
// what was dropped before that is told.
type Class interface {
	// Gap makes the notice of frames that were dropped. On-loop only; it must
	// not call the loop.
	Gap(g codec.Gap) *codec.Frame
}

// gapCost is what a notice counts for in its queue.
const gapCost = 128

// keyed finds the unsent item of a class and key.
type keyed struct {
	class Class
	key   uint64
}

// SendLossy is [Loop.Send] for a frame that may be left out. On-loop only.
func (l *Loop) SendLossy(slot uint32, f *codec.Frame, lossy Lossy) {
	it := item{
		frame: f, drops: lossy.Drops, class: lossy.Class, key: lossy.Key,
		gap: codec.Gap{From: lossy.Offset, To: lossy.Offset},
	}
	if it.key != 0 && l.lags(slot) && l.conflate(slot, it) {
		// The newer frame may be the larger one.
		if l.Queued(slot) > l.opt.QueueMaxSize {
			l.overfull(slot)
		}
		return
	}
	l.send(slot, it)
}

// lags reports whether frames of the stream wait for the kernel to take bytes,
// or have since its queue was last empty: an index of keys that exists must
// learn of every further frame.
func (l *Loop) lags(slot uint32) bool {
	s := l.at(slot)
	return s.state == stateLive && s.queue != 0 && (s.blocked || l.queues[s.queue-1].keys != nil)
}

// unsent returns the index of the first item of which no byte is out.
func (q *outQueue) unsent() int {
	if q.sent > 0 {
		return q.head + 1
	}
	return q.head
}

// conflate puts a frame into the place of the unsent one of its key, if there is
// one. A stream that lags has an index of its keys; it is made when the first
// such frame comes and thrown away when items move.
func (l *Loop) conflate(slot uint32, it item) bool {
	q := &l.queues[l.at(slot).queue-1]
	if q.keys == nil {
		q.keys = make(map[keyed]int)
		for i := q.unsent(); i < len(q.items); i++ {
			if old := &q.items[i]; old.key != 0 {
				q.keys[keyed{old.class, old.key}] = i
			}
		}
	}
	k := keyed{it.class, it.key}
	i, ok := q.keys[k]
	if !ok || i < q.unsent() {
		q.keys[k] = len(q.items) // where send will put it
		return false
	}
	old := &q.items[i]
	l.charge(q, old, it.cost()-old.cost())
	changed := l.check.released(old.frame)
	*old = it
	l.check.queued(it.frame)
	l.stats.Conflated++
	l.refuseChanged(slot, changed)
	return true
}

// dropOldest drops the oldest droppable frames of a queue that is over its
// limit, down to three quarters of it, so that not every further frame costs a
// pass over the queue.
func (l *Loop) dropOldest(slot uint32) {
	q := &l.queues[l.at(slot).queue-1]
	target := l.opt.QueueMaxSize / 4 * 3
	notices := make(map[Class]int) // index of each one's notice
	w, changed := q.unsent(), ""
	for r := w; r < len(q.items); r++ {
		it := q.items[r]
		if it.drops && q.bytes > target {
			l.charge(q, &it, gapCost-it.cost())
			changed = max(changed, l.check.released(it.frame))
			l.stats.Dropped++
			it.gap.Dropped = 1
			it = item{class: it.class, gap: it.gap}
		}
		if it.gap.Dropped > 0 {
			if at, ok := notices[it.class]; ok {
				first := &q.items[at]
				l.charge(q, &it, -gapCost)
				changed = max(changed, l.forgetNotice(&it), l.forgetNotice(first))
				mergeGap(&first.gap, it.gap)
				continue
			}
			notices[it.class] = w
		}
		q.items[w] = it
		w++
	}
	if s := l.at(slot); s.left != 0 {
		s.left += uint32(len(q.items) - w) // those will never be events
	}
	clear(q.items[w:])
	q.items, q.keys = q.items[:w], nil
	l.refuseChanged(slot, changed)
}

// mergeGap adds what was dropped later. Its offsets are not always the higher
// ones: a frame may have taken the place of an older one.
func mergeGap(g *codec.Gap, later codec.Gap) {
	g.Dropped += later.Dropped
	if g.From == 0 || later.From != 0 && later.From < g.From {
		g.From = later.From
	}
	g.To = max(g.To, later.To)
}

// forgetNotice drops the text of a notice that was made but not sent: more was
// dropped since.
func (l *Loop) forgetNotice(it *item) (changed string) {
	if it.frame != nil {
		changed = l.check.released(it.frame)
		it.frame = nil
	}
	return changed
}

// notice makes the text of a notice that is about to be written.
func (l *Loop) notice(it *item) {
	it.frame = it.class.Gap(it.gap)
	l.check.queued(it.frame)
}
