package hub

import (
	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/loop"
)

// A checkpoint tells subscribers with [Checkpoints] where their channel stands, in a block
// of its own that all of them share. It passes the lane of the channel like a publication,
// so it stands at the same place among these for every subscriber of every loop, and
// whoever has read it has read all up to its position.
//
// A lane notes where the channels stand that it was told to track. It knows that from the
// first publication behind Track on, or from what the engine said (broker.Sink: Resynced);
// for a quiet channel from Settle.

// Mark is where a channel stands.
type Mark struct {
	Offset uint64
	Epoch  uint32 // tag, 0 if that is not known
}

// Known reports whether the lane knew it.
func (m Mark) Known() bool { return m.Epoch != 0 }

// Track has the lane of a channel note where it stands, from what enters the Sink from now
// on. Any goroutine, turns included, as the other methods of this file.
func (h *Hub) Track(channel string) {
	h.tracked.Add(1)
	h.post(event{kind: eventTrack, channel: channel})
}

// Untrack ends that: the position is forgotten. The caller sees to the order of the two,
// and that each Track has one.
func (h *Hub) Untrack(channel string) {
	h.post(event{kind: eventUntrack, channel: channel})
	h.tracked.Add(-1)
}

// Settle says where a tracked channel stands in which nothing was published since Track: a
// top that was read behind it, when all that was published before has entered the Sink.
// What the lane knows better stays.
func (h *Hub) Settle(channel string, top broker.Position) {
	h.post(event{kind: eventSettle, channel: channel, top: top})
}

// Checkpoint sends one, a comment where the lane does not know the position, and tells
// Options.OnCheckpoint.
func (h *Hub) Checkpoint(channel string) {
	h.post(event{kind: eventCheckpoint, channel: channel, seq: h.seq.Add(1)})
}

// aboutMarks reports whether the event is for the lane alone.
func (k eventKind) aboutMarks() bool {
	return k == eventTrack || k == eventUntrack || k == eventSettle
}

// mark notes what an event says of where its channel stands.
func (ln *lane) mark(ev *event) {
	m := ln.marks[ev.channel]
	switch {
	case ev.kind == eventTrack:
		if ln.marks == nil {
			ln.marks = make(map[string]*Mark)
		}
		ln.marks[ev.channel] = &Mark{}
	case m == nil:
	case ev.kind == eventUntrack:
		if delete(ln.marks, ev.channel); len(ln.marks) == 0 {
			ln.marks = nil // a map keeps the size that it had
		}
	case ev.kind == eventPublication && ev.pub.Offset != 0:
		if e := EpochTag(ev.pub.Epoch); e != m.Epoch || ev.pub.Offset > m.Offset {
			*m = Mark{ev.pub.Offset, e}
		}
	case ev.kind == eventResynced, ev.kind == eventSettle && !m.Known():
		*m = Mark{ev.top.Offset, EpochTag(ev.top.Epoch)}
	case ev.kind == eventLost:
		*m = Mark{}
	case ev.kind == eventCheckpoint && ln.hub.opt.OnCheckpoint != nil:
		ln.hub.opt.OnCheckpoint(ev.channel, *m)
	}
}

// encodeCheckpoint makes the frame of a checkpoint.
func (ln *lane) encodeCheckpoint(d *delivery) {
	d.frame = codec.CommentFrame()
	if m := ln.marks[d.channel]; m != nil && m.Known() {
		d.offset, d.epoch = m.Offset, m.Epoch
		d.frame = codec.IDFrame(string(codec.AppendCursorEntry(ln.id[:0], codec.CursorEntry{
			Channel: codec.Tag32(d.channel), Epoch: d.epoch, Offset: d.offset,
		})))
	}
}

// checkpoint sends one to a subscriber, unless it shows that the subscriber has lost its
// place: it would be told a position that it never came to.
func (s *Shard) checkpoint(t *topic, m *member, d *delivery) {
	ref := s.loop.Ref(m.slot)
	if d.epoch != 0 && (d.epoch != m.epoch || d.offset > m.offset) {
		s.owner.Insufficient(ref, t.channel)
		return
	}
	s.loop.Send(m.slot, d.frame, loop.NoID)
	s.owner.Passed(ref, t.channel)
}
