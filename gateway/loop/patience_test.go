package loop

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patient gives a stream so much patience.
func (r *holdRig) patient(c *client, n int64) {
	r.l.at(c.ref.Slot).patience.set(r.l.unheld(), n)
}

func (r *holdRig) patience(c *client) int64 {
	return r.l.at(c.ref.Slot).patience.left(r.l.unheld())
}

// Few streams have their patience, once.
func TestFewStreamsHaveTheirPatience(t *testing.T) {
	r := newHoldRig(t, 1, 10, Options{})
	r.patient(r.clients[0], 300*ms)
	r.waits(300 * ms)
	late := r.l.at(r.clients[0].ref.Slot)
	require.True(t, late.late)
	require.EqualValues(t, 1, r.l.stats.GivenUp)
	require.Zero(t, late.patience.left(r.l.unheld()))
	require.InDelta(t, patienceMax-300*ms, r.l.in.hold.all.left(r.l.unheld()), float64(2*askEvery))
	at := r.l.now
	for range 50 { // it is not waited for any more, though it takes something now
		r.takes(r.clients[0], 1000)
		r.more(r.clients[0], 10, 500)
		r.window()
		require.True(t, r.at(at))
	}
	require.EqualValues(t, 1, r.l.stats.Holds)
	r.drain(r.clients[0]) // it has caught up once
	require.False(t, late.late)
	r.putBehind(r.clients[0], 500)
	r.patient(r.clients[0], 50*ms)
	r.window()
	require.False(t, r.at(at+20*ms))
	require.EqualValues(t, 2, r.l.stats.Holds)
}

// What some use of their patience is not taken from that of others: whoever comes, and
// how many, those that read have theirs.
func TestPatienceIsNotUsedUpByOthers(t *testing.T) {
	r := newHoldRig(t, 0, 40, Options{QueueMaxAge: time.Hour})
	reads := r.clients[0]
	now := began
	for round := range 100 {
		trickles := adopt(t, r.l, unixPair, true)
		r.putBehind(trickles, 500)
		r.putBehind(reads, 500) // it does not read for a moment
		r.window()
		began := now
		for ; !r.at(now); now += 10 * ms {
			require.Less(t, now-began, patienceMax+patienceMax/10)
			r.takes(trickles, 2048)
			r.more(trickles, 4, 500)
			if now-began >= 50*ms {
				r.drain(reads)
			}
			require.False(t, r.l.at(reads.ref.Slot).late, "round %d", round)
		}
		require.True(t, r.l.at(trickles.ref.Slot).late, "round %d", round)
		if round > 10 {
			require.Less(t, now-began, 2*patienceLeast, "it began with little patience, as all had been used")
		}
		r.l.Cut(trickles.ref, ReasonDisconnect)
		now += 500 * ms // 50 of 550 ms are less than it grows by
		setClock(r.l, now)
	}
	require.Equal(t, patienceMax, r.patience(reads))
}

// Those that catch up in the end leave newcomers most of their patience: where one
// process reads for many streams they are late now and then, and so is who comes.
func TestWhoCatchesUpLeavesPatienceToThoseWhoCome(t *testing.T) {
	for _, catchUp := range []bool{true, false} {
		r := newHoldRig(t, 1, 10, Options{})
		r.window()
		for now := began; now < began+400*ms; now += 10 * ms {
			require.False(t, r.at(now))
		}
		if catchUp {
			r.drain(r.clients[0])
		} else {
			r.l.Cut(r.clients[0].ref, ReasonClientGone)
		}
		require.True(t, r.at(began+400*ms))
		used := 400 * ms
		if catchUp {
			used /= patienceGrows
		}
		require.InDelta(t, patienceMax-used, r.patience(adopt(t, r.l, unixPair, true)), float64(2*askEvery), "%v", catchUp)
	}
}

// Patience grows with time, to a most, and a new stream has as much as all together.
func TestPatienceGrowsWithTime(t *testing.T) {
	var a allowance
	a.set(began, 100*ms)
	require.Equal(t, 100*ms, a.left(began))
	require.Equal(t, 200*ms, a.left(began+400*ms))
	require.Equal(t, patienceMax, a.left(began+3600*sec))
	a.use(began+3600*sec, 30*ms)
	require.Equal(t, patienceMax-30*ms, a.left(began+3600*sec))
	a.use(began+3600*sec, sec)
	require.Zero(t, a.left(began+3600*sec), "expected no debt")
	r := newHoldRig(t, 0, 1, Options{})
	require.Equal(t, patienceMax, r.patience(r.clients[0]))
	r.l.in.hold.all.set(began, 300*ms)
	require.Equal(t, 300*ms, r.patience(adopt(t, r.l, unixPair, true)))
	r.l.in.hold.all.set(began, 0)
	require.Equal(t, patienceLeast, r.patience(adopt(t, r.l, unixPair, true)))
}

// spend leaves a stream no patience for a long time.
func (r *holdRig) spend(c *client) {
	r.l.at(c.ref.Slot).patience.set(r.l.unheld()+3600*sec, 0)
}

// What a stream paid for within a wait is no more than that, however long the wait is:
// the process may stand still in the midst of it.
func TestAStandstillWithinAWaitUsesUpNothing(t *testing.T) {
	r := newHoldRig(t, 2, 10, Options{QueueMaxAge: time.Hour})
	c := r.clients[0]
	r.more(c, 1000, 500)
	r.window()
	require.False(t, r.at(began))
	require.False(t, r.at(began+100*ms))
	r.takes(c, 1<<20) // it takes a part, and pays for 100 ms
	s := r.l.at(c.ref.Slot)
	paid := patienceMax - s.patience.left(r.l.unheld())
	require.InDelta(t, 100*ms, paid, float64(10*ms), "less what it took")
	// Five seconds later all that time was not the streams' fault.
	r.l.still.stood = 5 * sec
	setClock(r.l, began+5*sec+100*ms)
	r.l.fair = r.l.now - 5*sec
	pass(r.l)
	require.False(t, s.late)
	require.False(t, r.l.at(r.clients[1].ref.Slot).late)
	require.Zero(t, r.l.stats.GivenUp)
}
