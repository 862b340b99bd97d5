package api

import (
	"sluice/codec"
	"sluice/gateway/session"
)

// unsubscribe is PROTOCOL 7.5. An empty channel is refused: in the reference it
// unsubscribes nothing and sends a push without a channel (PROTOCOL 12.17).
func (s *Server) unsubscribe(c *call, r *codec.UnsubscribeRequest) *failure {
	if _, fail := s.lookup(r.Channel); fail != nil {
		return fail
	}
	target := session.Target{User: r.User, Client: r.Client, Session: r.Session}
	if err := s.opt.Sessions.Unsubscribe(c.ctx, target, r.Channel); err != nil {
		return internal(err)
	}
	c.dst = codec.AppendEmptyResult(c.dst)
	return nil
}
