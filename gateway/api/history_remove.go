package api

import "sluice/codec"

// historyRemove is PROTOCOL 7.9. Offset and epoch stay.
func (s *Server) historyRemove(c *call, r *codec.HistoryRemoveRequest) *failure {
	if _, fail := s.hasHistory(r.Channel); fail != nil {
		return fail
	}
	if err := s.opt.Broker.RemoveHistory(c.ctx, r.Channel); err != nil {
		return historyFailure(err)
	}
	c.dst = codec.AppendEmptyResult(c.dst)
	return nil
}
