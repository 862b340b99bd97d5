package hub

import (
	"time"

	"sluice/codec"
	"sluice/gateway/loop"
)

// streamCursor is the id text of a stream with several recoverable channels:
// one entry for each, patched in place as the positions move.
type streamCursor struct {
	text []byte
	// at is where the entry of each place of the stream begins, -1 for none.
	at []int32
	// sentAt is when an id was last sent, on the loop's clock: a cursor over
	// Options.CursorExactSize is told at most once in thinnedEvery.
	sentAt int64
}

// thinnedEvery is how often an id that is too long to ride on every event is
// sent. A cut may repeat the events behind the last one; it loses none.
const thinnedEvery = int64(time.Second)

// idBlock is the size of the blocks that id chunks are cut from.
const idBlock = 32 << 10

// refreshCursor decides anew how a stream's positions travel, after its
// subscriptions changed: not at all, in the id line that all subscribers of the
// one recoverable channel share, or in an id of the stream's own.
func (s *Shard) refreshCursor(slot uint32) {
	if !s.hub.opt.Cursors || int(slot) >= len(s.places) {
		return
	}
	list := s.places[slot]
	n := 0
	for _, p := range list {
		if p.recoverable() {
			n++
		}
	}
	for _, p := range list {
		m := &p.topic.members[p.index]
		switch {
		case !p.recoverable():
			m.route = routeNone
		case n == 1:
			m.route = routeShared
		default:
			m.route = routeOwn
		}
	}
	if n < 2 {
		s.cursors.Delete(slot)
		return
	}
	c := s.cursors.Value(slot)
	if c == nil {
		c = &streamCursor{}
		s.cursors.Set(slot, c)
	}
	c.text, c.at = c.text[:0], c.at[:0]
	for _, p := range list {
		if !p.recoverable() {
			c.at = append(c.at, -1)
			continue
		}
		c.at = append(c.at, int32(len(c.text)))
		c.text = p.appendCursor(c.text)
	}
}

// recoverable reports whether the place counts for the stream's cursor. One that
// is held has no position to tell yet, unless it had one before: then the client
// is still there, and a cursor without it would resume the channel from nowhere.
func (p place) recoverable() bool {
	m := &p.topic.members[p.index]
	return m.features.has(Recoverable) && !m.newcomer()
}

func (p place) appendCursor(dst []byte) []byte {
	m := &p.topic.members[p.index]
	return codec.AppendCursorEntry(dst, codec.CursorEntry{
		Channel: p.topic.tag, Epoch: m.epoch, Offset: m.offset,
	})
}

// sendOwn queues a publication with an id of the stream's own.
func (s *Shard) sendOwn(m *member, f *codec.Frame) {
	c := s.cursors.Value(m.slot)
	if !codec.SetCursorOffset(c.text, int(c.at[m.place]), m.offset) {
		s.refreshCursor(m.slot) // the offset has a digit more
	}
	if s.thinned(c) {
		if now := s.loop.Now(); now-c.sentAt < thinnedEvery {
			s.loop.Send(m.slot, f, loop.NoID)
			return
		}
		c.sentAt = s.loop.Now()
	}
	s.loop.SendOwnID(m.slot, f, s.idChunk(c.text, m.slot))
}

func (s *Shard) thinned(c *streamCursor) bool { return !s.hub.Exact(len(c.text)) }

// Exact reports whether a cursor of so many bytes rides on every event. Any goroutine.
func (h *Hub) Exact(size int) bool { return size <= h.opt.CursorExactSize }

// Thinned reports whether the last id that the stream was sent may be behind
// where it stands.
func (s *Shard) Thinned(slot uint32) bool {
	c := s.cursors.Value(slot)
	return c != nil && s.thinned(c)
}

// idChunk returns the end of an event, with the id line of a cursor, as a piece of the body
// of a stream. It is cut from a block shared by many, so that an event costs no allocation.
func (s *Shard) idChunk(text []byte, slot uint32) []byte {
	need := len(text) + codec.EventEndOverhead
	if cap(s.ids)-len(s.ids) < need {
		s.ids = make([]byte, 0, max(idBlock, need))
	}
	start := len(s.ids)
	s.ids = codec.AppendCodedEnd(s.ids, s.loop.Coding(slot), s.loop.Framing(slot), text)
	return s.ids[start:len(s.ids):len(s.ids)]
}

// SendWithCursor queues a push for one stream together with where the stream
// stands: its subscriptions have just changed, or it is told what it missed.
// step is the position of a channel whose hold is about to end, nil for none. The
// frame is an open one ([codec.EndOpenFrame]).
func (s *Shard) SendWithCursor(slot uint32, f *codec.Frame, step *Start) {
	if id := s.cursorChunk(slot, step); id != nil {
		s.loop.PushOwnID(slot, f, id)
		return
	}
	s.loop.Push(slot, f)
}

// Ping queues an open frame without an event, and where the stream stands behind its lines; nothing
// there if that is not to be told now, see AppendCursor.
func (s *Shard) Ping(slot uint32, f *codec.Frame) {
	s.scratch = s.AppendCursor(s.scratch[:0], slot)
	if len(s.scratch) == 0 {
		s.loop.Push(slot, f)
		return
	}
	if c := s.cursors.Value(slot); c != nil {
		c.sentAt = s.loop.Now()
	}
	s.loop.PushOwnID(slot, f, s.idChunk(s.scratch, slot))
}

// SendMissed is SendWithCursor for what a stream missed, which does not count for
// the limit of its queue; see loop.Loop.SendCharged.
func (s *Shard) SendMissed(slot uint32, f *codec.Frame, step *Start) {
	s.loop.SendCharged(slot, f, s.cursorChunk(slot, step))
}

// cursorChunk returns the id line of where a stream stands, nil if it has none.
func (s *Shard) cursorChunk(slot uint32, step *Start) []byte {
	if !s.hub.opt.Cursors {
		return nil
	}
	text := s.scratch[:0]
	if int(slot) < len(s.places) {
		for _, p := range s.places[slot] {
			if p.recoverable() && (step == nil || p.topic.channel != step.Channel) {
				text = p.appendCursor(text)
			}
		}
	}
	if step != nil && step.Features.has(Recoverable) {
		text = codec.AppendCursorEntry(text, codec.CursorEntry{
			Channel: codec.Tag32(step.Channel), Epoch: step.Epoch, Offset: step.Offset,
		})
	}
	s.scratch = text
	if len(text) == 0 {
		return nil
	}
	if c := s.cursors.Value(slot); c != nil {
		c.sentAt = s.loop.Now()
	}
	return s.idChunk(text, slot)
}

// AppendCursor appends where a stream stands, exactly, for the id line of its
// last event; nothing for a stream without a recoverable channel, or with one
// that is held for the first time: its position is not the stream's to tell yet,
// and a cursor without it would pass over what it missed.
func (s *Shard) AppendCursor(dst []byte, slot uint32) []byte {
	if !s.hub.opt.Cursors || int(slot) >= len(s.places) {
		return dst
	}
	start := len(dst)
	for _, p := range s.places[slot] {
		switch m := &p.topic.members[p.index]; {
		case !m.features.has(Recoverable):
		case !p.recoverable():
			return dst[:start]
		default:
			dst = p.appendCursor(dst)
		}
	}
	return dst
}
