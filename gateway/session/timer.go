package session

import (
	"time"

	"sluice/codec"
	"sluice/gateway/loop"
)

// Timer implements loop.Handler: the session does what is due and asks for the
// next call.
func (a *Agent) Timer(ref loop.Ref) {
	s := a.table.get(ref)
	if s == nil {
		return
	}
	now := a.loop.Now()
	if s.opening != nil {
		a.end(ref, loop.ReasonStale, codec.DisconnectStale, closeWithin)
		return
	}
	if s.expireDue != 0 && s.expireDue <= now {
		a.expire(ref, s)
		if a.table.get(ref) == nil {
			return
		}
	}
	if s.pingAt != 0 && s.pingAt <= now {
		a.loop.Send(ref.Slot, codec.PingFrame, loop.NoID)
		s.pingAt = now + int64(a.m.opt.PingInterval)
	}
	a.arm(ref, s)
}

// arm asks for a timer at the session's first deadline.
func (a *Agent) arm(ref loop.Ref, s *session) {
	due := s.pingAt
	if s.expireDue != 0 && (due == 0 || s.expireDue < due) {
		due = s.expireDue
	}
	a.loop.SetTimer(ref.Slot, due)
}

// firstPing spreads the first pings over [interval/2, interval) (PROTOCOL 1.5).
func (a *Agent) firstPing() int64 {
	interval := int64(a.m.opt.PingInterval)
	if interval <= 0 {
		return 0
	}
	return a.loop.Now() + interval/2 + a.rand.Int64N(max(interval/2, 1))
}

// at returns when a Unix time with a delay behind it comes, on the loop's
// clock; 0 for none.
func (a *Agent) at(unix int64, delay time.Duration) int64 {
	if unix <= 0 {
		return 0
	}
	return max(a.loop.Now()+int64(time.Unix(unix, 0).Add(delay).Sub(a.loop.Time())), 1)
}

// schedule sets when the session, or the first of its subscriptions, expires.
func (a *Agent) schedule(s *session) {
	s.expireDue = a.at(s.expireAt, a.m.opt.ExpiredCloseDelay)
	for i := range s.subs {
		due := a.at(s.subs[i].expireAt, a.m.opt.ExpiredSubDelay)
		if due != 0 && (s.expireDue == 0 || due < s.expireDue) {
			s.expireDue = due
		}
	}
}

// expire ends a session that is due (PROTOCOL 4.5, 7.5).
func (a *Agent) expire(ref loop.Ref, s *session) {
	now := a.loop.Now()
	if due := a.at(s.expireAt, a.m.opt.ExpiredCloseDelay); due != 0 && due <= now {
		a.end(ref, loop.ReasonExpired, codec.DisconnectExpired, closeWithin)
		return
	}
	for i := range s.subs {
		if due := a.at(s.subs[i].expireAt, a.m.opt.ExpiredSubDelay); due != 0 && due <= now {
			a.end(ref, loop.ReasonExpired, codec.DisconnectSubExpired, closeWithin)
			return
		}
	}
	a.schedule(s)
}
