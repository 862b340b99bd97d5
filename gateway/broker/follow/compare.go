package follow

import (
	"context"
	"errors"
	"time"

	"sluice/gateway/broker"
	"sluice/gateway/pause"
)

const (
	// compareMost is how many channels are compared with one round trip.
	compareMost = 64
	// comparePause is between two batches that are not full: what jumps again and
	// again (a publisher that is none of the fleet) is compared that often.
	comparePause = 5 * time.Millisecond
	// backoffMin and backoffMax are between tries when histories cannot be read.
	backoffMin = 50 * time.Millisecond
	backoffMax = 2 * time.Second
)

// Run compares what is queued until ctx ends.
func (f *Follower) Run(ctx context.Context) {
	wait := time.Duration(0)
	failed := backoffMin
	for {
		batch, wants, spans := f.next()
		if len(batch) == 0 {
			if more, ok := f.comparePast(ctx); more && (ok || pause.For(ctx, backoffMin)) {
				continue
			}
			select {
			case <-f.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		f.stats.comparisons.Add(uint64(len(batch)))
		reads := f.source.Follow(ctx, wants)
		bad := 0
		for i, p := range batch {
			if !f.compare(ctx, p, reads[i], spans[i]) {
				bad++
				f.again(p)
			}
		}
		f.finish()
		switch {
		case bad > 0:
			f.stats.readsFailed.Add(uint64(bad))
			wait, failed = failed, min(2*failed, backoffMax)
		case len(batch) < compareMost:
			wait, failed = comparePause, backoffMin
		default:
			wait, failed = 0, backoffMin
		}
		if wait > 0 && !pause.For(ctx, wait) {
			return
		}
	}
}

// next takes a batch from the queue, with what to read for it and in which spans. Places whose part of
// the reader is not there wait until it is back.
func (f *Follower) next() (batch []*Place, wants []Want, spans []*Span) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return nil, nil, nil
	}
	n := 0
	for _, p := range f.queue {
		if n++; p.gone {
			continue
		}
		in := f.span(p.slot)
		if in == nil {
			f.parked = append(f.parked, p)
			continue
		}
		spans = append(spans, in)
		p.phase, p.asked = phaseReading, p.furthest()
		if h := p.hold; h != nil {
			h.early, h.missed = len(h.list), false
		}
		batch = append(batch, p)
		wants = append(wants, Want{Channel: p.channel, From: max(p.at.Offset, 1), Epoch: p.at.Epoch, Ref: p.ref})
		if len(batch) == compareMost {
			break
		}
	}
	clear(f.queue[:n])
	if f.queue = f.queue[n:]; len(f.queue) == 0 {
		f.queue = nil
	}
	f.batch = batch
	return batch, wants, spans
}

// finish ends a batch.
func (f *Follower) finish() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.batch = nil
}

// again puts a place back whose history could not be read.
func (f *Follower) again(p *Place) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.gone {
		return
	}
	p.phase = phaseLive
	f.enqueue(p)
	p.progress()
}

// compare does what a place needs after its history was read, which was begun in a span; false
// if it has to be read again.
func (f *Follower) compare(ctx context.Context, p *Place, r Read, in *Span) bool {
	for {
		if r.Err != nil {
			return f.unread(ctx, p, r.Err, in)
		}
		f.mu.Lock()
		if p.gone || f.stopped {
			f.mu.Unlock()
			return true
		}
		p.phase = phaseReplay
		found, skip := p.weigh(&r)
		at := p.at
		f.mu.Unlock()
		switch found {
		case findNothing:
			return f.settle(ctx, p, r.Top, in, false)
		case findBack:
			return f.wentBack(ctx, p, at.Epoch, r.Top.Offset, in)
		case findLost:
			return f.settle(ctx, p, r.Top, in, true)
		}
		for i := skip; i < len(r.List); i++ {
			if r.List[i].At.Offset != at.Offset+uint64(i-skip)+1 { // a hole in the history
				return f.settle(ctx, p, r.Top, in, true)
			}
			switch f.replay(ctx, p, &r.List[i]) {
			case replayOver:
				return true
			case replayClash:
				return f.wentBack(ctx, p, at.Epoch, r.Top.Offset, in)
			}
		}
		f.mu.Lock()
		at = p.at
		ref := p.ref
		done := at.Offset >= r.Top.Offset
		p.asked = p.furthest()
		f.mu.Unlock()
		if done {
			return f.settle(ctx, p, r.Top, in, false)
		}
		// From the last one on, which must be there still: a failover may come between two reads.
		r = f.source.Follow(ctx, []Want{{Channel: p.channel, From: at.Offset, Epoch: at.Epoch, Ref: ref}})[0]
	}
}

// refusedMost is how often in a row a comparison may be refused: by then it will be for good.
const refusedMost = 5

// unread is told that the history of a place could not be read or renewed; false if that is
// to be tried again. One that the engine refuses again and again tells nothing any more: its
// subscribers have lost their place, and the other channels go on.
func (f *Follower) unread(ctx context.Context, p *Place, err error, in *Span) bool {
	if !errors.Is(err, ErrRefused) {
		return false
	}
	f.mu.Lock()
	p.refused++
	often := p.refused
	f.mu.Unlock()
	if often < refusedMost {
		return false
	}
	f.stats.unreadable.Add(1)
	return f.settle(ctx, p, broker.Position{}, in, true)
}

// wentBack gives a history that went back another epoch, and tells of it.
func (f *Follower) wentBack(ctx context.Context, p *Place, epoch string, top uint64, in *Span) bool {
	f.stats.wentBack.Add(1)
	epoch, err := f.source.Renew(ctx, p.channel, epoch)
	if err != nil {
		return f.unread(ctx, p, err, in)
	}
	return f.settle(ctx, p, broker.Position{Offset: top, Epoch: epoch}, in, true)
}

type replayed uint8

const (
	replayDone  replayed = iota
	replayOver           // nobody wants it any more
	replayClash          // a read saw another publication there
)

// replay delivers a message of the history.
func (f *Follower) replay(ctx context.Context, p *Place, m *Message) replayed {
	credit, err := f.credit(ctx, m)
	if err != nil {
		return replayOver
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.gone || f.stopped {
		credit.Release()
		return replayOver
	}
	if p.clashes(m) {
		credit.Release()
		return replayClash
	}
	f.stats.replayed.Add(1)
	f.deliver(p, m, credit)
	p.repeats = m.At.Offset
	return replayDone
}

func (f *Follower) credit(ctx context.Context, m *Message) (*broker.Credit, error) {
	if m.Size == 0 {
		return nil, nil
	}
	return f.sink.Credit(ctx, m.Size)
}

// settle ends a comparison: it tells the Sink and lets pass what waited.
func (f *Follower) settle(ctx context.Context, p *Place, top broker.Position, in *Span, lost bool) bool {
	f.mu.Lock()
	if p.gone || f.stopped {
		f.mu.Unlock()
		return true
	}
	if lost {
		f.stats.told.Add(1)
		p.stand(top, 0, ProofNone, 0)
		f.sink.Lost(p.channel)
	} else {
		f.stats.resynced.Add(1)
		f.sink.Resynced(p.channel, p.at)
	}
	p.span, p.refused = in, 0
	f.mu.Unlock()
	for f.release(ctx, p) {
	}
	return true
}

// release lets the first message that waits pass, if it may; false when that is over.
func (f *Follower) release(ctx context.Context, p *Place) bool {
	f.mu.Lock()
	m, ok := f.firstHeld(p)
	f.mu.Unlock()
	if !ok {
		return false
	}
	credit, err := f.credit(ctx, &m)
	if err != nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.gone || f.stopped {
		credit.Release()
		return false
	}
	f.deliver(p, &m, credit)
	return true
}

// firstHeld takes the first message that waits and may pass. If there is none, the place
// is live again, or queued for another comparison. Caller holds mu.
func (f *Follower) firstHeld(p *Place) (Message, bool) {
	if p.gone || f.stopped {
		return Message{}, false
	}
	missed := false
	if h := p.hold; h != nil && p.span.lasts() {
		for len(h.list) > 0 && !missed {
			m := h.list[0]
			if h.early > 0 && m.At.Offset != 0 { // the history that was read has it, or it never was there
				if m.At.Epoch != p.at.Epoch || m.At.Offset > p.at.Offset {
					f.stats.unconfirmed.Add(1)
				}
				f.popHeld(h)
				continue
			}
			switch p.judge(&m) {
			case pass:
				f.popHeld(h)
				return m, true
			case repeat:
				f.stats.repeats.Add(1)
				f.popHeld(h)
			case doubt:
				missed = true
			}
		}
		missed = missed || h.missed
	}
	f.rest(p, missed)
	return Message{}, false
}

// rest ends the comparison of a place, or with missed, or after a loss meanwhile, has it
// compared again. Caller holds mu.
func (f *Follower) rest(p *Place, missed bool) {
	p.progress()
	p.phase = phaseLive
	switch {
	case !p.span.lasts():
		if f.span(p.slot) != nil {
			f.catch(p)
		}
	case missed:
		f.enqueue(p)
	default:
		f.settled(p)
		f.dropHold(p)
	}
}
