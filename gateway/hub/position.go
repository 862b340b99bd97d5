package hub

import "time"

// A position can be lost without a publication that shows it: what the engine
// kept never arrived here, or its history was lost and began anew. So whoever
// owns the sessions asks from time to time which positions nobody has confirmed
// for a while, reads the top of these channels, and brings it back here
// (PROTOCOL 6.5).

// PositionDue reports whether nothing has confirmed the position of a
// subscriber for so long, and where it stands. The answer is yes once: until
// CheckPosition, or for as long again, the channel counts as confirmed.
func (s *Shard) PositionDue(slot uint32, channel string, age time.Duration) (offset uint64, due bool) {
	m := s.find(slot, channel)
	if m == nil || m.held() || !m.features.has(Positioned) {
		return 0, false
	}
	t := s.places[slot][m.place].topic
	if t.checked > s.loop.Now()-int64(age) {
		return 0, false
	}
	t.checked = s.loop.Now()
	return m.offset, true
}

// Subscription is what a stream has in a channel.
type Subscription struct {
	Channel  string
	Features Features
	// Offset is where a positioned subscriber stands, once it was told: then Known is set.
	Offset uint64
	Known  bool
}

// Subscriptions returns what a stream has, at most so many of them.
func (s *Shard) Subscriptions(slot uint32, most int) []Subscription {
	if int(slot) >= len(s.places) {
		return nil
	}
	list := s.places[slot][:min(most, len(s.places[slot]))]
	out := make([]Subscription, len(list))
	for i, p := range list {
		m := &p.topic.members[p.index]
		out[i] = Subscription{Channel: p.topic.channel, Features: m.features}
		if m.features.has(Positioned) && !m.newcomer() {
			out[i].Offset, out[i].Known = m.offset, true
		}
	}
	return out
}

// CheckPosition compares the positions of a channel's subscribers with the top
// that its history had. Everything up to that top has reached this loop by
// now; before is where a subscriber stood when the top had not been read yet.
// Those behind the top, those that were ahead of it, and those of another epoch
// lost their place.
func (s *Shard) CheckPosition(channel string, top uint64, epoch uint32, before uint64) {
	t := s.topics.Value(channel)
	if t == nil {
		return
	}
	t.checked = s.loop.Now()
	w := t.walk()
	s.loop.Walk(&w.Walk, func() {
		for w.Next() {
			m := w.member()
			if m.held() || !m.features.has(Positioned) {
				continue
			}
			behind := m.offset < top
			ahead := before > top && m.offset >= before
			if behind || ahead || m.epoch != epoch && m.epoch != 0 {
				s.loop.Hand(m.slot)
				s.owner.Insufficient(s.loop.Ref(m.slot), channel)
			}
		}
	})
}

// judge ends what a subscriber has in a channel if it has lost its place there, by what
// the engine says of the channel (broker.Sink: Resynced, Lost). Who is held keeps that
// until its position is known, see Activate: what follows must not fill a hole.
//
// Who came while the engine said it, and has its position from a history that was read
// since, may be ahead of what the engine had read: it has lost nothing. A loss that comes
// to the loop behind the opening of a stream that had read its history since is told all
// the same: a member does not remember when that was.
func (s *Shard) judge(t *topic, m *member, d *delivery) {
	switch {
	case m.held():
		if d.seq > m.from {
			s.hold(t, m, d)
		}
	case !m.features.has(Positioned):
	case d.kind == eventLost, m.offset < d.offset, m.offset > d.offset && d.seq > m.from, m.epoch != d.epoch && m.epoch != 0:
		s.owner.Insufficient(s.loop.Ref(m.slot), t.channel)
	}
}
