package session

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/auth"
	"sluice/gateway/channel"
	"sluice/gateway/loop"
	"sluice/gateway/presence"
)

// dueIn returns how far ahead the deadlines of all sessions are.
func (r *rig) dueIn() (in []time.Duration) {
	r.do(func(a *Agent) {
		a.each(func(_ loop.Ref, s *session) {
			in = append(in, time.Duration(s.expireDue-a.loop.Now()))
		})
	})
	return in
}

func requireAbout(t *testing.T, want, got time.Duration) {
	t.Helper()
	require.InDelta(t, want.Seconds(), got.Seconds(), testPatience.Seconds())
}

// A token that is good for two hours is so by the clock on the wall: TRIAL 3.
func TestExpiryFollowsAWallClockThatIsSetForward(t *testing.T) {
	r := newRig(t, nil, nil)
	c := r.open(t, &auth.Identity{ExpireAt: time.Now().Add(2 * time.Hour).Unix()})
	c.expect(t, `"connect"`)
	r.wall.set(3 * time.Hour)
	r.CheckClock()
	c.expect(t, `"code":3005`)
}

func TestExpiryOfASubscriptionFollowsTheWallClock(t *testing.T) {
	r := newRig(t, nil, nil)
	g := grant("news", channel.Options{})
	g.ExpireAt = time.Now().Add(2 * time.Hour).Unix()
	c := r.open(t, &auth.Identity{}, g)
	c.expect(t, `"connect"`)
	r.wall.set(3 * time.Hour)
	r.CheckClock()
	c.expect(t, `"code":3006`)
}

func TestExpiryFollowsAWallClockThatIsSetBackAndForth(t *testing.T) {
	r := newRig(t, nil, nil)
	before := r.open(t, &auth.Identity{ExpireAt: time.Now().Add(2 * time.Hour).Unix()})
	before.expect(t, `"connect"`)
	r.wall.set(-3 * time.Hour)
	r.CheckClock()
	requireAbout(t, 5*time.Hour, r.dueIn()[0])
	meanwhile := r.open(t, &auth.Identity{ExpireAt: time.Now().Add(2 * time.Hour).Unix()})
	meanwhile.expect(t, `"connect"`)
	requireAbout(t, 5*time.Hour, r.dueIn()[1])
	r.wall.set(0)
	r.CheckClock()
	for _, in := range r.dueIn() {
		requireAbout(t, 2*time.Hour, in)
	}
}

// A clock that is set wrong and right again between two looks leaves no session
// with a deadline of the wrong one.
func TestExpiryIsFoundAnewAfterAStepThatNoLookMet(t *testing.T) {
	r := newRig(t, nil, nil)
	r.wall.set(-3 * time.Hour)
	c := r.open(t, &auth.Identity{ExpireAt: time.Now().Add(2 * time.Hour).Unix()})
	c.expect(t, `"connect"`)
	r.wall.set(0)
	requireAbout(t, 5*time.Hour, r.dueIn()[0])
	r.CheckClock()
	requireAbout(t, 2*time.Hour, r.dueIn()[0])
}

// Pings, lives and ticks are spans: the wall clock is nothing to them.
func TestSpansDoNotFollowTheWallClock(t *testing.T) {
	r := newRig(t, nil, func(o *Options) { o.PingInterval, o.MaxLifetime = time.Hour, 10*time.Hour })
	c := r.open(t, &auth.Identity{ExpireAt: time.Now().Add(2 * time.Hour).Unix()}, grant("pos", channel.Options{ForcePositioning: true}))
	c.expect(t, `"connect"`)
	type spans struct {
		ping, tick int64
		ends       lifeTick
	}
	read := func() (s spans) {
		r.do(func(a *Agent) {
			a.each(func(_ loop.Ref, of *session) { s = spans{of.pingAt, of.tickAt, of.endsAt} })
		})
		return s
	}
	before := read()
	require.NotZero(t, before.ping)
	require.NotZero(t, before.tick)
	require.NotZero(t, before.ends)
	r.wall.set(time.Hour)
	r.CheckClock()
	requireAbout(t, time.Hour, r.dueIn()[0])
	require.Equal(t, before, read())
}

// Many sessions get their deadlines anew in slices, and those that do not expire
// are left alone.
func TestAStepReachesEverySession(t *testing.T) {
	r := newRig(t, nil, nil)
	const slots = 3*walkSlabs*slabSize + 1
	r.do(func(a *Agent) { // sessions without a stream: the walk sees only the table
		for i := range uint32(slots) {
			a.table.at(i)
		}
	})
	c := r.open(t, &auth.Identity{ExpireAt: time.Now().Add(2 * time.Hour).Unix()})
	c.expect(t, `"connect"`)
	task := r.agent.rescheduling()
	runs := 0
	r.do(func(a *Agent) {
		all := len(a.table.slabs) << slabBits
		require.Greater(t, all, slots-1)
		for next := 0; next < all; {
			next = min(next+walkSlabs<<slabBits, all)
			task.Run(a.loop)
			require.Equal(t, next-1, task.place.Step(), "one slice")
			runs++
		}
	})
	require.Equal(t, 4, runs)
	requireAbout(t, 2*time.Hour, r.dueIn()[0])
}

func TestSmallDifferencesAreNoStep(t *testing.T) {
	var wall steppedClock
	c := newWallClock(wall.now)
	require.False(t, c.step())
	wall.set(time.Hour)
	require.True(t, c.step())
	require.False(t, c.step(), "once")
	wall.set(-time.Hour)
	c.read()
	wall.set(time.Hour)
	require.True(t, c.step(), "somebody has seen it")
	require.False(t, c.step())
}

// A retry of a refresh hook is a span.
func TestRetryOfARefreshHookDoesNotFollowTheWallClock(t *testing.T) {
	r := newRig(t, nil, nil)
	c := r.open(t, &auth.Identity{ExpireAt: time.Now().Add(2 * time.Hour).Unix()})
	c.expect(t, `"connect"`)
	in := func() (d time.Duration) {
		r.do(func(a *Agent) {
			a.each(func(_ loop.Ref, s *session) { d = time.Duration(a.expiry(s) - a.loop.Now()) })
		})
		return d
	}
	r.do(func(a *Agent) {
		a.each(func(_ loop.Ref, s *session) {
			s.refresh = &refreshState{}
			a.again(s, 30*time.Minute)
		})
	})
	requireAbout(t, 30*time.Minute, in())
	r.wall.set(-3 * time.Hour)
	requireAbout(t, 30*time.Minute, in())
	r.do(func(a *Agent) {
		a.each(func(_ loop.Ref, s *session) { s.expireAt += 3600 })
	})
	requireAbout(t, 6*time.Hour, in())
}

// A step of the wall clock drops nobody from presence and tells nobody that it lost its
// place: neither follows a date.
func TestAStepOfTheWallClockHarmsNoLiveStream(t *testing.T) {
	r := newCheckingRig(t)
	g := positioned("room")
	g.Presence = true
	c := r.open(t, &auth.Identity{User: "u"}, g)
	require.NoError(t, <-c.opened)
	for i, by := range []time.Duration{3 * time.Hour, -3 * time.Hour, 0} {
		r.wall.set(by)
		r.CheckClock()
		text := fmt.Sprint("behind step ", i)
		r.publish(t, "room", text, 10)
		c.expect(t, text)
		r.checks(t, 3)
		st, err := r.presence.Stats(t.Context(), "room")
		require.NoError(t, err)
		require.Equal(t, presence.Stats{Clients: 1, Users: 1}, st)
		require.Equal(t, 1, r.Counts().Clients)
	}
}
