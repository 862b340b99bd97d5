package loop

import (
	"cmp"
	"slices"

	"sluice/codec"
)

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
