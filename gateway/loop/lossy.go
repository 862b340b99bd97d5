package loop

import (
	"cmp"
	"slices"

	"sluice/codec"
)

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

// dropping is one pass over a queue from which frames are left out.
type dropping struct {
	l *Loop
	s *stream
	q *outQueue

	oldest  []int // indices of what may be dropped, those sent first in front
	notices map[Class]int
	left    int // deliveries behind the first item
	changed string
}

// dropOldest drops droppable frames of a queue that has no room for n bytes more, down to
// three quarters of its limit, so that not every further frame costs a pass over the queue:
// those first that were sent first. Why not those in front: one that took the place of an
// older one of its key stands before what was sent earlier, and a client must not end with
// that and without the last value of the key. With n 0 the newest stays if it is the only
// one that waits.
func (l *Loop) dropOldest(slot uint32, n int) {
	s := l.at(slot)
	d := dropping{l: l, s: s, q: &l.queues[s.queue-1], notices: make(map[Class]int)}
	d.look()
	before := len(d.q.items)
	target := max(l.opt.QueueMaxSize/4*3-n, 0)
	for _, i := range d.oldest {
		if l.waiting(s, false) <= target || n == 0 && d.left == 1 && i > d.q.head {
			break
		}
		d.drop(i)
	}
	d.settle()
	if s.left != 0 {
		s.left += uint32(before - len(d.q.items)) // those will never be events
	}
	d.q.keys = nil
	l.refuseChanged(slot, d.changed)
}

// look finds what may be dropped, and the notices that there are.
func (d *dropping) look() {
	l, q := d.l, d.q
	for i := q.unsent(); i < len(q.items); i++ {
		switch y := l.lossyOf(&q.items[i]); {
		case y.gap.Dropped > 0:
			d.notices[y.class] = i
		case y.drops:
			d.oldest = append(d.oldest, i)
		}
	}
	order := func(a, b int) int { return cmp.Compare(l.lossyOf(&q.items[a]).order, l.lossyOf(&q.items[b]).order) }
	if !slices.IsSortedFunc(d.oldest, order) {
		slices.SortFunc(d.oldest, order)
	}
	for i := q.head + 1; i < len(q.items); i++ {
		if l.counts(&q.items[i]) {
			d.left++
		}
	}
}

// drop makes the item at i the notice of its class, or part of it if that is in front.
func (d *dropping) drop(i int) {
	l, q := d.l, d.q
	it := &q.items[i]
	y := l.lossyOf(it)
	l.stats.Dropped++
	if i > q.head && l.counts(it) {
		d.left--
	}
	gap := codec.Gap{Dropped: 1, From: y.gap.From, To: y.gap.To}
	at, ok := d.notices[y.class]
	if ok && at < i {
		first := &q.items[at]
		d.changed = max(d.changed, l.forgetNotice(first), l.forget(q, it))
		mergeGap(&l.lossies.at(first.lossy).gap, gap)
		return
	}
	if ok {
		old := &q.items[at]
		mergeGap(&gap, l.lossyOf(old).gap)
		d.changed = max(d.changed, l.forgetNotice(old), l.forget(q, old))
	}
	l.charge(q, it, gapCost-l.cost(it))
	l.unkeep(it)
	d.changed = max(d.changed, l.check.released(it.frame))
	it.frame = nil
	*l.lossies.at(it.lossy) = lossy{class: y.class, gap: gap}
	if d.s.blocked {
		l.keep(it)
	}
	d.notices[y.class] = i
}

// settle closes the places of what was dropped, and puts each notice in front of all that
// waits of its class.
func (d *dropping) settle() {
	l, q := d.l, d.q
	from := q.unsent()
	rest := make([]item, 0, len(q.items)-from)
	for i := from; i < len(q.items); i++ {
		it := q.items[i]
		if it == (item{}) {
			continue
		}
		if class := l.lossyOf(&it).class; class != nil {
			at, ok := d.notices[class]
			if ok && at >= 0 {
				rest = append(rest, q.items[at])
				d.notices[class] = -1
			}
			if ok && l.dropped(&it) > 0 {
				continue // it was put in front, or just now
			}
		}
		rest = append(rest, it)
	}
	copy(q.items[from:], rest)
	clear(q.items[from+len(rest):])
	q.items = q.items[:from+len(rest)]
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
		kept := it.has(itemKept)
		l.unkeep(it)
		changed = l.check.released(it.frame)
		it.frame = nil
		if kept {
			l.keep(it)
		}
	}
	return changed
}
