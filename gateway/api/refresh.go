package api

import (
	"sluice/codec"
	"sluice/gateway/session"
)

// refresh is PROTOCOL 7.7. An expire_at in the past is not refused: it expires
// the connections.
func (s *Server) refresh(c *call, r *codec.RefreshRequest) *failure {
	cmd := session.RefreshCommand{Expired: r.Expired, ExpireAt: r.ExpireAt}
	var fail *failure
	if cmd.Info, fail = s.attachment("info", r.Info, ""); fail != nil {
		return fail
	}
	target := session.Target{User: r.User, Client: r.Client, Session: r.Session}
	silent, err := s.opt.Sessions.Refresh(c.ctx, target, cmd)
	if err != nil {
		return internal(err)
	}
	c.without(silent)
	c.dst = codec.AppendEmptyResult(c.dst)
	return nil
}
