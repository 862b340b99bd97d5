package api

import (
	"sluice/codec"
	"sluice/gateway/session"
)

// disconnect is PROTOCOL 7.6. The code that is asked for is not checked.
func (s *Server) disconnect(c *call, r *codec.DisconnectRequest) *failure {
	d := codec.DisconnectForceNoReconnect
	if r.Disconnect != nil {
		d = &codec.Disconnect{Code: r.Disconnect.Code, Reason: r.Disconnect.Reason}
	}
	target := session.Target{User: r.User, Client: r.Client, Session: r.Session}
	silent, err := s.opt.Sessions.Disconnect(c.ctx, target, r.Whitelist, d)
	if err != nil {
		return internal(err)
	}
	c.without(silent)
	c.dst = codec.AppendEmptyResult(c.dst)
	return nil
}
