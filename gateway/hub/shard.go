package hub

import (
	"time"

	"sluice/codec"
	"sluice/gateway/loop"
	"sluice/gateway/shrink"
)

// Owner is what a shard tells the sessions of its loop. Called on-loop.
type Owner interface {
	// Insufficient: the stream's position in the channel is lost, or more
	// was held for it than may be. The owner ends the stream.
	Insufficient(ref loop.Ref, channel string)
	// Inappropriate: bytes that are not JSON were published into a channel
	// of the stream. The owner ends it.
	Inappropriate(ref loop.Ref, channel string)
	// Passed: the stream was sent a checkpoint of the channel. The owner may end it
	// there.
	Passed(ref loop.Ref, channel string)
}

// Shard is the subscribers on one loop. All its methods are on-loop only.
type Shard struct {
	// Immutable after New.
	hub   *Hub
	loop  *loop.Loop
	owner Owner // set by SetOwner

	// Owned by the loop.
	topics shrink.Map[string, *topic]
	places [][]place                 // by slot
	holds  shrink.Map[uint32, *hold] // by slot, while a subscription of the stream is held
	// cursors of streams with several recoverable channels, by slot.
	cursors shrink.Map[uint32, *streamCursor]
	ids     []byte // the block that id chunks are cut from
	scratch []byte // for the text of a cursor
	subs    int
	// offeredAt is when the last window of deliveries was offered, on the hub's
	// clock.
	offeredAt time.Duration
	stats     ShardStats
}

// topic is a channel with subscribers on this loop. It implements loop.Class.
type topic struct {
	channel string
	tag     uint32 // of the channel, in cursors
	window  uint32 // that counts are of, and the one before: see topic.count
	members []member
	// checked is when the position was last known to be right: at the last
	// publication with an offset, or the last check. On the loop's clock.
	checked int64
	counts  [2]uint32 // publications in this window, and in the one before
}

// member is one subscriber of a topic.
type member struct {
	offset uint64 // of the last publication delivered, if Positioned
	// from is the hub's sequence number at which the subscriber came: what
	// entered the Sink before, and has no offset that says so, is not for it.
	from  uint64
	slot  uint32
	epoch uint32 // tag, 0 while not known
	place uint32 // index in places[slot]

	features Features
	state    memberState
	route    idRoute
}

func (m *member) held() bool { return m.state&stateHeld != 0 }

// plain reports whether the member wants nothing but the plain frame.
func (m *member) plain() bool { return m.features&^follows == 0 && m.state == 0 }

// newcomer reports whether the subscriber has yet to be told where it stands. One
// that is held again has a position, and may lack what entered before from.
func (m *member) newcomer() bool { return m.held() && m.epoch == 0 }

// place is where a stream stands in one topic.
type place struct {
	topic *topic
	index uint32 // in topic.members
}

func newShard(h *Hub, l *loop.Loop) *Shard {
	s := &Shard{hub: h, loop: l}
	l.OnFlush(func() { s.offeredAt = h.clock() })
	return s
}

// SetOwner gives the shard its owner, before the first subscriber.
func (s *Shard) SetOwner(owner Owner) { s.owner = owner }

// Subscribe adds a stream to a channel whose interest the caller acquired; the
// shard drops it when the subscription ends. A stream that is in the channel
// already only changes its features; then the caller keeps its
// reference, and added is false.
func (s *Shard) Subscribe(slot uint32, channel string, f Features) (added bool) {
	_, added = s.subscribe(slot, channel, f)
	return added
}

// Hold is Subscribe for a stream that is to be sent nothing until [Shard.Activate]: what
// arrives is kept. One that is in the channel already has its position until then.
func (s *Shard) Hold(slot uint32, channel string, f Features) (added bool) {
	if s.holds.Value(slot) == nil {
		s.holds.Set(slot, &hold{})
	}
	m, added := s.subscribe(slot, channel, f)
	m.state = stateHeld
	return added
}

func (s *Shard) subscribe(slot uint32, channel string, f Features) (m *member, added bool) {
	if m := s.find(slot, channel); m != nil {
		m.features, m.route = f|m.features&counted, routeNone
		return m, false
	}
	t := s.topics.Value(channel)
	if t == nil {
		t = &topic{channel: channel, tag: codec.Tag32(channel), checked: s.loop.Now()}
		s.topics.Set(channel, t)
	}
	for int(slot) >= len(s.places) {
		s.places = append(s.places, nil)
	}
	list := s.places[slot]
	t.members = append(t.members, member{from: s.hub.Seq(), slot: slot, place: uint32(len(list)), features: f})
	index := uint32(len(t.members) - 1)
	s.places[slot] = append(list, place{t, index})
	s.subs++
	return &t.members[index], true
}

// find returns the stream's membership of a channel, nil if it has none.
func (s *Shard) find(slot uint32, channel string) *member {
	if int(slot) >= len(s.places) {
		return nil
	}
	for _, p := range s.places[slot] {
		if p.topic.channel == channel {
			return &p.topic.members[p.index]
		}
	}
	return nil
}

// Position returns where a positioned subscriber stands; ok is false if it is
// none, or has yet to be told.
func (s *Shard) Position(slot uint32, channel string) (offset uint64, epoch uint32, ok bool) {
	m := s.find(slot, channel)
	if m == nil || !m.features.has(Positioned) || m.newcomer() {
		return 0, 0, false
	}
	return m.offset, m.epoch, true
}

// Deltas reports whether the stream negotiated deltas for the channel.
func (s *Shard) Deltas(slot uint32, channel string) bool {
	m := s.find(slot, channel)
	return m != nil && m.features.has(Delta)
}

// Unsubscribe takes a stream out of a channel; it reports whether it was in.
func (s *Shard) Unsubscribe(slot uint32, channel string) bool {
	m := s.find(slot, channel)
	if m == nil {
		return false
	}
	s.remove(slot, int(m.place))
	s.refreshCursor(slot)
	switch h := s.holds.Value(slot); {
	case h == nil:
	case s.held(slot):
		h.drop(channel)
	default:
		s.holds.Delete(slot) // nobody will end it
	}
	return true
}

// Drop takes a stream out of all its channels, when it ends.
func (s *Shard) Drop(slot uint32) {
	if int(slot) >= len(s.places) {
		return
	}
	for n := len(s.places[slot]); n > 0; n-- {
		s.remove(slot, n-1)
	}
	s.places[slot] = nil
	s.holds.Delete(slot)
	s.cursors.Delete(slot)
}

// remove ends one membership: the last member and the last place move into the
// gaps.
func (s *Shard) remove(slot uint32, i int) {
	list := s.places[slot]
	t, index := list[i].topic, list[i].index
	form := t.members[index].features.Form(s.loop.Coding(slot), s.loop.Dictionary(slot))
	last := len(t.members) - 1
	s.move(t, last, int(index))
	t.members = t.members[:last]
	if last := len(list) - 1; i != last {
		list[i] = list[last]
		list[i].topic.members[list[i].index].place = uint32(i)
	}
	list[len(list)-1] = place{}
	s.places[slot] = list[:len(list)-1]
	s.subs--
	if len(t.members) == 0 {
		s.topics.Delete(t.channel)
	} else if cap(t.members) > 64 && len(t.members) < cap(t.members)/4 {
		t.members = append(make([]member, 0, cap(t.members)/2), t.members...)
	}
	s.hub.Release(t.channel, s.loop.ID(), form)
}

// move puts a member of a topic into the place of one that is gone.
func (s *Shard) move(t *topic, from, to int) {
	if from == to {
		return
	}
	m := t.members[from]
	t.members[to] = m
	s.places[m.slot][m.place].index = uint32(to)
}

// Subscribers returns how many subscriptions the loop has.
func (s *Shard) Subscribers() int { return s.subs }

// Verify panics if the shard's tables disagree; for tests.
func (s *Shard) Verify() {
	n := 0
	for slot, list := range s.places {
		for i, p := range list {
			m := p.topic.members[p.index]
			if m.slot != uint32(slot) || m.place != uint32(i) {
				panic("BUG: hub: a place and its member disagree")
			}
			n++
		}
	}
	if n != s.subs {
		panic("BUG: hub: the count of subscriptions is off")
	}
	for ch, t := range s.topics.All() {
		if t.channel != ch || len(t.members) == 0 {
			panic("BUG: hub: an empty or misnamed topic")
		}
		n -= len(t.members)
	}
	if n != 0 {
		panic("BUG: hub: a topic has members without a place")
	}
}
