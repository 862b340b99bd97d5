package node

import (
	"time"

	"sluice/gateway/session"
)

// watchClock has the sessions look whether the wall clock was set, until done is
// closed.
func (node *Node) watchClock(done <-chan struct{}) {
	tick := time.NewTicker(session.ClockLook)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			node.sessions.CheckClock()
		}
	}
}
