package follow

import (
	"context"
	"slices"

	"sluice/gateway/broker"
)

// Tip is what a read found at the end of a history.
type Tip struct {
	Top   broker.Position
	Ref   uint64 // where the engine keeps the publication at Top, 0: unknown
	Proof Proof
	Sum   uint64
}

// Reading returns what a read needs before it is made: with wants, the last publication is
// wanted as well if its offset is above behind; and the span of the channel.
func (f *Follower) Reading(channel string) (wants bool, behind uint64, in *Span) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.places.Value(channel)
	if p == nil {
		return false, 0, nil
	}
	if p.known && p.proof != ProofNone {
		behind = p.at.Offset
	}
	return true, behind, f.span(p.slot)
}

// Learn takes what a read found that was begun in a span. The first one after the
// subscription is where its comparisons begin. A later one that is ahead is remembered:
// what comes must be that, and the next barrier finds out whether something is missing.
func (f *Follower) Learn(channel string, t Tip, in *Span) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.places.Value(channel)
	switch {
	case p == nil || t.Top.Epoch == "":
		return
	case !p.known:
		p.stand(t.Top, t.Ref, t.Proof, t.Sum)
		if p.span = in; !in.lasts() && f.span(p.slot) != nil {
			f.catch(p)
		}
		return
	case p.reached(t.Top):
		if p.at == t.Top && p.proof == ProofNone {
			p.proof, p.sum, p.ref = t.Proof, t.Sum, max(p.ref, t.Ref)
		}
		return
	}
	p.saw(t)
	if last, ok := f.suspects[p]; !ok || last.Epoch != t.Top.Epoch || last.Offset < t.Top.Offset {
		f.suspects[p] = t.Top
	}
}

// reached reports whether what is behind top was delivered. Caller holds the follower's mu.
func (p *Place) reached(top broker.Position) bool {
	return p.at.Epoch == top.Epoch && p.at.Offset >= top.Offset
}

// TakeSuspects returns the places that reads found to be behind since the last call, and what
// they found.
func (f *Follower) TakeSuspects() map[*Place]broker.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.suspects) == 0 {
		return nil
	}
	list := f.suspects
	f.suspects = make(map[*Place]broker.Position)
	return list
}

// Await has those suspects compared that are behind still, although what was under way
// has arrived, and waits for all comparisons that are to be made now. One whose history is
// being read may be behind what that read sees, so it is looked at again: a read that begins
// from here on sees it all.
func (f *Follower) Await(ctx context.Context, suspects map[*Place]broker.Position) error {
	reading, err := f.awaitOnce(ctx, suspects)
	if err == nil && len(reading) > 0 {
		_, err = f.awaitOnce(ctx, reading)
	}
	return err
}

// awaitOnce does that for those that are not being read, and returns the others.
func (f *Follower) awaitOnce(ctx context.Context, suspects map[*Place]broker.Position) (reading map[*Place]broker.Position, err error) {
	f.mu.Lock()
	for p, top := range suspects {
		switch {
		case p.gone || p.reached(top) || p.phase == phaseQueued:
		case p.phase == phaseLive:
			f.stats.behind.Add(1)
			f.enqueue(p)
		default:
			if reading == nil {
				reading = make(map[*Place]broker.Position)
			}
			reading[p] = top
		}
	}
	pending := slices.Concat(f.batch, f.queue, f.parked)
	f.mu.Unlock()
	for _, p := range pending {
		if err := f.awaitPlace(ctx, p); err != nil {
			return reading, err
		}
	}
	return reading, nil
}

func (f *Follower) awaitPlace(ctx context.Context, p *Place) error {
	for {
		f.mu.Lock()
		if p.gone || f.stopped || !f.stale(p) {
			f.mu.Unlock()
			return nil
		}
		turn := p.turn()
		f.mu.Unlock()
		select {
		case <-turn:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// DoubtAll has all channels of some slots compared: something may have been missed although the
// reader lost nothing.
func (f *Follower) DoubtAll(of func(slot int) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.places.All() {
		if p.known && of(p.slot) {
			f.enqueue(p)
		}
	}
	f.past.doubt(of)
	f.signal()
}

// DoubtChannel has one channel compared if it is subscribed: a message of it was dropped before it
// came here.
func (f *Follower) DoubtChannel(channel string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.places.Value(channel)
	switch {
	case p == nil:
		return
	case !p.known:
		f.stats.unknown.Add(1)
	case p.phase == phaseReading || p.phase == phaseReplay:
		// What is being read may be from before the message: it is read again.
		if p.hold == nil {
			p.hold = &hold{}
		}
		p.hold.missed = true
	default:
		f.enqueue(p)
	}
	f.stats.dropped.Add(1)
}

// Suspects returns how many places reads found to be behind, since TakeSuspects.
func (f *Follower) Suspects() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.suspects)
}
