package api

import "sluice/codec"

// presenceStats is PROTOCOL 7.8.
func (s *Server) presenceStats(c *call, r *codec.PresenceStatsRequest) *failure {
	if fail := s.hasPresence(r.Channel); fail != nil {
		return fail
	}
	stats, err := s.opt.Presence.Stats(c.ctx, r.Channel)
	if err != nil {
		return unreadPresence(err)
	}
	c.dst = codec.AppendPresenceStatsResult(c.dst, stats.Clients, stats.Users)
	return nil
}
