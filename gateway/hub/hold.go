package hub

import (
	"slices"

	"sluice/gateway/loop"
)

// hold is what arrived for a stream while a subscription of it was held.
type hold struct {
	items []heldItem
	bytes int
}

type heldItem struct {
	topic *topic
	d     *delivery
	// news: it entered the Sink behind the subscriber. Asked when it is held: member.from
	// moves on when a command brings it forward.
	news bool
}

// hold keeps an event until the hold of the stream ends.
func (s *Shard) hold(t *topic, m *member, d *delivery) {
	s.keep(m, heldItem{t, d, d.seq > m.from})
}

func (s *Shard) keep(m *member, it heldItem) {
	h := s.holds.Value(m.slot)
	h.bytes += it.d.Size() + holdCost
	if h.bytes > s.hub.opt.HoldMaxSize {
		s.owner.Insufficient(s.loop.Ref(m.slot), it.topic.channel)
		return
	}
	h.items = append(h.items, it)
}

// drop forgets what is held in a channel.
func (h *hold) drop(channel string) {
	h.items = slices.DeleteFunc(h.items, func(it heldItem) bool {
		if it.topic.channel != channel {
			return false
		}
		h.bytes -= it.d.Size() + holdCost
		return true
	})
}

// FirstHeld returns the offset and the epoch of the first publication that is held for a
// stream in a channel and entered the Sink behind the subscriber, 0 if there is none. None
// is missing behind it. What entered before, and was late here, may have a hole behind
// it: what was published while nobody wanted the channel is not brought.
func (s *Shard) FirstHeld(slot uint32, channel string) (offset uint64, epoch uint32) {
	if h := s.holds.Value(slot); h != nil {
		for _, it := range h.items {
			if it.news && it.d.kind == eventPublication && it.d.offset != 0 && it.topic.channel == channel {
				return it.d.offset, it.d.epoch
			}
		}
	}
	return 0, 0
}

// holdCost is what a held event counts for beyond its frame.
const holdCost = 64

// Start is where a subscription stands when its hold ends: the position up to which the
// push that tells of it told everything.
type Start struct {
	Channel  string
	Offset   uint64
	Epoch    uint32
	Features Features
	HasBase  bool // the client has the payload that the next delta is made against
	// From is Hub.Seq after the history was read: what entered before and has
	// no offset would come behind younger publications. 0 for a subscriber that
	// was in the channel all the time.
	From uint64
	// Read is Hub.Seq before the history was read: what the engine said of the channel
	// up to then (see Shard.judge) is older than the position. 0 where the position is
	// not one that was read.
	Read uint64
}

// settled reports whether one of these positions was read after d entered the Sink.
func settled(at []Start, d *delivery) bool {
	for i := range at {
		if at[i].Channel == d.channel {
			return d.seq <= at[i].Read
		}
	}
	return false
}

// Activate ends the hold of subscriptions: they take their positions and what was
// held behind these is sent, in the order in which it came, out of the limit of the
// stream's queue: Options.HoldMaxSize bounds it. The caller has queued what tells the
// client of the subscriptions before.
func (s *Shard) Activate(ref loop.Ref, at []Start) {
	for i := range at {
		if m := s.find(ref.Slot, at[i].Channel); m != nil {
			m.offset, m.epoch, m.from = at[i].Offset, at[i].Epoch, max(m.from, at[i].From)
			m.features, m.state = at[i].Features|m.features&counted, 0
			if at[i].HasBase {
				m.state = stateHasBase
			}
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
			if d := items[i].d; d.frame == nil && settled(at, d) {
				continue
			}
			m := s.find(ref.Slot, items[i].topic.channel)
			switch {
			case m == nil:
			case m.held(): // another subscription, which goes on holding
				s.keep(m, items[i])
			default:
				s.deliverTo(items[i].topic, m, items[i].d)
			}
		}
	})
}

// held reports whether a subscription of the stream still holds.
func (s *Shard) held(slot uint32) bool {
	for _, p := range s.places[slot] {
		if p.topic.members[p.index].held() {
			return true
		}
	}
	return false
}
