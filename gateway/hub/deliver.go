package hub

import (
	"sluice/codec"
	"sluice/gateway/loop"
)

// deliver queues an event for every subscriber of its channel.
func (s *Shard) deliver(d *delivery) {
	t := s.topics.Value(d.channel)
	if t == nil {
		return
	}
	if d.offset != 0 && d.kind != eventCheckpoint { // which tells what we know ourselves
		t.checked = s.loop.Now()
	}
	if d.kind == eventPublication {
		t.count(s.loop.Now())
	}
	w := t.walk()
	s.loop.Walk(&w.Walk, func() {
		for w.Next() {
			m := w.member()
			s.loop.Hand(m.slot)
			if m.plain() && d.plain() && d.seq > m.from {
				s.stats.Sent[eventPublication].add(d.frame)
				s.loop.Send(m.slot, d.frame, loop.NoID)
				continue
			}
			s.deliverTo(t, m, d)
		}
	})
}

// memberWalk goes over the members of a topic from the last to the first: one whose
// stream ends on the way is replaced by one that had its turn. A step must end no other
// stream than its own: who stood for one that is still due would have a second turn.
type memberWalk struct {
	loop.Walk
	topic *topic
	n     int
}

func (t *topic) walk() memberWalk { return memberWalk{topic: t, n: len(t.members)} }

func (w *memberWalk) Next() bool {
	for w.Walk.Next(w.n) {
		if w.n-1-w.Step() < len(w.topic.members) {
			return true
		}
	}
	return false
}

func (w *memberWalk) member() *member { return &w.topic.members[w.n-1-w.Step()] }

// deliverTo is the way of members that want more than the plain frame.
func (s *Shard) deliverTo(t *topic, m *member, d *delivery) {
	switch {
	case d.kind == eventCheckpoint && !m.features.has(Checkpoints):
	case d.frame == nil:
		s.judge(t, m, d)
	case d.seq <= m.from && (!m.features.has(Positioned) || s.hub.synchronous && m.newcomer() || d.offset == 0):
		// It was acknowledged before the subscriber came, so the history has
		// it, or it is older than what the history told.
	case m.held():
		s.hold(t, m, d)
	case d.kind == eventCheckpoint:
		s.checkpoint(t, m, d)
	case d.binary:
		s.owner.Inappropriate(s.loop.Ref(m.slot), t.channel)
	case d.kind != eventPublication:
		if m.features.has(PushJoinLeave) {
			s.stats.Sent[d.kind].add(d.frame)
			s.loop.Send(m.slot, d.frame, loop.NoID)
		}
	case m.features.has(Positioned) && d.offset != 0:
		if d.epoch != m.epoch && m.epoch != 0 || d.offset > m.offset+1 {
			s.owner.Insufficient(s.loop.Ref(m.slot), t.channel)
			return
		}
		if d.offset <= m.offset {
			return // a duplicate (PROTOCOL 6.5)
		}
		if d.late {
			s.owner.Insufficient(s.loop.Ref(m.slot), t.channel)
			return
		}
		m.offset, m.epoch = d.offset, d.epoch
		s.send(t, m, d)
	default:
		s.send(t, m, d)
	}
}

// send queues the form of the publication that the member negotiated.
func (s *Shard) send(t *topic, m *member, d *delivery) {
	mode := loop.NoID
	if m.route == routeShared {
		mode = loop.SharedID
	}
	f := d.frame
	if m.features.has(Delta) {
		f = d.full
		if m.state&stateHasBase != 0 && d.delta != nil {
			f = d.delta
		}
		m.state |= stateHasBase
		if d.offset == 0 { // the history's next delta will skip this one
			m.state &^= stateHasBase
		}
		if f == nil {
			// The publication came before this subscriber's interest
			// in deltas, so before the client was told of anything:
			// its payload in another form must not be the first.
			m.state &^= stateHasBase
			return
		}
	}
	s.stats.Sent[d.kind].add(f)
	if m.route == routeOwn && d.offset != 0 {
		s.sendOwn(m, f)
		return
	}
	if (d.drops || d.key != 0) && m.features&needsAll == 0 {
		s.loop.SendLossy(m.slot, f, loop.Lossy{Class: t, Drops: d.drops, Key: d.key, Offset: d.offset})
		return
	}
	s.loop.Send(m.slot, f, mode)
}

// Gap makes the push that tells of publications dropped on a stream. It
// implements loop.Class.
func (t *topic) Gap(g codec.Gap) *codec.Frame {
	return codec.EndFrame(codec.AppendGap(codec.StartFrame(len(t.channel)+80), t.channel, g), "")
}

// Behind reports whether more waits on the loop to be queued for a stream, of what
// entered the Sink up to a number, than it may be given at once.
func (s *Shard) Behind(ref loop.Ref, upTo uint64) bool {
	room := s.loop.Room(ref.Slot)
	s.waiting(ref, upTo, func(_ *member, d *delivery) { room -= d.Size() + holdCost })
	return room < 0
}

// CatchUp queues for a stream what waits on its loop to be queued for all, and
// entered the Sink up to a number: so a command can follow what was acknowledged
// before it without waiting for streams that are slow. When their turn comes for the
// others, this one has them. It must not be too much, see [Shard.Behind].
func (s *Shard) CatchUp(ref loop.Ref, upTo uint64) {
	s.waiting(ref, upTo, func(m *member, d *delivery) {
		s.loop.Hand(ref.Slot)
		s.deliverTo(s.places[ref.Slot][m.place].topic, m, d)
		if m = s.find(ref.Slot, d.channel); m != nil { // it may have ended
			m.from = max(m.from, d.seq)
		}
	})
}

// waiting calls f with what waits on the loop for a stream, while that lives.
func (s *Shard) waiting(ref loop.Ref, upTo uint64, f func(m *member, d *delivery)) {
	if int(ref.Slot) >= len(s.places) || len(s.places[ref.Slot]) == 0 {
		return
	}
	s.loop.Pending(func(x loop.Delivery) {
		d, ok := x.(*delivery)
		if !ok || d.seq > upTo || !s.loop.Live(ref) {
			return
		}
		if m := s.find(ref.Slot, d.channel); m != nil {
			f(m, d)
		}
	})
}
