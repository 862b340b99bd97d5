package hub

import (
	"time"

	"sluice/codec"
	"sluice/gateway/loop"
	"sluice/gateway/shrink"
)

// Flags say how a subscriber is delivered to.
type Flags uint16

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
	// Recoverable subscriptions have a place in their stream's cursor.
	Recoverable
	// SharedID: the channel is the only recoverable one of its stream, which
	// gets the id line that all such streams share.
	SharedID
	// OwnID: the stream has several recoverable channels and an id of its
	// own.
	OwnID
)

// Owner is what a shard tells the sessions of its loop. Called on-loop.
type Owner interface {
	// Insufficient: the stream's position in the channel is lost, or more
	// was held for it than may be. The owner ends the stream.
	Insufficient(ref loop.Ref, channel string)
	// Inappropriate: bytes that are not JSON were published into a channel
	// of the stream. The owner ends it.
	Inappropriate(ref loop.Ref, channel string)
}

// Shard is the subscribers on one loop. All its methods are on-loop only.
type Shard struct {
	// Immutable after New.
	hub   *Hub
	loop  *loop.Loop
	owner Owner // set by Start

	// Owned by the loop.
	topics shrink.Map[string, *topic]
	places [][]place                 // by slot
	holds  shrink.Map[uint32, *hold] // by slot, while the stream has yet to open
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
	members []member
	// checked is when the position was last known to be right: at the last
	// publication with an offset, or the last check. On the loop's clock.
	checked int64
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
	flags Flags
}

// newcomer reports whether the subscriber has yet to be told where it stands. One
// that is held again has a position, and may lack what entered before from.
func (m *member) newcomer() bool { return m.flags&Held != 0 && m.epoch == 0 }

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
	s := &Shard{hub: h, loop: l}
	l.OnFlush(func() { s.offeredAt = h.clock() })
	return s
}

// Start gives the shard its owner, before the first subscriber.
func (s *Shard) Start(owner Owner) { s.owner = owner }

// Subscribe adds a stream to a channel whose interest the caller acquired; the
// shard drops it when the subscription ends. A stream that is in the channel
// already only changes its flags and position; then the caller keeps its
// reference, and added is false.
func (s *Shard) Subscribe(slot uint32, channel string, flags Flags, offset uint64, epoch uint32) (added bool) {
	if flags&Held != 0 && s.holds.Value(slot) == nil {
		s.holds.Set(slot, &hold{})
	}
	if m := s.find(slot, channel); m != nil {
		// What the interest counts stays as it is; so does the position
		// while nothing is delivered.
		m.flags = flags | m.flags&Delta
		if flags&Held == 0 {
			m.offset, m.epoch = offset, epoch
		}
		return false
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
	t.members = append(t.members, member{
		offset: offset, from: s.hub.Seq(), slot: slot, epoch: epoch, place: uint32(len(list)), flags: flags,
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

// Position returns where a positioned subscriber stands; ok is false if it is
// none, or has yet to be told.
func (s *Shard) Position(slot uint32, channel string) (offset uint64, epoch uint32, ok bool) {
	m := s.find(slot, channel)
	if m == nil || m.flags&Positioned == 0 || m.flags&Held != 0 && m.epoch == 0 {
		return 0, 0, false
	}
	return m.offset, m.epoch, true
}

// Deltas reports whether the stream negotiated deltas for the channel.
func (s *Shard) Deltas(slot uint32, channel string) bool {
	m := s.find(slot, channel)
	return m != nil && m.flags&Delta != 0
}

// Unsubscribe takes a stream out of a channel; it reports whether it was in.
func (s *Shard) Unsubscribe(slot uint32, channel string) bool {
	m := s.find(slot, channel)
	if m == nil {
		return false
	}
	s.remove(slot, int(m.place))
	s.refreshCursor(slot)
	if s.holds.Value(slot) != nil && !s.held(slot) {
		s.holds.Delete(slot) // nobody is left to open it
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
	flags := t.members[index].flags
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
	s.hub.Release(t.channel, s.loop.ID(), flags&Delta != 0)
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

// deliver queues an event for every subscriber of its channel.
func (s *Shard) deliver(d *delivery) {
	t := s.topics.Value(d.channel)
	if t == nil {
		return
	}
	if d.offset != 0 {
		t.checked = s.loop.Now()
	}
	sent := &s.stats.Sent[d.kind]
	w := t.walk()
	s.loop.Walk(&w.Walk, func() {
		for w.Next() {
			m := w.member()
			s.loop.Hand(m.slot)
			if m.flags == 0 && d.plain() && d.seq > m.from {
				sent.add(d.frame)
				s.loop.Send(m.slot, d.frame, loop.NoID)
				continue
			}
			s.deliverTo(t, m, d)
		}
	})
}

// memberWalk goes over the members of a topic from the last to the first: one whose
// stream ends on the way is replaced by one that had its turn.
type memberWalk struct {
	loop.Walk
	topic *topic
	n     int
}

func (t *topic) walk() memberWalk { return memberWalk{topic: t, n: len(t.members)} }

func (w *memberWalk) Next() bool { return w.Walk.Next(w.n) }

func (w *memberWalk) member() *member { return &w.topic.members[w.n-1-w.Step()] }

// deliverTo is the way of members that want more than the plain frame.
func (s *Shard) deliverTo(t *topic, m *member, d *delivery) {
	switch {
	case d.seq <= m.from && (m.flags&Positioned == 0 || s.hub.instant && m.newcomer() || d.offset == 0):
		// It was acknowledged before the subscriber came, so the history has
		// it, or it is older than what the history told.
	case m.flags&Held != 0:
		s.hold(t, m, d)
	case d.binary:
		s.owner.Inappropriate(s.loop.Ref(m.slot), t.channel)
	case d.kind != eventPublication:
		if m.flags&PushJoinLeave != 0 {
			s.stats.Sent[d.kind].add(d.frame)
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
		if f == nil {
			// The publication came before this subscriber's interest
			// in deltas, so before the client was told of anything:
			// its payload in another form must not be the first.
			m.flags &^= HasBase
			return
		}
	}
	s.stats.Sent[d.kind].add(f)
	if m.flags&OwnID != 0 && d.offset != 0 {
		s.sendOwn(m, f)
		return
	}
	if (d.drops || d.key != 0) && m.flags&needsAll == 0 {
		s.loop.SendLossy(m.slot, f, loop.Lossy{Class: t, Drops: d.drops, Key: d.key, Offset: d.offset})
		return
	}
	s.loop.Send(m.slot, f, mode)
}

// needsAll are the members that must get every publication: an override of a
// token or the API may have made them so in a namespace that leaves some out.
const needsAll = Positioned | Recoverable | Delta

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

// hold keeps an event until the stream opens.
func (s *Shard) hold(t *topic, m *member, d *delivery) {
	h := s.holds.Value(m.slot)
	h.bytes += d.frame.Len() + holdCost
	if h.bytes > s.hub.opt.HoldMaxSize {
		s.owner.Insufficient(s.loop.Ref(m.slot), t.channel)
		return
	}
	h.items = append(h.items, heldItem{t, d})
}

// FirstHeld returns the offset and the epoch of the first publication that is held
// for a stream in a channel, 0 if there is none.
func (s *Shard) FirstHeld(slot uint32, channel string) (offset uint64, epoch uint32) {
	if h := s.holds.Value(slot); h != nil {
		for _, it := range h.items {
			if it.d.offset != 0 && it.topic.channel == channel {
				return it.d.offset, it.d.epoch
			}
		}
	}
	return 0, 0
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
	// From is Hub.Seq after the history was read: what entered before and has
	// no offset would come behind younger publications. 0 for a subscriber that
	// was in the channel all the time.
	From uint64
}

// Open ends the hold of subscriptions: they take their positions and what was
// held behind these is sent, in the order in which it came, out of the limit of the
// stream's queue: Options.HoldMaxSize bounds it. The caller has queued what tells the
// client of the subscriptions before.
func (s *Shard) Open(ref loop.Ref, at []Opened) {
	for i := range at {
		if m := s.find(ref.Slot, at[i].Channel); m != nil {
			m.offset, m.epoch, m.from = at[i].Offset, at[i].Epoch, max(m.from, at[i].From)
			m.flags = at[i].Flags&^Held | m.flags&Delta
		}
	}
	s.refreshCursor(ref.Slot)
	h := s.holds.Value(ref.Slot)
	if h == nil {
		return
	}
	items := h.items
	s.holds.Delete(ref.Slot)
	if s.held(ref.Slot) {
		s.holds.Set(ref.Slot, &hold{})
	}
	s.loop.Opening(func() {
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
	})
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
