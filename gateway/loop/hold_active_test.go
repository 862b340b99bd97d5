package loop

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Those that set the pace are the streams that deliveries go to, now.

// expectActive checks how many streams count, in this span and in the one before.
func (r *holdRig) expectActive(now, before int) {
	r.t.Helper()
	require.Equal(r.t, [2]int{now, before}, r.l.in.hold.active)
}

// A stream that ends within a delivery is sent its end in it: that is not a delivery.
func TestWhoEndsWithinADeliveryDoesNotCount(t *testing.T) {
	t.Run("closed", func(t *testing.T) {
		r := newHoldRig(t, 0, 100, Options{})
		r.l.in.hold.active = [2]int{}
		give(r.l, funcTask(func(l *Loop) {
			for _, c := range r.clients {
				l.Close(c.ref, ReasonDisconnect, frameOf("", "bye"), time.Second)
			}
		}))
		settleAt(r.l, began)
		r.expectActive(0, 0)
	})
	t.Run("slow", func(t *testing.T) {
		r := newHoldRig(t, 0, 1, Options{QueueMaxSize: 20 << 10, QueueMaxAge: time.Hour})
		r.l.opt.SlowFrame = frameOf("", "slow")
		r.l.in.hold.active = [2]int{}
		c := r.clients[0]
		c.fill(r.l, 500)
		give(r.l, &parcel{size: 1, run: func(l *Loop) {
			for l.Live(c.ref) {
				l.Send(c.ref.Slot, frameOf("", strings.Repeat("x", 1000)), NoID)
			}
		}})
		settleAt(r.l, began)
		require.EqualValues(t, 1, r.l.stats.Closes[ReasonSlowBytes])
		r.expectActive(0, 0)
	})
}

// An event that takes the place of another one is a delivery, too.
func TestWhoIsSentTheLatestCounts(t *testing.T) {
	r := newHoldRig(t, 0, 1, Options{QueueMaxSize: 1 << 20, QueueMaxAge: time.Hour})
	r.l.in.hold.active = [2]int{}
	c := r.clients[0]
	c.fill(r.l, 500)
	src := &source{"s"}
	latest := func(l *Loop) { l.SendLossy(c.ref.Slot, frameOf("", "latest"), Lossy{Class: src, Key: 7, Drops: true}) }
	latest(r.l)
	r.expectActive(0, 0)
	give(r.l, &parcel{size: 1, run: latest})
	for range 2 {
		pass(r.l)
	}
	require.EqualValues(t, 1, r.l.stats.Conflated)
	r.expectActive(1, 0)
}

// A delivery that panicked is not being queued any more: what tasks send behind it is
// none.
func TestWhatIsSentBehindAPanicDoesNotCount(t *testing.T) {
	r := newHoldRig(t, 0, 10, Options{})
	r.l.in.hold.active = [2]int{}
	give(r.l, &parcel{size: 1, run: func(*Loop) { panic("once") }})
	setClock(r.l, began)
	for pass(r.l) {
	}
	require.EqualValues(t, 1, r.l.stats.Panics)
	for _, c := range r.clients {
		r.l.Send(c.ref.Slot, frameOf("", "ping"), NoID)
	}
	r.expectActive(0, 0)
	require.Zero(t, r.l.in.sent)
}

// Who was sent something an hour ago is not one of those that deliveries go to; and
// before anything is known, all are.
func TestSpansOfSilenceAreForgotten(t *testing.T) {
	r := newHoldRig(t, 0, 40, Options{QueueMaxAge: time.Hour})
	r.l.in.hold.active = [2]int{}
	require.False(t, r.l.areMost(20))
	require.True(t, r.l.areMost(21))
	r.window()
	require.True(t, r.at(began))
	r.expectActive(40, 0)
	r.clients = r.clients[:10]
	r.window()
	require.True(t, r.at(began+3600*sec))
	r.expectActive(10, 0)
	require.True(t, r.l.areMost(6))
}

// Nothing is delivered in a wait: those that are waited for are not forgotten in it.
func TestWaitsAreNoSpansOfSilence(t *testing.T) {
	r := newHoldRig(t, 0, 40, Options{QueueMaxAge: time.Hour})
	r.window()
	require.True(t, r.at(began))
	r.putBehind(r.clients[0], 500)
	now := r.heldFor(began+10*ms, patienceMax)
	for ; !r.at(now); now += 10 * ms {
		require.Less(t, now-began, 10*patienceMax)
	}
	require.Greater(t, now-began, activeSpan)
	require.GreaterOrEqual(t, max(r.l.in.hold.active[0], r.l.in.hold.active[1]), 39)
}

// Whoever is gone, or late, is not one of those that set the pace.
func TestWhoIsGoneDoesNotCount(t *testing.T) {
	r := newHoldRig(t, 0, 6, Options{})
	r.l.in.hold.active = [2]int{}
	count := func() {
		for _, c := range r.clients[:4] {
			r.l.activate(r.l.at(c.ref.Slot))
		}
	}
	count()
	r.expectActive(4, 0)
	r.l.Cut(r.clients[0].ref, ReasonClientGone)
	r.expectActive(3, 0)
	r.clients = r.clients[1:]
	setClock(r.l, began+activeSpan)
	r.l.countActive()
	r.expectActive(0, 3)
	count() // the fourth had nothing before
	r.expectActive(4, 3)
	r.l.gone(r.l.at(r.clients[0].ref.Slot)) // in both
	r.expectActive(3, 2)
	r.l.gone(r.l.at(r.clients[3].ref.Slot)) // in this one
	r.expectActive(2, 2)
	setClock(r.l, began+2*activeSpan)
	r.l.countActive()
	r.l.Cut(r.clients[1].ref, ReasonClientGone) // in the one before
	r.expectActive(0, 1)
	setClock(r.l, began+3*activeSpan)
	r.l.countActive()
	r.l.Cut(r.clients[2].ref, ReasonClientGone) // in none
	r.expectActive(0, 0)
}

// Patience is short where windows have waited most of the time, but not if it was for most
// of the streams in turn. Who has gone since does not count, nor who was waited for long ago.
func TestPatienceIsWholeWhereMostAreWaitedForInTurn(t *testing.T) {
	r := newHoldRig(t, 0, 10, Options{QueueMaxAge: time.Hour})
	l, h := r.l, &r.l.in.hold
	h.drained = l.unheld() // they did
	wait := func(n int) {
		for _, c := range r.clients[:n] {
			l.countWaited(l.at(c.ref.Slot))
			l.countWaited(l.at(c.ref.Slot)) // once
		}
	}
	wait(5)
	require.Equal(t, patienceMax/2, l.shorten(patienceMax))
	wait(6)
	require.Equal(t, patienceMax, l.shorten(patienceMax))
	next := func() { // a span later, of which deliveries to all were a part
		h.spanned = l.fair - activeSpan
		l.countActive()
		h.active = [2]int{0, 10}
		h.drained = l.unheld()
	}
	next()
	require.Equal(t, patienceMax, l.shorten(patienceMax))
	wait(2)
	require.Equal(t, [2]int{2, 6}, h.waited)
	l.deactivate(l.at(r.clients[0].ref.Slot)) // counted in both
	require.Equal(t, [2]int{1, 5}, h.waited)
	l.deactivate(l.at(r.clients[5].ref.Slot)) // in the one before
	require.Equal(t, [2]int{1, 4}, h.waited)
	l.deactivate(l.at(r.clients[9].ref.Slot)) // in none
	require.Equal(t, [2]int{1, 4}, h.waited)
	require.Equal(t, patienceMax/2, l.shorten(patienceMax))
	wait(9)
	require.Equal(t, patienceMax, l.shorten(patienceMax))
	next()
	next()
	require.Equal(t, [2]int{}, h.waited)
	require.Equal(t, patienceMax/2, l.shorten(patienceMax))
}

// What a wait takes from a stream counts it, and what it ends or gives up does not.
func TestWhoPaysCountsAsWaitedFor(t *testing.T) {
	r := newHoldRig(t, 1, 10, Options{QueueMaxAge: time.Hour})
	r.window()
	for now := began; r.l.in.hold.waited == [2]int{} && r.l.stats.GivenUp == 0; now += 10 * ms {
		r.at(now)
		r.l.pay(r.l.at(r.clients[0].ref.Slot))
	}
	require.Equal(t, [2]int{1, 0}, r.l.in.hold.waited)
	r.l.gone(r.l.at(r.clients[0].ref.Slot))
	require.Equal(t, [2]int{}, r.l.in.hold.waited)
}

// The short number of a span comes again after a while: counts stay above 0.
func TestAnOldSpanTakesNothingOut(t *testing.T) {
	r := newHoldRig(t, 0, 10, Options{QueueMaxAge: time.Hour})
	l, h := r.l, &r.l.in.hold
	for _, c := range r.clients {
		l.countWaited(l.at(c.ref.Slot))
	}
	h.span, h.waited = h.span+255, [2]int{}
	for _, c := range r.clients {
		l.deactivate(l.at(c.ref.Slot))
	}
	require.Equal(t, [2]int{}, h.waited)
}
