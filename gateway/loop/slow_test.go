package loop

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// stall fills a client that does not read until it is closed as slow, with
// frames of a known order, and returns them as they would arrive.
func (h *harness) stall(c *client, text string) (frames []string) {
	h.t.Helper()
	for n := 0; len(c.rec.reasons(c.ref)) == 0; n++ {
		require.Less(h.t, n, 100000, "expected the stream to be closed as slow")
		line := fmt.Sprint(n, text)
		h.send(c, frameOf("", line))
		frames = append(frames, wire(c.framing, "", line))
	}
	return frames
}

// wholeBefore checks that got is some whole frames from the first on and then
// the words.
func wholeBefore(t *testing.T, frames []string, words, got string) {
	t.Helper()
	head, ok := strings.CutSuffix(got, words)
	require.True(t, ok, "expected %q at the end, got %q", words, got[max(0, len(got)-100):])
	for _, f := range frames {
		if head == "" {
			return
		}
		rest, ok := strings.CutPrefix(head, f)
		require.True(t, ok, "expected whole frames in order, got %q", head[:min(len(head), 100)])
		head = rest
	}
	require.Empty(t, head)
}

func TestASlowStreamIsToldAfterTheFrameInFlight(t *testing.T) {
	eachWay(t, func(t *testing.T, pair pairOf, framing codec.Framing) {
		h := newHarness(t, Options{QueueMaxSize: 64 << 10, SlowFrame: frameOf("", slowText)})
		h.giveTime()
		c, other := h.openTiny(pair, framing), h.open(pair, framing)
		frames := h.stall(c, strings.Repeat("s", 1500))
		got, err := c.rest() // it reads on in time
		require.NoError(t, err)
		wholeBefore(t, frames, wire(framing, "", slowText)+terminator(framing), got)
		require.Equal(t, []Reason{ReasonSlowBytes}, c.rec.reasons(c.ref))
		s := h.group.Stats()
		require.NotZero(t, s.Dropped)
		ends := uint64(1) // the last words
		if framing == codec.FramingChunked {
			ends++ // the terminator
		}
		require.Equal(t, uint64(len(frames))+ends, s.Frames+s.Dropped, "expected each frame written or dropped")
		h.alive(other)
	})
}

func TestASlowStreamThatReadsNothingIsCut(t *testing.T) {
	h := newHarness(t, Options{QueueMaxSize: 64 << 10, SlowFrame: frameOf("", slowText)})
	c := h.openTiny(unixPair, codec.FramingChunked)
	frames := h.stall(c, strings.Repeat("s", 5000))
	h.awaitStats("the stream cut", func(s Stats) bool { return s.Open == 0 })
	got, err := c.rest()
	require.NoError(t, err)
	require.NotContains(t, got, slowText)
	require.True(t, strings.HasPrefix(strings.Join(frames, ""), got))
}

// What counts is what the kernel does not take, not how much there is to say.
func TestAHealthyReaderMayGetManyTimesTheLimitInOneTurn(t *testing.T) {
	const limit = 32 << 10
	h := newHarness(t, Options{QueueMaxSize: limit})
	c := h.open(tcpPair, codec.FramingChunked)
	var want strings.Builder
	var frames []*codec.Frame
	for want.Len() < 10*limit {
		text := strings.Repeat("h", 1000)
		frames = append(frames, frameOf("", text))
		want.WriteString(wire(c.framing, "", text))
	}
	h.send(c, frames...)
	c.expect(want.String())
	h.alive(c)
}

func TestExemptFramesDoNotCountForTheLimitOfAStream(t *testing.T) {
	const limit = 32 << 10
	h := newHarness(t, Options{QueueMaxSize: limit})
	c := h.openTiny(unixPair, codec.FramingChunked)
	text := strings.Repeat("e", 20*limit)
	want := wire(c.framing, "", text)
	h.do(func(l *Loop) { l.SendExempt(c.ref.Slot, frameOf("", text), SharedID) })
	s := h.awaitStats("a stream that is blocked", func(s Stats) bool { return s.Blocked == 1 })
	require.Greater(t, s.QueuedBytes, int64(10*limit), "exempt frames are queued like others")
	h.do(func(l *Loop) {
		if n := l.Queued(c.ref.Slot); n != 0 {
			t.Errorf("expected nothing that counts for the limit, got %d", n)
		}
	})
	f := frameOf("", "behind it")
	fits := limit / (f.Len() + itemCost)
	for range fits {
		h.send(c, f)
		want += wire(c.framing, "", "behind it")
	}
	require.Empty(t, c.rec.reasons(c.ref), "expected the stream open at its limit")
	c.expect(want)
	h.awaitStats("nothing queued", func(s Stats) bool { return s.QueuedBytes == 0 })
	h.alive(c)
}

func TestTheLimitOfAStreamIsExact(t *testing.T) {
	h := newHarness(t, Options{QueueMaxSize: 10 << 10})
	c := h.openTiny(unixPair, codec.FramingChunked)
	h.do(func(l *Loop) { l.SendExempt(c.ref.Slot, frameOf("", strings.Repeat("e", 1<<20)), SharedID) })
	h.awaitStats("a stream that is blocked", func(s Stats) bool { return s.Blocked == 1 })
	f := frameOf("", "0123456789")
	fits := (10 << 10) / (f.Len() + itemCost)
	for range fits {
		h.send(c, f)
	}
	require.Empty(t, c.rec.reasons(c.ref))
	h.send(c, f)
	require.Equal(t, []Reason{ReasonSlowBytes}, c.rec.reasons(c.ref))
}

func TestAStreamThatTakesNothingForTooLongIsSlow(t *testing.T) {
	h := newHarness(t, Options{QueueMaxAge: 300 * time.Millisecond, SlowFrame: frameOf("", slowText)})
	h.giveTime()
	idle, stalled := h.open(unixPair, codec.FramingChunked), h.openTiny(unixPair, codec.FramingChunked)
	began := time.Now()
	sent := h.block(stalled, 3000)
	h.awaitClosed(stalled, ReasonSlowAge)
	require.GreaterOrEqual(t, time.Since(began), 250*time.Millisecond, "expected the whole age first")
	got, err := stalled.rest()
	require.NoError(t, err)
	head, ok := strings.CutSuffix(got, wire(codec.FramingChunked, "", slowText)+terminator(codec.FramingChunked))
	require.True(t, ok)
	require.True(t, strings.HasPrefix(sent, head))
	h.alive(idle)
}

// The age counts from the first frame that waits, also where the socket was
// full before it came.
func TestTheAgeBeginsWithTheFirstFrameThatWaits(t *testing.T) {
	const age = 600 * time.Millisecond
	h := newHarness(t, Options{QueueMaxAge: age})
	c := h.openTiny(unixPair, 0)
	h.await("a loop older than the age", func() bool {
		now := int64(0)
		h.do(func(l *Loop) { now = l.Now() })
		return now > int64(2*age)
	})
	began := time.Now()
	h.block(c, 40) // such a small one is written whole or not at all
	require.NotZero(t, h.group.Stats().Again)
	h.awaitClosed(c, ReasonSlowAge)
	require.GreaterOrEqual(t, time.Since(began), age-2*wheelTick)
}

func TestATimerOfABlockedStreamDoesNotHideItsAge(t *testing.T) {
	h := newHarness(t, Options{QueueMaxAge: 400 * time.Millisecond})
	c := h.openTiny(unixPair, 0)
	h.do(func(l *Loop) { // in one turn, or the age may be over before the timer is set
		c.fill(l, 3000)
		l.SetTimer(c.ref.Slot, l.Now()+1)
	})
	h.awaitClosed(c, ReasonSlowAge)
	require.Len(t, h.rec.fired(c.ref), 1)
}

// The age is that of a stream that takes nothing: whoever reads on, however
// slowly, is bounded by the bytes alone.
func TestAStreamThatTakesALittleIsNotSlowByAge(t *testing.T) {
	// The loop never runs, so that its clock is the test's.
	l, rec := bareLoop(t, Options{QueueMaxSize: 1 << 30, Verify: true})
	sock, far := unixPair(t, true)
	c := &client{t: t, conn: far, framing: codec.FramingChunked}
	var err error
	c.ref, err = l.Adopt(sock, c.framing, codec.CodingIdentity)
	require.NoError(t, err)
	require.NoError(t, far.SetReadDeadline(time.Now().Add(patience)))
	want := c.fill(l, 3000)
	buf := make([]byte, 4000)
	read := func() {
		n, err := far.Read(buf)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(want, string(buf[:n])))
		want = want[n:]
		l.handleReady(&event{slot: c.ref.Slot, gen: c.ref.Gen, writable: true}) // the socket takes as much again
	}
	age := int64(l.opt.QueueMaxAge)
	for range 100 {
		moveTo(l, l.now+age*2/3)
		text := strings.Repeat("m", 4000)
		l.Send(c.ref.Slot, frameOf("", text), NoID)
		want += wire(c.framing, "", text)
		require.True(t, l.at(c.ref.Slot).blocked)
		read()
	}
	require.Empty(t, rec.reasons(c.ref))
	for len(want) > 0 {
		read()
	}
	require.Zero(t, l.stats.QueuedBytes)
	c.fill(l, 3000) // and now it takes nothing
	moveTo(l, l.now+age*2/3)
	require.Empty(t, rec.reasons(c.ref))
	moveTo(l, l.now+age*2/3)
	require.Equal(t, []Reason{ReasonSlowAge}, rec.reasons(c.ref))
	l.fail(c.ref.Slot, ReasonShutdown)
	checkEmpty(t, l)
	require.NoError(t, far.Close())
}

func TestTheLargestStalledQueueGoesWhenAllAreTooLarge(t *testing.T) {
	h := newHarness(t, Options{QueueMaxSize: 1 << 20, QueuesMaxTotal: 300 << 10})
	small, large, exempt := h.openTiny(unixPair, 0), h.openTiny(unixPair, 0), h.openTiny(unixPair, 0)
	healthy := h.open(tcpPair, 0)
	h.do(func(l *Loop) {
		// In one turn, for who has taken nothing for longer may count as stalled a look
		// before the others, and go instead of a heavier one.
		for _, c := range []*client{small, large, exempt} {
			c.fill(l, 1000)
		}
	})
	big := func(n int) *codec.Frame { return frameOf("", strings.Repeat("q", n<<10)) }
	h.send(small, big(60))
	h.send(large, big(100))
	h.do(func(l *Loop) { l.SendExempt(exempt.ref.Slot, big(120), SharedID) })
	for _, c := range []*client{small, large, exempt} {
		require.Empty(t, c.rec.reasons(c.ref))
	}
	h.send(small, big(30)) // over the total
	h.awaitClosed(exempt, ReasonSlowTotal)
	h.send(small, big(120)) // once more
	h.awaitClosed(small, ReasonSlowTotal)
	require.Empty(t, large.rec.reasons(large.ref))
	h.alive(healthy)
	require.LessOrEqual(t, h.group.Stats().QueuedBytes, int64(300<<10))
	// Those that were closed hold the frame in flight until they are cut.
	h.awaitStats("a total of what is queued", func(s Stats) bool { return s.QueuedBytes == h.group.total.Load() })
}

func TestTheTotalIsThatOfAllLoops(t *testing.T) {
	h := newGroup(t, 2, Options{QueueMaxSize: 1 << 20, QueuesMaxTotal: 200 << 10, Verify: true})
	a := h.openOn(h.group.Loops[0], unixPair, 0, true)
	b := h.openOn(h.group.Loops[1], unixPair, 0, true)
	h.block(a, 1000)
	h.block(b, 1000)
	h.send(a, frameOf("", strings.Repeat("a", 150<<10)))
	h.await("the other loop to see it", func() bool { return h.group.total.Load() > 150<<10 })
	h.send(b, frameOf("", strings.Repeat("b", 100<<10)))
	// Each loop closes its own: the one that went over looks first.
	h.await("one of both closed", func() bool {
		return len(slices.Concat(a.rec.reasons(a.ref), b.rec.reasons(b.ref))) > 0
	})
	h.await("a total below the limit", func() bool { return h.group.total.Load() <= 200<<10 })
}

// A long queue that is only waiting for its turn to be flushed is no stalled one.
func TestOnlyStalledQueuesAreShed(t *testing.T) {
	l, rec := bareLoop(t, Options{QueuesMaxTotal: 1000})
	stalled, waiting := pretend(l), pretend(l)
	l.enqueue(stalled.Slot, item{frame: frameOf("", strings.Repeat("s", 2000))})
	l.enqueue(waiting.Slot, item{frame: frameOf("", strings.Repeat("w", 5000))})
	l.setBlocked(stalled.Slot, true)
	l.publishTotal()
	l.shedTotal()
	require.Empty(t, rec.reasons(stalled), "it may read on")
	l.now, l.fair = l.now+stallMax+shedEvery, l.fair+stallMax+shedEvery
	l.shedTotal()
	require.Equal(t, []Reason{ReasonSlowTotal}, rec.reasons(stalled))
	require.Empty(t, rec.reasons(waiting))
	require.True(t, l.Live(waiting))
	for _, ref := range []Ref{stalled, waiting} { // all loops of the process share some frames
		l.dropQueue(ref.Slot)
	}
}
