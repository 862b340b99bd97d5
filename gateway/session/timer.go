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
	if op := s.opening; op != nil {
		if !op.stale() {
			a.loop.SetTimer(ref.Slot, now+int64(patienceSlice(a.m.opt.StaleCloseDelay)))
			return
		}
		a.end(ref, loop.ReasonStale, codec.DisconnectStale, closeWithin)
		return
	}
	if s.expireDue != 0 && s.expireDue <= now {
		a.expire(ref, s)
		if a.table.get(ref) == nil {
			return
		}
	}
	if s.endsAt != 0 && s.endsAt.at() <= now {
		if s.endsAt&lifeWish != 0 {
			a.endBounded(ref)
		} else {
			a.endLife(ref)
		}
		return
	}
	if s.pingAt != 0 && s.pingAt <= now {
		a.sent(PushPing, codec.PingFrame.Len())
		a.loop.Push(ref.Slot, codec.PingFrame)
		if !a.loop.Live(ref) {
			return // it was the last event, or one too many
		}
		s.pingAt = now + int64(a.m.opt.PingInterval)
	}
	if s.tickAt != 0 && s.tickAt <= now {
		a.tick(ref, s)
		s.tickAt = now + int64(a.m.opt.PresenceUpdateInterval)
	}
	a.arm(ref, s)
}

// arm asks for a timer at the session's first deadline.
func (a *Agent) arm(ref loop.Ref, s *session) {
	due := earlier(earlier(s.pingAt, s.expireDue), earlier(s.tickAt, s.endsAt.at()))
	a.loop.SetTimer(ref.Slot, due)
}

// earlier returns the first of two deadlines, of which 0 is none.
func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// spread returns a first deadline within [interval/2, interval) from now, as
// PROTOCOL 1.5 wants it for pings, so that the streams of a herd of connects
// are not all due at once; 0 without an interval.
func (a *Agent) spread(interval time.Duration) int64 {
	if interval <= 0 {
		return 0
	}
	half := int64(interval) / 2
	return a.loop.Now() + half + a.rand.Int64N(max(half, 1))
}

// farAway is further ahead than any deadline that matters: later ones would
// overflow the loop's clock.
const farAway = 100 * 365 * 24 * time.Hour

// at returns when a Unix time with a delay behind it comes, on the loop's
// clock; 0 for none. It holds until the wall clock is stepped, see
// [Manager.CheckClock]. The delay is a span, but it hangs on a date, and is found
// anew with it.
func (a *Agent) at(unix int64, delay time.Duration) int64 {
	if unix <= 0 {
		return 0
	}
	wall := a.m.clock.read()
	away := time.Duration(min(unix-wall.Unix(), int64(farAway/time.Second))) * time.Second
	if away < farAway {
		away = time.Unix(unix, 0).Sub(wall)
	}
	return max(a.loop.Now()+int64(away+delay), 1)
}

// expiry returns when a connection expires, or its refresh hook is asked again,
// on the loop's clock; 0 for never, and while the hook is being asked.
func (a *Agent) expiry(s *session) int64 {
	if r := s.refresh; r != nil {
		if r.asking {
			return 0
		}
		if r.againAt != 0 && r.failed == s.expireAt {
			return r.againAt
		}
	}
	return a.at(s.expireAt, a.m.closeDelay())
}

// schedule sets when the session, or the first of its subscriptions, expires,
// and whether it has anything to look after.
func (a *Agent) schedule(s *session) {
	s.expireDue = a.expiry(s)
	ticks := false
	for i := range s.subs {
		s.expireDue = earlier(s.expireDue, a.at(s.subs[i].expireAt, a.m.opt.ExpiredSubDelay))
		ticks = ticks || s.subs[i].flags&(subPositioned|subRenamed) != 0
	}
	switch {
	case !ticks:
		s.tickAt = 0
	case s.tickAt == 0:
		s.tickAt = a.spread(a.m.opt.PresenceUpdateInterval)
	}
}

// expire ends a session that is due (PROTOCOL 4.5, 7.5).
func (a *Agent) expire(ref loop.Ref, s *session) {
	now := a.loop.Now()
	if due := a.expiry(s); due != 0 && due <= now {
		if a.m.opt.Refresh != nil {
			a.refresh(ref, s)
			a.schedule(s)
			return
		}
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
