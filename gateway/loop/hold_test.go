package loop

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// holdRig is a loop that never runs, whose clock is the test's, with streams of
// which the first ones are behind.
type holdRig struct {
	t       *testing.T
	l       *Loop
	clients []*client
	given   int
	ran     int
}

const (
	ms  = int64(time.Millisecond)
	sec = int64(time.Second)
	// began is the time of the first pass of a holdRig.
	began = 100 * sec
)

func newHoldRig(t *testing.T, behind, streams int, opt Options) *holdRig {
	t.Helper()
	if opt.QueueMaxSize == 0 {
		opt.QueueMaxSize = 1 << 30 // frames count, bytes do not
	}
	l, _ := bareLoop(t, opt)
	r := &holdRig{t: t, l: l}
	setClock(l, began)
	l.in.hold.spanned, l.in.hold.active = began, [2]int{0, streams}
	for range streams {
		r.clients = append(r.clients, adopt(t, l, unixPair, true))
	}
	for _, c := range r.clients[:behind] {
		r.putBehind(c, 500)
	}
	return r
}

// putBehind fills a stream's socket, and its queue.
func (r *holdRig) putBehind(c *client, size int) {
	r.t.Helper()
	c.fill(r.l, size)
	r.more(c, 2*behindItems, size)
	require.True(r.t, r.l.behind(r.l.at(c.ref.Slot)))
}

func (r *holdRig) more(c *client, frames, size int) {
	for range frames {
		r.l.Send(c.ref.Slot, frameOf("", strings.Repeat("b", size)), NoID)
	}
}

// at runs the loop at a time and reports whether everything given was taken.
func (r *holdRig) at(ns int64) (taken bool) {
	settleAt(r.l, ns)
	return r.ran == r.given
}

// window gives the loop a full window of deliveries, which all clients count as
// active for but are sent nothing of.
func (r *holdRig) window() {
	for range maxWindow {
		r.given++
		give(r.l, &parcel{size: 1, run: func(l *Loop) {
			r.ran++
			for _, c := range r.clients {
				if s := l.live(c.ref); s != nil {
					l.activate(s)
				}
			}
		}})
	}
}

// takes lets the client read once, and the loop learn of it.
func (r *holdRig) takes(c *client, bytes int) {
	buf := make([]byte, bytes)
	_, _ = readNow(c.conn, buf)
	if s := r.l.at(c.ref.Slot); s.blocked && r.l.waits(s) {
		r.l.handleReady(&event{slot: c.ref.Slot, gen: c.ref.Gen, writable: true})
	}
}

// drain reads all that is queued.
func (r *holdRig) drain(c *client) {
	r.t.Helper()
	for r.l.waits(r.l.at(c.ref.Slot)) {
		r.takes(c, 1<<20)
		for s := r.l.at(c.ref.Slot); s.queue != 0 && !s.blocked; {
			r.l.flushStream(c.ref.Slot)
		}
	}
}

// waits checks that the window is taken so long after the first pass, not before.
func (r *holdRig) waits(d int64) {
	r.t.Helper()
	r.window()
	for now := int64(0); now < d; now += 10 * ms {
		require.False(r.t, r.at(began+now), "expected a wait of %v, it ended by %v", time.Duration(d), time.Duration(now))
	}
	require.False(r.t, r.at(began+d-ms), "expected a wait of %v", time.Duration(d))
	late := askEvery + askEach*int64(len(r.clients)) + ms // it was just looked at
	require.True(r.t, r.at(began+d+late), "expected the end of the wait after %v", time.Duration(d))
	require.EqualValues(r.t, 1, r.l.stats.Holds)
	require.InDelta(r.t, d, r.l.stats.Held, float64(late))
	require.Zero(r.t, r.l.in.hold.wakeAt)
}

func TestNothingWaitsForStreamsThatAreNotBehind(t *testing.T) {
	r := newHoldRig(t, 0, 4, Options{})
	blocked := r.clients[0]
	blocked.fill(r.l, 500) // and one or two frames wait
	r.window()
	require.True(t, r.at(began))
	require.Zero(t, r.l.stats.Holds)
	// Its queue is what counts: bytes, too, if there is a limit to speak of.
	r.l.opt.QueueMaxSize = 64 << 10
	r.more(blocked, 5, 6<<10)
	r.window()
	require.False(t, r.at(began))
}

// While most streams are behind and take something, the pace is theirs, for a time.
func TestMostStreamsSetThePace(t *testing.T) {
	r := newHoldRig(t, 6, 10, Options{})
	r.window()
	for now := int64(0); now < majorityMax; now += sec / 4 {
		require.False(t, r.at(began+now), "after %v", time.Duration(now))
		r.gulp(6)
	}
	require.Zero(t, r.l.stats.GivenUp)
	for _, c := range r.clients[:6] {
		r.drain(c)
	}
	require.True(t, r.at(began+majorityMax), "they have caught up")
	require.Zero(t, r.l.stats.GivenUp)
	require.EqualValues(t, 1, r.l.stats.Holds)
}

// gulp lets the first n clients take something, and queues more for them.
func (r *holdRig) gulp(n int) {
	for _, c := range r.clients[:n] {
		r.takes(c, 4000)
		r.more(c, 8, 500)
	}
}

// From then on they are waited for as few are, and late in the end.
func TestAMajorityIsLateInTheEnd(t *testing.T) {
	r := newHoldRig(t, 6, 10, Options{QueueMaxAge: time.Hour})
	r.window()
	now := int64(0)
	for ; !r.at(began + now); now += 50 * ms {
		require.Less(t, now, 10*majorityMax)
		r.gulp(6)
	}
	require.Greater(t, now, majorityMax)
	require.EqualValues(t, 6, r.l.stats.GivenUp)
}

// Nor for longer than a stream may take nothing.
func TestMostStreamsSetThePaceForTheAgeOfAQueue(t *testing.T) {
	const age = 2 * sec
	r := newHoldRig(t, 6, 10, Options{QueueMaxAge: time.Duration(age)})
	r.window()
	for now := int64(0); now < age+sec; now += 50 * ms {
		require.False(t, r.at(began+now), "after %v", time.Duration(now))
		r.gulp(6)
	}
	require.Less(t, r.l.in.hold.most, began+age)
}

// A stream that takes nothing is waited for a moment, also if all are like it.
func TestNobodyWaitsForStreamsThatTakeNothing(t *testing.T) {
	f := func(behind, streams int, age time.Duration, want int64) {
		t.Helper()
		r := newHoldRig(t, behind, streams, Options{QueueMaxAge: age})
		r.waits(want)
		require.EqualValues(t, behind, r.l.stats.GivenUp)
		for range 50 { // it costs one wait
			r.window()
			require.True(t, r.at(began+want+ms))
		}
		require.EqualValues(t, 1, r.l.stats.Holds)
		for _, c := range r.clients[:behind] { // they are waited for again once they take something
			require.False(t, r.l.at(c.ref.Slot).late)
			r.takes(c, 1<<20)
			r.more(c, 2*behindItems, 500)
		}
		r.window()
		require.False(t, r.at(began+want+ms))
	}
	// Looked at every wheelTick, and longer where many may wait for their turn.
	f(40, 40, time.Hour, 1350*ms)
	f(10, 10, time.Hour, patienceMax)
	f(6, 10, time.Hour, patienceMax)
	f(40, 40, 5*time.Second, patienceMax)
}

// All streams are waited for some times as long as most took for the window.
func TestStreamsAreWaitedForByWhatOthersTook(t *testing.T) {
	for _, write := range []int64{10 * ms, 30 * ms, 100 * ms} {
		r := newHoldRig(t, 1, 10, Options{QueueMaxAge: time.Hour})
		r.l.in.wrote = write
		r.spend(r.clients[0])
		r.waits((freeFactor - 1) * write)
		require.EqualValues(t, 1, r.l.stats.GivenUp)
		require.Greater(t, r.l.in.hold.all.left(r.l.unheld()), patienceMax-2*askEvery, "that is free")
	}
}

// But not for longer than freeMax: majorities that take long do not multiply it.
func TestTheTimeForAllIsBounded(t *testing.T) {
	r := newHoldRig(t, 1, 10, Options{QueueMaxAge: time.Hour})
	r.l.in.hold.since, r.l.in.hold.most, r.l.in.wrote = began-sec, began, sec
	require.Equal(t, began+freeMax, r.l.in.free())
}

// What a wait did not need is not taken from the allowance.
func TestAShortWaitCostsNothing(t *testing.T) {
	r := newHoldRig(t, 1, 10, Options{})
	r.l.in.wrote = 40 * ms // 120 ms are free
	r.window()
	require.False(t, r.at(began))
	require.False(t, r.at(began+100*ms))
	r.drain(r.clients[0])
	require.True(t, r.at(began+100*ms))
	require.Equal(t, patienceMax, r.l.in.hold.all.left(r.l.unheld()))
	require.Equal(t, patienceMax, r.patience(r.clients[0]))
	require.False(t, r.l.in.hold.on)
}

// A wait ends with the last stream that is behind, at once, whatever becomes of it
// and however many there are.
func TestAWaitEndsWithTheLastStreamThatIsBehind(t *testing.T) {
	ends := map[string]func(r *holdRig, c *client){
		"read": func(r *holdRig, c *client) { r.drain(c) },
		"cut":  func(r *holdRig, c *client) { r.l.Cut(c.ref, ReasonDisconnect) },
		"closed": func(r *holdRig, c *client) {
			r.l.Close(c.ref, ReasonDisconnect, nil, time.Hour)
		},
		"slow": func(r *holdRig, c *client) { r.l.slow(c.ref.Slot, ReasonSlowBytes) },
	}
	for name, end := range ends {
		for _, behind := range []int{1, 2, 7, 8, 9, 17, 40} {
			r := newHoldRig(t, behind, 40, Options{})
			r.window()
			require.False(t, r.at(began))
			for i, c := range r.clients[:behind] {
				require.False(t, r.at(began), "%s: %d of %d", name, i, behind)
				end(r, c)
			}
			require.True(t, r.at(began), "%s: the last of %d", name, behind)
			require.Zero(t, r.l.stats.Held)
		}
	}
	for name, end := range ends { // all in one turn
		r := newHoldRig(t, 20, 40, Options{})
		r.window()
		require.False(t, r.at(began))
		for _, c := range r.clients[:20] {
			end(r, c)
		}
		require.True(t, r.at(began), name)
	}
}

// Many that take nothing are waited for longer than few: they may all have to wait
// for their turn on a busy machine.
func TestManyStalledStreamsAreWaitedForLonger(t *testing.T) {
	r := newHoldRig(t, 120, 130, Options{QueueMaxAge: time.Hour})
	r.waits(2950 * ms) // 500 ms and 20 for each, looked at every wheelTick

	// If they are not most, their patience is stretched.
	for n, want := range map[int]int64{1: 125 * ms, 11: 125 * ms, 41: 200 * ms, 81: 300 * ms, 200: 400 * ms} {
		r := newHoldRig(t, n, 500, Options{QueueMaxAge: time.Hour})
		for _, c := range r.clients[:n] {
			r.patient(c, 100*ms)
		}
		r.waits(want)
	}
}

// Most streams are most of those that deliveries go to: neither those of other channels
// count, however many there are, nor those that no window waits for.
func TestWhoIsSentNothingDoesNotCount(t *testing.T) {
	r := newHoldRig(t, 6, 10, Options{QueueMaxAge: time.Hour})
	for range 100 {
		adopt(t, r.l, unixPair, true)
	}
	for _, c := range r.clients {
		r.spend(c)
	}
	r.window()
	for now := int64(0); now < majorityMax; now += 250 * ms {
		require.False(t, r.at(began+now), "after %v", time.Duration(now))
		r.gulp(6)
	}
	require.Zero(t, r.l.stats.GivenUp)
	for now := majorityMax; r.l.stats.GivenUp < 6; now += 50 * ms {
		require.Less(t, now, 10*majorityMax)
		r.at(began + now)
		r.gulp(6)
	}
	r.putBehind(r.clients[6], 500)
	r.spend(r.clients[6]) // it is one of four that are left, no majority
	now := r.l.now
	for range 4 {
		now += activeSpan
		r.window()
		r.at(now)
	}
	require.Equal(t, [2]int{3, 3}, r.l.in.hold.active)
}

// The kernel says late that a socket takes something: who is waited for is asked.
func TestWhoIsWaitedForIsAsked(t *testing.T) {
	for name, pair := range map[string]pairOf{"tcp": tcpPair, "unix": unixPair} {
		t.Run(name, func(t *testing.T) {
			r := newHoldRig(t, 0, 9, Options{QueueMaxAge: time.Hour})
			c := adopt(t, r.l, pair, false)
			r.clients = append(r.clients, c)
			r.putBehind(c, 2000)
			r.window()
			require.False(t, r.at(began))
			s := r.l.at(c.ref.Slot)
			queued, buf := r.l.Queued(c.ref.Slot), make([]byte, 4096)
			for now := began; r.l.Queued(c.ref.Slot) == queued; now += askEvery { // no event comes in a loop that never runs
				require.False(t, s.late, "expected it to be asked before that")
				_, _ = readReady(c, buf)
				r.at(now)
			}
		})
	}
}
