package loop

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"sluice/gateway/testkit"
)

// What windows wait for a stream is paid by that stream, whatever it waits for.

// spent returns what a stream has used up since it last caught up.
func (r *holdRig) spent(c *client) int64 { return r.l.at(c.ref.Slot).spent }

// all returns what is left for all streams together, less than nothing if it is owed.
func (r *holdRig) all() int64 { return r.l.in.hold.all.balance(r.l.unheld()) }

// heldFor runs the loop for so long from a time on, with a window that waits.
func (r *holdRig) heldFor(from, d int64) (now int64) {
	r.t.Helper()
	r.window()
	for now = from; now < from+d; now += 10 * ms {
		require.False(r.t, r.at(now), "after %v", time.Duration(now-from))
	}
	return now
}

// A stream may have room for a window, and not for the next event: that it trickles is
// at its own cost all the same.
func TestALargeEventDoesNotWaitForWhoTrickles(t *testing.T) {
	for _, sizes := range []struct{ limit, first, next int }{{1 << 20, 900 << 10, 600 << 10}, {64 << 10, 20 << 10, 33 << 10}} {
		r := newHoldRig(t, 0, 50, Options{QueueMaxSize: sizes.limit, QueueMaxAge: 30 * time.Second})
		c := r.clients[0]
		s := r.l.at(c.ref.Slot)
		r.l.Send(c.ref.Slot, frameOf("", strings.Repeat("a", sizes.first)), NoID)
		for s.queue != 0 && !s.blocked {
			r.l.flushStream(c.ref.Slot)
		}
		r.l.Send(c.ref.Slot, frameOf("", "ping"), NoID)
		r.given++
		give(r.l, &parcel{size: sizes.next, run: func(*Loop) { r.ran++ }})
		now := began
		for ; !r.at(now); now += 100 * ms {
			require.Less(t, now-began, 3*patienceMax, "%+v", sizes)
			r.takes(c, 200)
		}
		require.GreaterOrEqual(t, now-began, patienceMax, "%+v", sizes)
		require.True(t, s.late)
	}
}

// All that a stream takes at once pays, in however many writes it leaves.
func TestAllThatAStreamTakesPays(t *testing.T) {
	for name, pair := range map[string]pairOf{"tcp": tcpPair, "tls": tlsPair} {
		t.Run(name, func(t *testing.T) {
			r := newHoldRig(t, 0, 10, Options{QueueMaxAge: time.Hour})
			c := adopt(t, r.l, pair, false)
			s := r.l.at(c.ref.Slot)
			c.fill(r.l, 16<<10)
			r.more(c, 2000, 16<<10)
			require.True(t, s.blocked)
			now := r.heldFor(began, 400*ms)
			buf := make([]byte, 1<<20)
			testkit.Eventually(t, func() bool {
				for n := 1; n > 0; {
					n, _ = readNow(c.conn, buf)
				}
				return writable(t, c.fd) // on a busy machine there is more to come
			}, "all to be read, and the socket to know")
			before := r.l.stats.Bytes
			setClock(r.l, now)
			r.l.handleReady(&event{slot: c.ref.Slot, gen: c.ref.Gen, writable: true})
			r.at(now)
			took := int64(r.l.stats.Bytes - before)
			require.Greater(t, took, int64(maxWriteBytes), "expected more than one write")
			want := max(400*ms-took*sec/freeRate, 0)
			require.InDelta(t, want, r.spent(c), float64(30*ms), "it took %d bytes", took)
			require.InDelta(t, patienceMax-want, r.patience(c), float64(30*ms))
		})
	}
}

// A socket that is asked and takes nothing has not paid, and will for all of it.
func TestWhoIsAskedAndTakesNothingPaysOnce(t *testing.T) {
	r := newHoldRig(t, 1, 10, Options{QueueMaxAge: time.Hour})
	c := r.clients[0]
	r.heldFor(began, 500*ms) // asked fifty times
	require.Equal(t, patienceMax, r.patience(c))
	r.drain(c)
	require.InDelta(t, patienceMax-500*ms, r.patience(c), float64(2*askEvery))
}

// However a stream ends within a wait, it has used up what the wait took.
func TestWhoEndsWithinAWaitPays(t *testing.T) {
	for name, end := range map[string]func(l *Loop, c *client){
		"cut":    func(l *Loop, c *client) { l.Cut(c.ref, ReasonClientGone) },
		"closed": func(l *Loop, c *client) { l.Close(c.ref, ReasonDisconnect, frameOf("", "bye"), time.Second) },
		"slow":   func(l *Loop, c *client) { l.slow(c.ref.Slot, ReasonSlowAge) },
	} {
		r := newHoldRig(t, 2, 10, Options{QueueMaxAge: time.Hour})
		now := r.heldFor(began, 800*ms)
		end(r.l, r.clients[0])
		end(r.l, r.clients[1]) // once for both
		require.True(t, r.at(now), name)
		require.InDelta(t, patienceMax-800*ms, r.all(), float64(2*askEvery), name)
	}
}

// What one has used up is taken when it leaves, not in a wait an hour later.
func TestWhoLeavesLaterPaysThen(t *testing.T) {
	r := newHoldRig(t, 2, 10, Options{QueueMaxAge: 10 * time.Hour})
	a, b := r.clients[0], r.clients[1]
	now := r.heldFor(began, 500*ms)
	r.more(a, 100, 500)
	r.drain(b)
	for r.l.behind(r.l.at(a.ref.Slot)) {
		r.takes(a, 4000)
	}
	require.True(t, r.at(now), "nobody is behind any more")
	spent := r.spent(a)
	require.Greater(t, spent, 400*ms)
	before := r.all()
	r.l.Cut(a.ref, ReasonClientGone)
	require.InDelta(t, before-spent, r.all(), float64(ms))
	now = began + 3600*sec
	setClock(r.l, now)
	require.Equal(t, patienceMax, r.all())
	r.putBehind(b, 500)
	now = r.heldFor(now, 20*ms)
	r.drain(b)
	require.True(t, r.at(now))
	require.Greater(t, r.all(), patienceMax-2*askEvery)
}

// A standstill of the process is no wait, for nobody.
func TestAStandstillWithinAWaitIsTakenFromNobody(t *testing.T) {
	r := newHoldRig(t, 1, 10, Options{QueueMaxAge: time.Hour})
	now := r.heldFor(began, 30*ms)
	r.l.still.stood = 5 * sec
	setClock(r.l, now+5*sec)
	r.l.fair = r.l.now - 5*sec
	r.drain(r.clients[0])
	pass(r.l)
	require.False(t, r.l.in.hold.on)
	require.Greater(t, r.all(), patienceMax-30*ms)
	require.Greater(t, r.patience(r.clients[0]), patienceMax-50*ms)
	require.LessOrEqual(t, r.l.stats.Held, 50*time.Millisecond)
}

// Those who come to hold windows up, one as soon as the other is late, hold them up for
// a part of the time.
func TestThoseWhoComeAgainHoldUpLittle(t *testing.T) {
	run := func(come bool) (took int64) {
		r := newHoldRig(t, 0, 40, Options{QueueMaxAge: time.Hour})
		now := began
		var stalls *client
		for range 300 {
			if come && (stalls == nil || r.l.at(stalls.ref.Slot).late) {
				if stalls != nil {
					r.l.Cut(stalls.ref, ReasonClientGone)
				}
				stalls = adopt(t, r.l, unixPair, true)
				r.putBehind(stalls, 500)
			}
			for r.window(); !r.at(now); now += 2 * ms {
				require.Less(t, now-began, 60*sec)
			}
			now += 10 * ms
		}
		return now - began
	}
	alone := run(false)
	require.Less(t, run(true), 3*alone+2*patienceMax)
}

// New streams have what is left, a little if nothing is, and less the more is owed.
func TestWhatNewcomersHave(t *testing.T) {
	var a allowance
	for _, x := range []struct{ balance, want int64 }{
		{patienceMax, patienceMax}, {300 * ms, 300 * ms}, {patienceLeast, patienceLeast}, {1, patienceLeast}, {0, patienceLeast},
		{-patienceMax / 2, patienceLeast / 2}, {-patienceMax, 0},
	} {
		a.set(began, x.balance)
		require.Equal(t, x.want, a.newcomer(began), "%v", time.Duration(x.balance))
	}
	a.owe(began, 3600*sec)
	require.Equal(t, -patienceMax, a.balance(began), "it is bounded")
	require.Zero(t, a.left(began))
	require.Zero(t, a.balance(began+patienceGrows*patienceMax))
}

// writable reports whether a socket takes bytes now.
func writable(t *testing.T, fd int) bool {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(fds, 0)
	require.NoError(t, err)
	return n > 0 && fds[0].Revents&unix.POLLOUT != 0
}
