package gateway

import (
	"time"

	"sluice/gateway/session"
)

// watchClock has the sessions look whether the wall clock was set, until done is
// closed.
func (g *Gateway) watchClock(done <-chan struct{}) {
	tick := time.NewTicker(session.ClockLook)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			g.sessions.CheckClock()
		}
	}
}
