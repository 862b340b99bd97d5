package session

import (
	"sync/atomic"
	"time"
)

// Two clocks tell the time here. The expiry of connections and subscriptions is
// wall time: it is a date that a backend wrote into a token or a command, and the
// check at connect compares it with the same clock. All else is a span and
// follows the loop's clock, which nobody can set: pings, lifetime, ticks,
// retries, deadlines of calls.
//
// A timer can only be set on the loop's clock. So what was set for an expiry is
// wrong once the wall clock was stepped: by an operator, by NTP after a boot, or
// by a machine that slept, whose monotonic clock stood still.
//
// Why one look a second for the node, and then a walk over the sessions of each
// loop: it costs a stream that is open nothing, neither time nor a byte, and a
// token that has expired by the clock of the wall is noticed within about a
// second. A bounded timer for each session that expires would wake all of them
// for ever, for a thing that happens once a year.
const (
	// ClockLook is how often [Manager.CheckClock] is to be called.
	ClockLook = time.Second
	// clockStep is by how much the two clocks may differ from what deadlines
	// were found by. It is well above what lies between two readings, and
	// below what a date in whole seconds can mean. Clocks that are slewed stay
	// together, for both are.
	clockStep = 500 * time.Millisecond
)

// wallClock is the wall clock, and what is known of its steps.
type wallClock struct {
	// Immutable after newWallClock.
	now   func() time.Time // time.Now, but in tests
	start time.Time        // of the monotonic clock that it is compared with

	// Atomic.
	ahead   atomic.Int64 // of the monotonic clock, in ns, by which deadlines were found
	stepped atomic.Bool  // somebody has seen another one since
}

func newWallClock(now func() time.Time) *wallClock {
	if now == nil {
		now = time.Now
	}
	c := &wallClock{now: now, start: time.Now()}
	_, ahead := c.look()
	c.ahead.Store(ahead)
	return c
}

// look reads both clocks, and returns by how much the wall's is ahead of the
// monotonic one. It reads again if it was interrupted in between: who was stopped
// there would take the pause for a step, and walk over all sessions for nothing.
func (c *wallClock) look() (wall time.Time, ahead int64) {
	for range 3 {
		before := time.Since(c.start)
		wall = c.now()
		after := time.Since(c.start)
		ahead = wall.UnixNano() - int64(after)
		if after-before < clockStep/4 {
			break
		}
	}
	return wall, ahead
}

// read returns the wall time, and notes whether the clock was stepped: what is
// found by a clock that is set right again before anybody looks must be found
// anew too. Any goroutine.
func (c *wallClock) read() time.Time {
	wall, ahead := c.look()
	c.compare(ahead)
	return wall
}

func (c *wallClock) compare(ahead int64) {
	if d := ahead - c.ahead.Load(); d >= int64(clockStep) || d <= -int64(clockStep) {
		c.stepped.Store(true)
	}
}

// step reports whether deadlines have to be found anew, from here on by what the
// clock says now. One goroutine.
func (c *wallClock) step() bool {
	_, ahead := c.look()
	c.compare(ahead)
	if !c.stepped.Swap(false) {
		return false
	}
	c.ahead.Store(ahead)
	return true
}

// CheckClock looks whether the wall clock was stepped. If it was, all that
// expires is given its deadline anew, a few sessions at a time. Call it each
// [ClockLook], from one goroutine, while the loops run.
func (m *Manager) CheckClock() {
	if !m.clock.step() {
		return
	}
	m.opt.Log.Info("the clock was set: expiry follows it")
	for _, l := range m.group.Loops {
		l.Post(m.agent(l).rescheduling())
	}
}

// rescheduling gives the sessions of a loop their deadlines anew. Those that are opened
// meanwhile find theirs by the new clock themselves.
func (a *Agent) rescheduling() *tableWalk {
	return &tableWalk{a: a, visit: func(slot uint32, s *session) {
		if s.opening == nil && s.expires() {
			a.schedule(s)
			a.arm(a.loop.Ref(slot), s)
		}
	}}
}

// expires reports whether anything of a session does.
func (s *session) expires() bool {
	if s.expireAt > 0 {
		return true
	}
	for i := range s.subs {
		if s.subs[i].expireAt > 0 {
			return true
		}
	}
	return false
}
