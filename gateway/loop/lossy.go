package loop

import "sluice/codec"

// Lossy says what may be left out of an out-queue for the sake of a client that
// does not keep up.
type Lossy struct {
	// Class is the source of the frame; not nil.
	Class Class
	// Drops: when the queue is over its limit, the oldest such frames are
	// dropped, and a notice stands in front of what waits of each class, so the
	// client learns of the gap before the class's next frame. The oldest are those
	// that were sent first, wherever Key has put them: whatever the client gets
	// behind a gap is newer than all that was dropped, so it may lack the last value
	// of a key, but not while it is given what is older.
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

// lossy is what an item has beyond others if it may be left out.
type lossy struct {
	class Class
	key   uint64
	drops bool
	// gap with Dropped set makes the item a notice that frames of class were
	// dropped in its place; its frame is nil until it is about to be written.
	// Without, From and To are the offset of the frame.
	gap codec.Gap
	// order is that in which frames were sent to the streams of the loop.
	order uint64
}

// keyed finds the unsent item of a class and key.
type keyed struct {
	class Class
	key   uint64
}

// SendLossy is [Loop.Send] for a frame that may be left out. On-loop only.
func (l *Loop) SendLossy(slot uint32, f *codec.Frame, y Lossy) {
	s := l.at(slot)
	if s.state != stateLive {
		l.stats.Dropped++
		return
	}
	l.order++
	it := item{frame: f, lossy: l.lossies.add(lossy{
		class: y.Class, key: y.Key, drops: y.Drops, gap: codec.Gap{From: y.Offset, To: y.Offset}, order: l.order,
	})}
	if y.Key != 0 && l.lags(slot) && l.conflate(slot, it) {
		if l.in.queuing {
			l.activate(s)
		}
		l.fit(slot)
		return
	}
	if !y.Drops {
		l.send(slot, it)
		return
	}
	l.enqueue(slot, it)
	l.fit(slot)
	if s.left != 0 {
		l.spend(slot)
	}
}

// fit brings a queue that was added to below its limit, as far as it may be: it
// is offered to the kernel, then frames are left out, the newest one if need be.
// One of any size may wait, as for [Loop.Send]. If what must arrive is too much by
// itself, the stream ends as slow.
func (l *Loop) fit(slot uint32) {
	s := l.at(slot)
	tooMuch := func() bool {
		return s.state == stateLive && s.queue != 0 && l.waiting(s, false) > l.opt.QueueMaxSize
	}
	if !tooMuch() {
		return
	}
	for s.state == stateLive && !s.blocked && s.queue != 0 {
		l.flushStream(slot)
	}
	if !tooMuch() {
		return
	}
	if l.dropOldest(slot, 0); tooMuch() && l.deliveriesBehind(slot) > 1 {
		l.slow(slot, ReasonSlowBytes)
	}
}

// deliveriesBehind returns how many deliveries wait behind the first frame, but for
// notices.
func (l *Loop) deliveriesBehind(slot uint32) (n int) {
	q := &l.queues[l.at(slot).queue-1]
	for i := q.head + 1; i < len(q.items); i++ {
		if l.counts(&q.items[i]) {
			n++
		}
	}
	return n
}

// counts reports whether an item is a delivery with a limit, and no notice.
func (l *Loop) counts(it *item) bool { return !it.has(itemExempt|itemPush) && l.dropped(it) == 0 }

// dropLossy gives back what a lossy item had beyond others.
func (l *Loop) dropLossy(it *item) {
	if it.lossy != 0 {
		l.lossies.drop(it.lossy)
		it.lossy = 0
	}
}

// lossyOf returns what may be left out of an item; the zero lossy if nothing may.
func (l *Loop) lossyOf(it *item) lossy {
	if it.lossy == 0 {
		return lossy{}
	}
	return *l.lossies.at(it.lossy)
}

// dropped returns how many frames an item is the notice of, 0 if it is none.
func (l *Loop) dropped(it *item) uint64 {
	if it.lossy == 0 {
		return 0
	}
	return l.lossies.at(it.lossy).gap.Dropped
}

// lags reports whether frames of the stream wait for the kernel to take bytes,
// or have since its queue was last empty: an index of keys that exists must
// learn of every further frame.
func (l *Loop) lags(slot uint32) bool {
	s := l.at(slot)
	return s.state == stateLive && s.queue != 0 && (s.blocked || l.queues[s.queue-1].keys != nil)
}

// conflate puts a frame into the place of the unsent one of its key, if there is
// one. A stream that lags has an index of its keys; it is made when the first
// such frame comes and thrown away when items move.
func (l *Loop) conflate(slot uint32, it item) bool {
	q := &l.queues[l.at(slot).queue-1]
	if q.keys == nil {
		q.keys = make(map[keyed]int)
		for i := q.unsent(); i < len(q.items); i++ {
			if old := l.lossyOf(&q.items[i]); old.key != 0 {
				q.keys[keyed{old.class, old.key}] = i
			}
		}
	}
	y := l.lossies.at(it.lossy)
	k := keyed{y.class, y.key}
	i, ok := q.keys[k]
	if !ok || i < q.unsent() {
		q.keys[k] = len(q.items) // where send will put it
		return false
	}
	old := &q.items[i]
	if old.has(itemExempt) && l.cost(&it) <= l.cost(old) {
		it.bits |= itemExempt // its queue has not grown
	}
	changed := l.forget(q, old)
	*old = it
	l.charge(q, old, l.cost(old))
	if l.at(slot).blocked {
		l.keep(old)
	}
	l.check.queued(it.frame)
	l.stats.Conflated++
	l.refuseChanged(slot, changed)
	return true
}

// notice makes the text of a notice that is about to be written.
func (l *Loop) notice(it *item) {
	y := l.lossyOf(it)
	kept := it.has(itemKept)
	l.unkeep(it)
	it.frame = y.class.Gap(y.gap)
	if kept {
		l.keep(it)
	}
	l.check.queued(it.frame)
}
