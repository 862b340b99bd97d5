package api

import "sluice/codec"

// nodeItem is about what a node takes in an answer.
const nodeItem = 1 << 10

// info is PROTOCOL 7.10.
func (s *Server) info(c *call, _ *codec.InfoRequest) *failure {
	nodes, silent, err := s.opt.Sessions.Nodes(c.ctx)
	if err != nil {
		return internal(err)
	}
	c.without(silent)
	if fail := c.room(len(nodes) * nodeItem); fail != nil {
		return fail
	}
	results := make([]codec.NodeResult, 0, len(nodes))
	for _, n := range nodes {
		results = append(results, codec.NodeResult{
			UID: n.UID, Name: n.Name, Version: n.Version,
			Clients: n.Counts.Clients, Users: n.Counts.Users,
			Channels: n.Counts.Channels, Subscriptions: n.Counts.Subscriptions,
			Seconds: n.Uptime, Metrics: n.Metrics,
		})
	}
	c.dst = codec.AppendInfoResult(c.dst, results)
	return nil
}
