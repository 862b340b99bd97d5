package sse

// Live are the options of a [Server] that may change while it serves; see
// [Server.Set].
type Live struct {
	// AllowAnonymous is client.allow_anonymous_connect_without_token.
	AllowAnonymous bool
	Insecure       bool   // client.insecure
	UserIDHeader   string // client.user_id_http_header
	// ConnectionRate is connects per second, 0 for no limit
	// (client.connection_rate_limit, PROTOCOL 12.11).
	ConnectionRate int
}

// inForce is Live with what it takes to keep to it. It is immutable.
type inForce struct {
	Live
	rate   *connectRate // nil without a limit
	delays *delays
}

// Set replaces the live options for connects from here on. Any goroutine, one at
// a time.
func (s *Server) Set(live Live) {
	next := &inForce{Live: live}
	if before := s.live.Load(); before != nil && before.ConnectionRate == live.ConnectionRate {
		// The same limit goes on: no burst, and no slot given away twice.
		next.rate, next.delays = before.rate, before.delays
	} else {
		next.delays = newDelays(live.ConnectionRate, s.opt.RetryMin, s.opt.RetryMax, s.opt.ShedMax)
		if live.ConnectionRate > 0 {
			next.rate = newConnectRate(live.ConnectionRate)
		}
	}
	s.live.Store(next)
}
