package api

import (
	"sluice/codec"
	"sluice/gateway/session"
)

// unsubscribe is PROTOCOL 7.5. An empty channel means all of the target's
// channels, as the reference documents it; what it does is to unsubscribe
// nothing and to send a push without a channel (PROTOCOL 12.17).
func (s *Server) unsubscribe(c *call, r *codec.UnsubscribeRequest) *failure {
	if r.Channel != "" {
		if _, fail := s.lookup(r.Channel); fail != nil {
			return fail
		}
	}
	target := session.Target{User: r.User, Client: r.Client, Session: r.Session}
	silent, err := s.opt.Sessions.Unsubscribe(c.ctx, target, r.Channel)
	if err != nil {
		return internal(err)
	}
	c.without(silent)
	c.dst = codec.AppendEmptyResult(c.dst)
	return nil
}
