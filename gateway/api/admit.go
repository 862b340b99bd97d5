package api

import (
	"fmt"

	"sluice/codec"
)

const (
	// commandCost and nameCost are what a command of a batch takes, decoded and with an
	// answer of its own, and what one channel of a broadcast does: measured, garbage
	// included.
	commandCost = 640
	nameCost    = 256
	legacyCost  = 192 // of the legacy endpoint, which decodes one after the other
)

// listing is what the requests of a method list.
type listing uint8

const (
	listsNothing  listing = iota
	listsTags             // and nothing else: a publish
	listsNames            // channels, or clients
	listsCommands         // and what they list
)

const (
	// smallBody is up to which length a body is not counted, unless it may list more than
	// it may: it cannot list much.
	smallBody = 4 << 10
	// nameBytes and tagBytes are the least that a name and a tag take in a body.
	nameBytes = 2
	tagBytes  = 5
	// commandBytes is the same of a command of the legacy endpoint.
	commandBytes = 2
)

// lists reports whether a body has to be counted before it is decoded: see admit.
func (s *Server) lists(m *method, body []byte) bool {
	switch m.lists {
	case listsNothing:
		return false
	case listsTags:
		return len(body)/tagBytes > s.opt.MaxNames
	}
	return len(body) >= smallBody || len(body)/nameBytes > min(s.opt.MaxCommands, s.opt.MaxNames)
}

// admit refuses a call that lists more than it may, and takes room for what it lists. Why
// before it is decoded: that takes a multiple of the body.
func (s *Server) admit(c *call, m *method, body []byte) (fail *failure) {
	if !s.lists(m, body) {
		return nil
	}
	l := codec.List(body, m.lists == listsCommands)
	switch {
	case l.Commands > s.opt.MaxCommands:
		fail = refuse(codec.ErrBadRequest, fmt.Sprintf("commands: at most %d expected (http_api.max_batch_commands), got %d", s.opt.MaxCommands, l.Commands))
	case l.Names > s.opt.MaxNames:
		fail = refuse(codec.ErrBadRequest, fmt.Sprintf("channels, tags or whitelist: at most %d in all expected (http_api.max_broadcast_channels), got %d", s.opt.MaxNames, l.Names))
	default:
		fail = c.hold.take(c.ctx, int64(l.Commands)*commandCost+int64(l.Names)*nameCost)
	}
	if fail != nil {
		m.errors[codeIndex(fail.err.Code)].Add(1)
		s.note(c.id, m.name, fail)
	}
	return fail
}
