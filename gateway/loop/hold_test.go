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
	l.in.began, l.in.slackAt = began, began
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
	require.NotZero(r.t, r.l.behind(1))
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

// window gives the loop a full window of deliveries for nobody.
func (r *holdRig) window() {
	for range maxWindow {
		r.given++
		give(r.l, &parcel{size: 1, run: func(*Loop) { r.ran++ }})
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
	require.True(r.t, r.at(began+d+ms), "expected the end of the wait after %v", time.Duration(d))
	require.EqualValues(r.t, 1, r.l.stats.Holds)
	require.InDelta(r.t, d, r.l.stats.Held, float64(2*ms))
	require.Zero(r.t, r.l.in.wakeAt)
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

// However many they are: a window waits for no longer than a stream may take
// nothing.
func TestNoWaitIsLongerThanTheAgeOfAQueue(t *testing.T) {
	const age = 2 * sec
	r := newHoldRig(t, 6, 10, Options{QueueMaxAge: time.Duration(age)})
	r.window()
	for now := int64(0); now < age; now += 50 * ms {
		require.False(t, r.at(began+now), "after %v", time.Duration(now))
		r.gulp(6)
	}
	require.True(t, r.at(began+age), "expected no wait beyond %v", time.Duration(age))
}

// A stream that takes nothing is waited for a moment, also if all are like it.
func TestNobodyWaitsForStreamsThatTakeNothing(t *testing.T) {
	f := func(behind int, age time.Duration, want int64) {
		t.Helper()
		r := newHoldRig(t, behind, 10, Options{QueueMaxAge: age})
		r.waits(want)
		require.Zero(t, r.l.stats.GivenUp, "nobody is late, they are stalled")
		for range 50 { // it costs one wait
			r.window()
			require.True(t, r.at(began+want+ms))
		}
		require.EqualValues(t, 1, r.l.stats.Holds)
	}
	// Looked at every wheelTick, and longer where many may wait for their turn.
	f(10, time.Hour, 750*ms)
	f(6, time.Hour, 650*ms)
	f(10, 5*time.Second, sec/2)
}

// For few streams there is the allowance, once.
func TestFewStreamsHaveTheAllowance(t *testing.T) {
	r := newHoldRig(t, 1, 10, Options{})
	r.waits(slackMax)
	late := r.l.at(r.clients[0].ref.Slot)
	require.True(t, late.late)
	require.EqualValues(t, 1, r.l.stats.GivenUp)
	require.Zero(t, r.l.in.slack)
	for range 50 { // it is not waited for any more, though it takes something now
		r.takes(r.clients[0], 1000)
		r.more(r.clients[0], 10, 500)
		r.window()
		require.True(t, r.at(began+slackMax+ms))
	}
	require.EqualValues(t, 1, r.l.stats.Holds)
	r.drain(r.clients[0]) // it has caught up once
	require.False(t, late.late)
	r.putBehind(r.clients[0], 500)
	r.window()
	require.False(t, r.at(began+slackMax+20*ms))
	require.EqualValues(t, 2, r.l.stats.Holds)
}

// The allowance grows by a quarter of the time, and there is never more of it than
// at the start.
func TestTheAllowanceGrowsWithTime(t *testing.T) {
	f := func(rest, want int64) {
		t.Helper()
		r := newHoldRig(t, 1, 10, Options{})
		r.l.in.slack, r.l.in.slackAt = 0, began-rest
		r.waits(want)
		require.Less(t, r.l.in.slack, 2*ms, "all of it is used")
	}
	f(3*100*ms, 100*ms) // (300 + 100) / 4
	f(sec, sec/3)
	f(3*slackMax, slackMax)
	f(time.Hour.Nanoseconds(), slackMax)
}

// Few streams are waited for as long as blocked ones take on average, and as the
// window took to be written, some times over.
func TestFewStreamsAreWaitedForByWhatOthersTook(t *testing.T) {
	f := func(drain, write, want int64) {
		t.Helper()
		r := newHoldRig(t, 1, 10, Options{QueueMaxAge: time.Hour})
		in := &r.l.in
		in.slack, in.drain, in.began = 0, float64(drain), began-write
		// The allowance grows by a quarter of the wait.
		r.waits(want + want/3)
		require.EqualValues(t, 1, r.l.stats.GivenUp)
		require.Less(t, in.slack, 2*ms)
	}
	f(30*ms, 0, 240*ms)
	f(0, 30*ms, 90*ms) // four times, and the first one is over
	f(30*ms, 100*ms, 300*ms)
	f(40*ms, 100*ms, 320*ms)
}

// What a wait did not need is not taken from the allowance.
func TestAShortWaitCostsNothing(t *testing.T) {
	r := newHoldRig(t, 1, 10, Options{})
	r.l.in.drain = float64(20 * ms) // 160 ms are fair
	r.window()
	require.False(t, r.at(began))
	require.False(t, r.at(began+100*ms))
	r.drain(r.clients[0])
	require.True(t, r.at(began+100*ms))
	require.Equal(t, slackMax, r.l.in.slack)
	require.False(t, r.l.in.holding)
}

// The average is of blocked streams that take something again.
func TestTheAverageIsOfWhoTakesSomethingAgain(t *testing.T) {
	r := newHoldRig(t, 1, 2, Options{QueueMaxSize: 1 << 20, QueueMaxAge: time.Hour})
	c, in := r.clients[0], &r.l.in
	r.more(c, 1000, 500)
	r.l.handleReady(&event{slot: c.ref.Slot, gen: c.ref.Gen, writable: true}) // but it is full
	require.Zero(t, in.drain)
	want := 0.0
	for range 30 {
		setClock(r.l, r.l.now+50*ms)
		before := r.l.stats.Bytes
		r.takes(c, 1<<20)
		require.Greater(t, r.l.stats.Bytes, before)
		want += (float64(50*ms) - want) / 64
		require.InDelta(t, want, in.drain, 1000)
	}
	setClock(r.l, r.l.now+int64(time.Hour)/2) // nobody has ever been away for so long
	before := in.drain
	r.takes(c, 1<<20)
	require.InDelta(t, before+(float64(stallMax)-before)/64, in.drain, 1000)
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

// Of few that are behind, those that read on are not late with those that stall.
func TestWhoReadsOnIsNotLateWithThoseThatStall(t *testing.T) {
	r := newHoldRig(t, 2, 10, Options{})
	r.l.in.drain = float64(20 * ms)
	stalls, reads := r.clients[0], r.clients[1]
	r.more(reads, 1000, 500)
	r.window()
	require.False(t, r.at(began))
	for now := int64(0); !r.l.at(stalls.ref.Slot).late; now += 10 * ms {
		require.Less(t, now, sec)
		r.takes(reads, 1000)
		require.False(t, r.at(began+now))
	}
	require.False(t, r.l.at(reads.ref.Slot).late)
	require.False(t, r.ran == r.given, "the window still waits for the one that reads")
	r.drain(reads)
	require.True(t, r.at(r.l.now+ms))
	require.EqualValues(t, 1, r.l.stats.GivenUp)
}

// Many that take nothing are waited for longer than few: they may all have to wait
// for their turn on a busy machine.
func TestManyStalledStreamsAreWaitedForLonger(t *testing.T) {
	r := newHoldRig(t, 120, 130, Options{QueueMaxAge: time.Hour})
	r.waits(2950 * ms) // 500 ms and 20 for each, looked at every wheelTick
}
