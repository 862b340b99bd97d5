package relay

import (
	"context"
	"time"

	"sluice/codec"
)

// This file decides what offsets mean: what is new, what came before, what is missing,
// and what cannot be.

// begin compares what the head of a stream says with what is here.
func (s *stream) begin(h *head) {
	s.last, s.dense, s.whole, s.told, s.private = h.from, h.told, h.top, h.told, h.private
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.kept.Epoch != "" && s.kept.Epoch != h.epoch:
		s.lastID = ""
		s.e.counters.epochs.Add(1)
		s.kept.restart(&s.e.memory, h.epoch, h.from)
		if s.lost(); !h.told {
			s.kept.known, s.placed = false, make(chan struct{})
		}
	case !s.kept.known:
		s.kept.Epoch = h.epoch
		if h.told {
			s.place(h.from)
		}
	case h.told && (h.from > s.kept.Top || h.private && h.top < s.kept.Top):
		s.skip(h.from)
	}
	s.arrived()
}

// place says where the channel is, of which nobody knew that. Under mu.
func (s *stream) place(top uint64) {
	s.kept.restart(&s.e.memory, s.epoch, top)
	close(s.placed)
}

// skip goes on at another offset than the one that has to come: what is before it will
// not come any more, or the origin has gone back. Under mu.
func (s *stream) skip(top uint64) {
	s.kept.restart(&s.e.memory, s.epoch, top)
	s.lost()
}

// lost tells subscribers of a gap. Under mu.
func (s *stream) lost() {
	s.e.counters.gaps.Add(1)
	s.e.sink.Lost(s.channel)
}

// arrived lets those go on who wait for what had been published before. Under mu.
func (s *stream) arrived() {
	if s.kept.known && (!s.told || s.kept.Top >= s.whole) {
		s.open(nil)
	}
}

// publication takes a publication, unless it came before.
func (s *stream) publication(p *codec.Publication) *failure {
	switch {
	case p.Offset == 0:
		return fail(endOffsets, "relay: a publication has no offset: the channel needs history at the origin")
	case s.dense && p.Offset != s.last+1:
		return fail(endOffsets, "relay: offset %d follows %d: each has to be one more than the one before", p.Offset, s.last)
	case p.Epoch != "" && p.Epoch != s.epoch:
		return fail(endEpoch, "relay: a publication is of another epoch than its stream")
	}
	s.last, s.dense = p.Offset, true
	credit, err := s.e.sink.Credit(s.ctx, p.Size())
	if err != nil {
		return fail(endCut, "relay: %w", context.Cause(s.ctx))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.kept.known:
		s.place(p.Offset - 1)
	case p.Offset <= s.kept.Top:
		credit.Release()
		s.e.counters.repeats.Add(1)
		return nil
	case p.Offset > s.kept.Top+1:
		s.skip(p.Offset - 1)
	}
	s.kept.append(&s.e.memory, p, s.keep, s.e.opt.ChannelMax, time.Now())
	s.e.counters.taken.Add(1)
	s.e.sink.Publication(s.channel, p, nil, credit)
	s.arrived()
	return nil
}

// gap takes what the origin says of publications that it does not have any more.
func (s *stream) gap(g *codec.Gap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.kept.known:
	case g.To > s.kept.Top:
		s.skip(g.To)
		s.arrived()
	case g.To == 0:
		s.lost()
	}
	s.dense = false
}

// checkpoint takes the id of a place. One that says where it is, is held against what
// came; one that does not is kept as any client keeps it.
func (s *stream) checkpoint(id string) *failure {
	entries, ok := codec.ParseCursor(nil, id, 1)
	if !ok {
		s.lastID = id
		return nil
	}
	at := entries[0]
	if at.Channel != codec.Tag32(s.channel) || at.Epoch != codec.Tag32(s.epoch) {
		s.e.counters.skipped.Add(1)
		return nil
	}
	if s.dense && at.Offset > s.last {
		return fail(endOffsets, "relay: a checkpoint is at offset %d, and the last publication had %d", at.Offset, s.last)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.kept.known:
		s.place(at.Offset)
	case at.Offset > s.kept.Top, s.private && at.Offset < s.kept.Top:
		s.skip(at.Offset)
	}
	s.last, s.dense = max(s.last, at.Offset), true
	if at.Offset == s.kept.Top {
		s.lastID = id
	}
	s.kept.expire(&s.e.memory, time.Now())
	s.arrived()
	return nil
}
