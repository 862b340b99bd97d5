package api

import (
	"cmp"
	"errors"
	"slices"

	"sluice/codec"
	"sluice/gateway/presence"
)

// presenceItem is what a client takes in an answer beside what is known of it.
const presenceItem = 64

// presence is PROTOCOL 7.8; the clients come in the order of their ids.
func (s *Server) presence(c *call, r *codec.PresenceRequest) *failure {
	if fail := s.hasPresence(r.Channel); fail != nil {
		return fail
	}
	clients, err := s.opt.Presence.Presence(c.ctx, r.Channel)
	if err != nil {
		return unreadPresence(err)
	}
	clients = slices.SortedFunc(slices.Values(clients), func(a, b *codec.ClientInfo) int { return cmp.Compare(a.Client, b.Client) })
	size := 0
	for _, p := range clients {
		size += 2*len(p.Client) + len(p.User) + p.ConnInfo.Len() + p.ChanInfo.Len() + presenceItem
	}
	if fail := c.room(size); fail != nil {
		return fail
	}
	c.dst = codec.AppendPresenceResult(c.dst, clients)
	return nil
}

// hasPresence refuses channels whose namespace has no presence, whatever the
// override of a subscription says.
func (s *Server) hasPresence(ch string) *failure {
	o, fail := s.lookup(ch)
	if fail == nil && !o.Presence {
		return refuse(codec.ErrNotAvailable, "channel: a namespace with presence expected")
	}
	return fail
}

// unreadPresence is the failure of a call to what keeps presence.
func unreadPresence(err error) *failure {
	fail := internal(err)
	if errors.Is(err, presence.ErrUnavailable) {
		fail.detail = "presence cannot be read at present: the call may be made again"
	}
	return fail
}
