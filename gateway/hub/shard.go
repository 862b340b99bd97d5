package hub

import "sluice/gateway/loop"

// Flags say how a subscriber is delivered to.
type Flags uint8

const (
	// Held subscribers are sent nothing until Shard.Open.
	Held Flags = 1 << iota
	// Positioned subscribers get each offset once, in order, or are told
	// that they lost their place.
	Positioned
	// Delta subscribers get payloads as strings or as deltas.
	Delta
	// HasBase: the delta subscriber has the payload that the next delta is
	// made against.
	HasBase
	// PushJoinLeave subscribers get join and leave pushes.
	PushJoinLeave
	// SharedID subscribers get the id line of each publication with it: the
	// channel is the only recoverable one of their stream.
	SharedID
)

// Owner is what a shard tells the sessions of its loop. Called on-loop.
type Owner interface {
	// Insufficient: the stream's position in the channel is lost, or more
	// was held for it than may be. The owner ends the stream.
	Insufficient(ref loop.Ref, channel string)
}

// Shard is the subscribers on one loop. All its methods are on-loop only.
type Shard struct {
	// Immutable after New.
	hub   *Hub
	loop  *loop.Loop
	owner Owner // set by Start

	// Owned by the loop.
	topics map[string]*topic
	places [][]place        // by slot
	holds  map[uint32]*hold // by slot, while the stream has yet to open
	next   int              // of the delivery in hand: members below it are due
	subs   int
}

// topic is a channel with subscribers on this loop.
type topic struct {
	channel string
	members []member
}

// member is one subscriber of a topic.
type member struct {
	offset uint64 // of the last publication delivered, if Positioned
	slot   uint32
	epoch  uint32 // tag, 0 while not known
	place  uint32 // index in places[slot]
	flags  Flags
}

// place is where a stream stands in one topic.
type place struct {
	topic *topic
	index uint32 // in topic.members
}

// hold is what arrived for a stream between its subscription and its opening.
type hold struct {
	items []heldItem
	bytes int
}

type heldItem struct {
	topic *topic
	d     *delivery
}

func newShard(h *Hub, l *loop.Loop) *Shard {
	return &Shard{hub: h, loop: l, topics: make(map[string]*topic), holds: make(map[uint32]*hold)}
}

// Start gives the shard its owner, before the first subscriber.
func (s *Shard) Start(owner Owner) { s.owner = owner }

// Subscribe adds a stream to a channel whose interest the caller acquired; the
// shard drops it when the subscription ends. A stream that is in the channel
// already only changes its flags and position; then the caller keeps its
// reference, and added is false.
func (s *Shard) Subscribe(slot uint32, channel string, flags Flags, offset uint64, epoch uint32) (added bool) {
	if flags&Held != 0 && s.holds[slot] == nil {
		s.holds[slot] = &hold{}
	}
	if m := s.find(slot, channel); m != nil {
		// What the interest counts stays as it is.
		m.flags, m.offset, m.epoch = flags|m.flags&Delta, offset, epoch
		return false
	}
	t := s.topics[channel]
	if t == nil {
		t = &topic{channel: channel}
		s.topics[channel] = t
	}
	for int(slot) >= len(s.places) {
		s.places = append(s.places, nil)
	}
	list := s.places[slot]
	t.members = append(t.members, member{
		offset: offset, slot: slot, epoch: epoch, place: uint32(len(list)), flags: flags,
	})
	s.places[slot] = append(list, place{t, uint32(len(t.members) - 1)})
	s.subs++
	return true
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

// Subscribed reports whether the stream is in the channel.
func (s *Shard) Subscribed(slot uint32, channel string) bool { return s.find(slot, channel) != nil }

// Position returns where a positioned subscriber stands.
func (s *Shard) Position(slot uint32, channel string) (offset uint64, epoch uint32, ok bool) {
	m := s.find(slot, channel)
	if m == nil || m.flags&Positioned == 0 {
		return 0, 0, false
	}
	return m.offset, m.epoch, true
}

// Unsubscribe takes a stream out of a channel; it reports whether it was in.
func (s *Shard) Unsubscribe(slot uint32, channel string) bool {
	m := s.find(slot, channel)
	if m == nil {
		return false
	}
	s.remove(slot, int(m.place))
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
	delete(s.holds, slot)
}

// remove ends one membership: the last member and the last place move into the
// gaps.
func (s *Shard) remove(slot uint32, i int) {
	list := s.places[slot]
	t, index := list[i].topic, list[i].index
	flags := t.members[index].flags
	if last := len(t.members) - 1; int(index) != last {
		moved := t.members[last]
		t.members[index] = moved
		s.places[moved.slot][moved.place].index = index
	}
	t.members = t.members[:len(t.members)-1]
	if last := len(list) - 1; i != last {
		list[i] = list[last]
		list[i].topic.members[list[i].index].place = uint32(i)
	}
	list[len(list)-1] = place{}
	s.places[slot] = list[:len(list)-1]
	s.subs--
	if len(t.members) == 0 {
		delete(s.topics, t.channel)
	} else if cap(t.members) > 64 && len(t.members) < cap(t.members)/4 {
		t.members = append(make([]member, 0, cap(t.members)/2), t.members...)
	}
	s.hub.Release(t.channel, s.loop.ID(), flags&Delta != 0)
}

// deliver queues an event for every subscriber of its channel. It walks from
// the last member to the first: a member that is closed on the way is replaced
// by one that was served already. After a panic it goes on behind the member
// that caused it.
func (s *Shard) deliver(d *delivery, again bool) {
	t := s.topics[d.channel]
	if t == nil {
		return
	}
	if !again {
		s.next = len(t.members)
	}
	for s.next = min(s.next, len(t.members)); s.next > 0; s.next = min(s.next, len(t.members)) {
		s.next--
		m := &t.members[s.next]
		s.loop.Hand(m.slot)
		if m.flags == 0 && d.kind == eventPublication {
			s.loop.Send(m.slot, d.frame, loop.NoID)
			continue
		}
		s.deliverTo(t, m, d)
	}
}

// deliverTo is the way of members that want more than the plain frame.
func (s *Shard) deliverTo(t *topic, m *member, d *delivery) {
	switch {
	case m.flags&Held != 0:
		s.hold(t, m, d)
	case d.kind != eventPublication:
		if m.flags&PushJoinLeave != 0 {
			s.loop.Send(m.slot, d.frame, loop.NoID)
		}
	case m.flags&Positioned != 0 && d.offset != 0:
		if d.epoch != m.epoch && m.epoch != 0 || d.offset > m.offset+1 {
			s.owner.Insufficient(s.loop.Ref(m.slot), t.channel)
			return
		}
		if d.offset <= m.offset {
			return // a duplicate (PROTOCOL 6.5)
		}
		m.offset, m.epoch = d.offset, d.epoch
		s.send(m, d)
	default:
		s.send(m, d)
	}
}

// send queues the form of the publication that the member negotiated.
func (s *Shard) send(m *member, d *delivery) {
	mode := loop.NoID
	if m.flags&SharedID != 0 {
		mode = loop.SharedID
	}
	f := d.frame
	if m.flags&Delta != 0 {
		f = d.full
		if m.flags&HasBase != 0 && d.delta != nil {
			f = d.delta
		}
		m.flags |= HasBase
		if d.offset == 0 { // the history's next delta will skip this one
			m.flags &^= HasBase
		}
		if f == nil { // the interest in deltas is younger than the frame
			f = d.frame
			m.flags &^= HasBase
		}
	}
	s.loop.Send(m.slot, f, mode)
}

// hold keeps an event until the stream opens.
func (s *Shard) hold(t *topic, m *member, d *delivery) {
	h := s.holds[m.slot]
	h.bytes += d.frame.Len() + holdCost
	if h.bytes > s.hub.opt.HoldMaxSize {
		s.owner.Insufficient(s.loop.Ref(m.slot), t.channel)
		return
	}
	h.items = append(h.items, heldItem{t, d})
}

// holdCost is what a held event counts for beyond its frame.
const holdCost = 64

// Opened is where a subscription stands when its stream opens: the position up
// to which the connect push told everything.
type Opened struct {
	Channel string
	Offset  uint64
	Epoch   uint32
	Flags   Flags
}

// Open ends the hold of subscriptions: they take their positions and what was
// held behind these is sent, in the order in which it came. The caller has
// queued what tells the client of the subscriptions before.
func (s *Shard) Open(ref loop.Ref, at []Opened) {
	for i := range at {
		if m := s.find(ref.Slot, at[i].Channel); m != nil {
			m.offset, m.epoch = at[i].Offset, at[i].Epoch
			m.flags = at[i].Flags&^Held | m.flags&Delta
		}
	}
	h := s.holds[ref.Slot]
	if h == nil {
		return
	}
	items := h.items
	delete(s.holds, ref.Slot)
	if s.held(ref.Slot) {
		s.holds[ref.Slot] = &hold{}
	}
	for i := range items {
		if !s.loop.Live(ref) {
			return
		}
		// Another subscription of the stream that still holds keeps its
		// events: deliverTo puts them back.
		if m := s.find(ref.Slot, items[i].topic.channel); m != nil {
			s.deliverTo(items[i].topic, m, items[i].d)
		}
	}
}

// held reports whether a subscription of the stream still holds.
func (s *Shard) held(slot uint32) bool {
	for _, p := range s.places[slot] {
		if p.topic.members[p.index].flags&Held != 0 {
			return true
		}
	}
	return false
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
	for ch, t := range s.topics {
		if t.channel != ch || len(t.members) == 0 {
			panic("BUG: hub: an empty or misnamed topic")
		}
		n -= len(t.members)
	}
	if n != 0 {
		panic("BUG: hub: a topic has members without a place")
	}
}
