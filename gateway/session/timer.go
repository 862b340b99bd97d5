package session

import (
	"sync/atomic"
	"time"

	"sluice/codec"
	"sluice/gateway/cluster"
	"sluice/gateway/loop"
	"sluice/gateway/presence"
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
		s.pingAt = now + int64(a.m.opt.PingInterval)
		if due := a.pingDue(ref.Slot); due > now {
			s.pingAt = due
		} else if a.ping(ref); !a.loop.Live(ref) {
			return // it was the last event, or one too many
		}
	}
	if s.tickAt != 0 && s.tickAt <= now {
		a.tick(ref, s)
		s.tickAt = now + int64(a.m.opt.PresenceUpdateInterval)
	}
	a.arm(ref, s)
}

// pingDue returns when a stream that says no more needs a ping, on the loop's clock; 0 for
// now. Why not now on one with a coding: a ping that clients are sent as an event takes the
// stream out of its group, and whatever they were sent last keeps them as well.
func (a *Agent) pingDue(slot uint32) int64 {
	said := a.loop.LastSaid(slot)
	if said == 0 || a.m.opt.PingStyle == codec.PingComment {
		return 0
	}
	return said + int64(a.m.opt.PingInterval)
}

// ping sends a ping in the style that is configured.
func (a *Agent) ping(ref loop.Ref) {
	padding := a.padded.Value(ref.Slot)
	f := a.pings[padding]
	if f == nil {
		f = codec.NewPing(a.m.opt.PingStyle, int(padding))
		a.pings[padding] = f
	}
	a.sent(PushPing, f.Len())
	if a.m.opt.PingStyle == codec.PingID {
		a.shard.Ping(ref.Slot, f)
	} else {
		a.loop.Push(ref.Slot, f)
	}
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

// renewsPerTTL is how often presence is told within its TTL that a client is still there:
// one call may fail, and another one be late.
const renewsPerTTL = 3

const (
	// renewSlices is in how many parts a loop renews its sessions, unless those would
	// be shorter than renewLeast.
	renewSlices = 200
	renewLeast  = 5 * time.Millisecond
	// RenewIdle is a tenth of an interval, in parts: who comes meanwhile was told of just now.
	RenewIdle = renewSlices / 10
	// renewMost is about how many changes a loop makes in one turn at the most, also
	// where it is late.
	renewMost = 4 * keeperBatch
)

// RenewEvery returns how often [Manager.Renew] is to be called, 0 for never: then nobody
// forgets who is not renewed. It does not change.
func (m *Manager) RenewEvery() (every time.Duration) {
	for _, interval := range m.renewIntervals() {
		if pace := renewPace(interval); every == 0 || pace > 0 && pace < every {
			every = pace
		}
	}
	return every
}

// renewPace is how often a walk goes on that takes so long in all.
func renewPace(interval time.Duration) time.Duration {
	return min(max(interval/renewSlices, renewLeast), interval)
}

// What is renewed, each at its own pace.
const (
	renewsPresence = iota
	renewsPlaces
	renewals // how many there are
)

// renewIntervals are how often each session is renewed, 0 for never.
func (m *Manager) renewIntervals() (every [renewals]time.Duration) {
	every[renewsPresence] = m.presence.TTL() / renewsPerTTL
	if m.limitsFleet() {
		every[renewsPlaces] = m.opt.placeTTL / renewsPerTTL
	}
	return every
}

// Renew has the loops tell presence, and the places of users, that those sessions are
// still there whose turn it is. Call it each RenewEvery, from one goroutine, while the
// loops run. While there is nobody, which it reports, RenewIdle times RenewEvery is often
// enough.
func (m *Manager) Renew() (idle bool) {
	if m.streams.Load() == 0 {
		return true
	}
	for _, a := range m.agents {
		for i := range a.renewing {
			if r := &a.renewing[i]; r.interval > 0 && r.due.CompareAndSwap(false, true) {
				a.loop.Post(r)
			}
		}
	}
	return false
}

// startRenewing makes the walks of the loop.
func (a *Agent) startRenewing() {
	visit := [renewals]func(*session, *renewal){renewsPresence: a.renewPresence, renewsPlaces: a.renewPlace}
	for i, interval := range a.m.renewIntervals() {
		r := &a.renewing[i]
		r.a, r.interval, r.visit = a, interval, visit[i]
	}
}

// renewing is a walk of a loop over its sessions, from the first slot to the last in each
// interval, and then again. It implements loop.Task: one step of the walk.
type renewing struct {
	// Immutable after startRenewing.
	a        *Agent
	interval time.Duration // 0: never
	visit    func(s *session, to *renewal)

	// Owned by the loop.
	place   loop.Walk // over the slots
	began   int64     // when the walk was at the first slot, on the loop's clock
	stepped int64     // when it went on last
	last    *renewal  // nil before the first

	// Atomic.
	due atomic.Bool // a task is on its way
}

// renewal is what one task tells the keeper.
type renewal struct {
	changes []presence.Change
	places  []cluster.PlaceChange

	// Atomic.
	made atomic.Bool // by the keeper, whatever came of it
}

// Run implements loop.Task: it renews the sessions whose turn it is.
func (r *renewing) Run(l *loop.Loop) {
	a := r.a
	r.due.Store(false)
	if r.last != nil && !r.last.made.Load() {
		return // presence is slow, or away: the walk waits for it
	}
	now, slots := l.Now(), len(a.table.slabs)<<slabBits
	if now-r.stepped < int64(renewPace(r.interval))*3/4 {
		return // the calls are in step with another walk, and few large steps cost less
	}
	r.stepped = now
	if r.began == 0 {
		r.began = now
	}
	passed := min(float64(now-r.began)/float64(r.interval), 1)
	due, next := int(passed*float64(slots)), &renewal{}
	l.Walk(&r.place, func() {
		for len(next.changes)+len(next.places) < renewMost && r.place.Next(due) {
			slot := uint32(r.place.Step())
			if s := a.table.at(slot); s.used {
				l.Hand(slot)
				r.visit(s, next)
			}
		}
	})
	if r.place.Step()+1 >= slots && passed >= 1 {
		r.place, r.began = loop.Walk{}, now
	}
	if len(next.changes)+len(next.places) > 0 {
		r.last = next
		a.keeper.Post(keeperOp{kind: opRenew, renewal: next})
	}
}

// renewPresence adds where a session is present, as it is now.
func (a *Agent) renewPresence(s *session, to *renewal) {
	client := ""
	for i := range s.subs {
		sub := &s.subs[i]
		if sub.flags&subPresent == 0 {
			continue
		}
		if client == "" {
			client = s.client.String()
		}
		sub.flags &^= subRenamed
		to.changes = append(to.changes, presence.Change{Channel: sub.channel, Info: s.clientInfoOf(sub, client)})
	}
}

// renewPlace adds the place that a session has among its user's.
func (a *Agent) renewPlace(s *session, to *renewal) {
	if s.holds&holdsPlace != 0 {
		to.places = append(to.places, cluster.PlaceChange{User: s.user, Client: s.client.String()})
	}
}
