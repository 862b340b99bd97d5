package redis

import (
	"context"
	"slices"

	"sluice/gateway/broker"
)

// tip is what a read found at the end of a history.
type tip struct {
	top   broker.Position
	proof proof
	sum   uint64
}

// reading returns what a read needs before it is made: with wants, the last publication is
// wanted as well if its offset is above behind; and the span of the channel.
func (f *follower) reading(channel string) (wants bool, behind uint64, in *span) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.places.Value(channel)
	if p == nil {
		return false, 0, nil
	}
	if p.known && p.proof != proofNone {
		behind = p.at.Offset
	}
	return true, behind, f.span(p.slot)
}

// learn takes what a read found that was begun in a span. The first one after the
// subscription is where its comparisons begin. A later one that is ahead is remembered:
// what comes must be that, and the next barrier finds out whether something is missing.
func (f *follower) learn(channel string, t tip, in *span) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.places.Value(channel)
	switch {
	case p == nil || t.top.Epoch == "":
		return
	case !p.known:
		p.stand(t.top, t.proof, t.sum)
		if p.span = in; !in.lasts() && f.span(p.slot) != nil {
			f.catch(p)
		}
		return
	case p.reached(t.top):
		if p.at == t.top && p.proof == proofNone {
			p.proof, p.sum = t.proof, t.sum
		}
		return
	}
	p.saw(t)
	if last, ok := f.suspects[p]; !ok || last.Epoch != t.top.Epoch || last.Offset < t.top.Offset {
		f.suspects[p] = t.top
	}
}

// reached reports whether what is behind top was delivered. Caller holds the follower's mu.
func (p *place) reached(top broker.Position) bool {
	return p.at.Epoch == top.Epoch && p.at.Offset >= top.Offset
}

// takeSuspects returns the places that reads found to be behind since the last call, and what
// they found.
func (f *follower) takeSuspects() map[*place]broker.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.suspects) == 0 {
		return nil
	}
	list := f.suspects
	f.suspects = make(map[*place]broker.Position)
	return list
}

// await has those suspects compared that are behind still, although what was under way
// has arrived, and waits for all comparisons that are to be made now. One whose history is
// being read may be behind what that read sees, so it is looked at again: a read that begins
// from here on sees it all.
func (f *follower) await(ctx context.Context, suspects map[*place]broker.Position) error {
	reading, err := f.awaitOnce(ctx, suspects)
	if err == nil && len(reading) > 0 {
		_, err = f.awaitOnce(ctx, reading)
	}
	return err
}

// awaitOnce does that for those that are not being read, and returns the others.
func (f *follower) awaitOnce(ctx context.Context, suspects map[*place]broker.Position) (reading map[*place]broker.Position, err error) {
	f.mu.Lock()
	for p, top := range suspects {
		switch {
		case p.gone || p.reached(top) || p.phase == phaseQueued:
		case p.phase == phaseLive:
			f.stats.behind.Add(1)
			f.enqueue(p)
		default:
			if reading == nil {
				reading = make(map[*place]broker.Position)
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

func (f *follower) awaitPlace(ctx context.Context, p *place) error {
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

// doubtAll has all channels compared: something may have been missed although the
// reader lost nothing.
func (f *follower) doubtAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.places.All() {
		if p.known {
			f.enqueue(p)
		}
	}
	f.past.doubt(func(int) bool { return true })
	f.signal()
}
