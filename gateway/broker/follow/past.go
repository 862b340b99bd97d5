package follow

import (
	"context"
	"errors"
	"slices"

	"sluice/gateway/broker"
	"sluice/gateway/shrink"
)

// pastMost bounds the channels of a shard whose places are remembered when nobody on this
// node is subscribed any more: about 200 bytes each.
const pastMost = 1 << 16

// past remembers where channels stood when their last subscriber here left. Who is away comes
// back with such a position: a history that went back meanwhile needs another epoch too, or the
// second publication of an offset is taken for the first. Guarded by the follower's mu.
type past struct {
	by    shrink.Map[string, *left]
	order shrink.Queue[*left] // of by, the longest known first
	due   []*left             // to be compared
}

// left is where a channel stood.
type left struct {
	channel string
	slot    int
	at      broker.Position
	ref     uint64
	sum     uint64
	proof   Proof
	again   bool // left again since it was put into order
}

// keep remembers a place; false if another one was forgotten for want of room.
func (q *past) keep(p *Place) bool {
	if !p.known || p.at.Offset == 0 {
		return true
	}
	l := q.by.Value(p.channel)
	switch {
	case l == nil:
		l = &left{channel: p.channel, slot: p.slot}
		q.by.Set(l.channel, l)
		q.order.Push(l)
	case l.at.Epoch == p.at.Epoch && l.at.Offset > p.at.Offset:
		return true // what was known before says more
	default:
		l.again = true
	}
	l.at, l.ref, l.sum, l.proof = p.at, p.ref, p.sum, p.proof
	if q.order.Len() <= pastMost {
		return true
	}
	for q.order.Front().again {
		old := q.order.Pop()
		old.again = false
		q.order.Push(old)
	}
	q.by.Delete(q.order.Pop().channel)
	return false
}

// doubt has what is remembered compared, of the slots that are to be.
func (q *past) doubt(of func(slot int) bool) {
	due := slices.DeleteFunc(slices.Clone(q.due), func(l *left) bool { return of(l.slot) })
	for _, l := range q.by.All() {
		if of(l.slot) {
			due = append(due, l)
		}
	}
	q.due = due
}

// nextPast takes some of what is due. What its part of the reader is not there for is due again when it
// is back. Caller holds mu.
func (f *Follower) nextPast() (batch []*left) {
	if f.stopped {
		return nil
	}
	n := 0
	for _, l := range f.past.due {
		if len(batch) == compareMost {
			break
		}
		if n++; f.span(l.slot) != nil {
			batch = append(batch, l)
		}
	}
	f.past.due = f.past.due[n:]
	return batch
}

// comparePast compares some of what is due: more says that there is more, ok that all could be
// read.
func (f *Follower) comparePast(ctx context.Context) (more, ok bool) {
	f.mu.Lock()
	batch := f.nextPast()
	n := len(batch)
	if n == 0 {
		f.mu.Unlock()
		return false, true
	}
	places, wants := make([]Place, n), make([]Want, n)
	for i, l := range batch {
		places[i] = Place{channel: l.channel, at: l.at, sum: l.sum, proof: l.proof}
		wants[i] = Want{Channel: l.channel, From: l.at.Offset, Epoch: l.at.Epoch, One: true, Ref: l.ref}
	}
	f.mu.Unlock()
	var bad []*left
	for i, r := range f.source.Follow(ctx, wants) {
		err := r.Err
		if err == nil {
			if found, _ := places[i].weigh(&r); found != findBack {
				continue
			}
			f.stats.awayBack.Add(1)
			_, err = f.source.Renew(ctx, places[i].channel, places[i].at.Epoch)
		}
		if err != nil && !errors.Is(err, ErrRefused) {
			bad = append(bad, batch[i])
		}
	}
	f.stats.comparisons.Add(uint64(n))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.past.due = append(f.past.due, bad...)
	if len(f.past.due) == 0 {
		f.past.due = nil
	}
	return len(f.past.due) > 0, len(bad) == 0
}
