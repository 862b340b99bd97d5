package loop

import "sluice/codec"

// Lossy says what may be left out of an out-queue for the sake of a client that
// does not keep up.
type Lossy struct {
	// Class names the source of the frame to the GapTeller; not 0.
	Class uint32
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

// GapTeller makes the notice of frames that were dropped. A Handler that sends
// lossy frames implements it; on-loop only.
type GapTeller interface {
	// Gap returns the notice, nil if the stream has no use for it any more.
	Gap(ref Ref, class uint32, g codec.Gap) *codec.Frame
}

// gapCost is what a notice counts for in its queue.
const gapCost = 128

// keyed finds the unsent item of a class and key.
type keyed struct {
	class uint32
	key   uint64
}

// emptyFrame stands for a notice that nobody wants.
var emptyFrame = codec.RawFrame(nil)

// SendLossy is [Loop.Send] for a frame that may be left out. On-loop only.
func (l *Loop) SendLossy(slot uint32, f *codec.Frame, lossy Lossy) {
	s := l.at(slot)
	if lossy.Key != 0 && s.state == stateLive && s.blocked && s.queue != 0 {
		if l.conflate(slot, f, lossy) {
			return
		}
	}
	l.send(slot, item{frame: f, lossy: lossy})
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
func (l *Loop) conflate(slot uint32, f *codec.Frame, lossy Lossy) bool {
	q := &l.queues[l.at(slot).queue-1]
	if q.keys == nil {
		q.keys = make(map[keyed]int)
		for i := q.unsent(); i < len(q.items); i++ {
			if it := &q.items[i]; it.lossy.Key != 0 {
				q.keys[keyed{it.lossy.Class, it.lossy.Key}] = i
			}
		}
	}
	k := keyed{lossy.Class, lossy.Key}
	i, ok := q.keys[k]
	if !ok || i < q.unsent() {
		q.keys[k] = len(q.items) // where send will put it
		return false
	}
	it := &q.items[i]
	l.charge(q, it, -it.cost())
	changed := l.check.released(it.frame)
	it.frame, it.lossy = f, lossy
	l.charge(q, it, it.cost())
	l.check.queued(f)
	l.stats.Conflated++
	l.refuseChanged(slot, changed)
	return true
}

// dropOldest drops the oldest droppable frames of a queue that is over its
// limit, down to three quarters of it, so that not every further frame costs a
// pass over the queue.
func (l *Loop) dropOldest(slot uint32) {
	s := l.at(slot)
	q := &l.queues[s.queue-1]
	target := l.opt.QueueMaxSize / 4 * 3
	notices := make(map[uint32]int) // class → index of its notice
	w, changed := q.unsent(), ""
	for r := w; r < len(q.items); r++ {
		it := q.items[r]
		switch {
		case it.gap.Dropped > 0:
			if at, ok := notices[it.lossy.Class]; ok {
				mergeGap(&q.items[at].gap, it.gap)
				l.charge(q, &it, -it.cost())
				changed = max(changed, l.forgetNotice(&it))
				continue
			}
			notices[it.lossy.Class] = w
		case it.lossy.Drops && q.bytes > target:
			l.charge(q, &it, -it.cost())
			changed = max(changed, l.check.released(it.frame))
			l.stats.Dropped++
			gap := codec.Gap{Dropped: 1, From: it.lossy.Offset, To: it.lossy.Offset}
			if at, ok := notices[it.lossy.Class]; ok {
				changed = max(changed, l.forgetNotice(&q.items[at]))
				mergeGap(&q.items[at].gap, gap)
				continue
			}
			notices[it.lossy.Class] = w
			it = item{lossy: Lossy{Class: it.lossy.Class}, gap: gap}
			l.charge(q, &it, it.cost())
		}
		q.items[w] = it
		w++
	}
	clear(q.items[w:])
	q.items, q.keys = q.items[:w], nil
	l.refuseChanged(slot, changed)
}

// mergeGap adds what was dropped later.
func mergeGap(g *codec.Gap, later codec.Gap) {
	g.Dropped += later.Dropped
	if g.From == 0 {
		g.From = later.From
	}
	if later.To != 0 {
		g.To = later.To
	}
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
func (l *Loop) notice(ref Ref, it *item) {
	if t, ok := l.handler.(GapTeller); ok {
		it.frame = t.Gap(ref, it.lossy.Class, it.gap)
	}
	if it.frame == nil {
		it.frame = emptyFrame
	}
	l.check.queued(it.frame)
}
