package follow

import "context"

const (
	// holdMost and holdRoom bound what waits for the comparison of one channel, in
	// messages and bytes; holdRoomAll what waits in all channels of a shard.
	holdMost    = 512
	holdRoom    = 1 << 20
	holdRoomAll = 64 << 20
	// holdCost is what a message that waits takes beyond its payload.
	holdCost = 256
)

// hold is what waits for a comparison.
type hold struct {
	list []Message
	// early is how many of list came before the history was asked for: it has them.
	early int
	size  int
	// missed says that publications were dropped for want of room: the history has them.
	missed bool
	turn   chan struct{} // closed when the comparison got on; nil if nobody waits
}

// holdBack lets a message wait for the comparison; false if its reader has to wait
// instead. Caller holds mu.
func (f *Follower) holdBack(p *Place, m Message) bool {
	h := p.hold
	if h == nil {
		h = &hold{}
		p.hold = h
	}
	cost := m.Size + holdCost
	full := func() bool {
		return len(h.list) >= holdMost || h.size+cost > holdRoom && len(h.list) > 0 || f.held+cost > holdRoomAll
	}
	if full() && p.phase == phaseReplay {
		return false // the credit that the replay waits for is what this one has to wait for
	}
	if full() {
		f.dropKept(p)
		h.missed = true
		if m.At.Offset != 0 {
			f.stats.heldDropped.Add(1)
			return true // the history has it
		}
		if full() {
			return false
		}
	}
	h.list = append(h.list, m)
	h.size += cost
	f.held += cost
	return true
}

// dropKept drops what waits and is in the history as well. Caller holds mu.
func (f *Follower) dropKept(p *Place) {
	h := p.hold
	kept := h.list[:0]
	size, early := 0, 0
	for i, m := range h.list {
		if m.At.Offset != 0 {
			f.stats.heldDropped.Add(1)
			continue
		}
		if i < h.early {
			early++
		}
		kept = append(kept, m)
		size += m.Size + holdCost
	}
	clear(h.list[len(kept):])
	f.held += size - h.size
	h.list, h.size, h.early = kept, size, early
}

// dropHold forgets what waits. Caller holds mu.
func (f *Follower) dropHold(p *Place) {
	if h := p.hold; h != nil {
		f.held -= h.size
		h.list, h.size, h.early = nil, 0, 0
		p.progress()
		p.hold = nil
	}
}

// popHeld takes the first message that waits. Caller holds mu.
func (f *Follower) popHeld(h *hold) {
	cost := h.list[0].Size + holdCost
	h.list[0] = Message{}
	h.list = h.list[1:]
	h.size -= cost
	f.held -= cost
	h.early = max(h.early-1, 0)
}

// passHeld delivers the first message that waits, before the comparison: there is no room, and
// nothing is compared before Back, which comes behind the one that has no room. What it
// overtakes is in the history.
func (f *Follower) passHeld(ctx context.Context, p *Place) {
	f.mu.Lock()
	m, ok := p.firstOfHold()
	f.mu.Unlock()
	if !ok {
		return
	}
	credit, err := f.credit(ctx, &m)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if now, ok := p.firstOfHold(); !ok || now != m || p.phase > phaseQueued || f.stopped {
		credit.Release()
		return
	}
	f.popHeld(p.hold)
	f.stats.overtook.Add(1)
	f.deliver(p, &m, credit)
}

// firstOfHold returns the first message that waits and is in no history. Caller holds the follower's mu.
func (p *Place) firstOfHold() (m Message, ok bool) {
	if p.gone || p.hold == nil || len(p.hold.list) == 0 || p.hold.list[0].At.Offset != 0 {
		return Message{}, false
	}
	return p.hold.list[0], true
}
