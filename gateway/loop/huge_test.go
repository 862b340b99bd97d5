package loop

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// One frame of any size finds room where nothing waits, and its reader, however
// slow, is closed for nothing that comes behind it.
func TestAHugeFrameReachesASlowReader(t *testing.T) {
	const limit = 64 << 10
	eachWay(t, func(t *testing.T, pair pairOf, framing codec.Framing) {
		h := newHarness(t, Options{QueueMaxSize: limit})
		c := h.openTiny(pair, framing)
		huge := strings.Repeat("h", 10*limit)
		h.send(c, frameOf("", huge))
		h.send(c, frameOf("", "a ping"), frameOf("", "and another"))
		h.send(c, frameOf("", strings.Repeat("l", limit/2)))
		require.Empty(t, c.rec.reasons(c.ref))
		want := wire(framing, "", huge) + wire(framing, "", "a ping") + wire(framing, "", "and another") +
			wire(framing, "", strings.Repeat("l", limit/2))
		for len(want) > 0 {
			n := min(4000, len(want))
			c.expect(want[:n])
			want = want[n:]
		}
		h.alive(c)
	})
}

// What waits may be one event larger than the limit: then a ping, or what a call sends, is
// no reason to end a reader that windows wait for. But many are, and one that is late has
// no such room.
func TestAPushBehindAHugeFrameEndsNobody(t *testing.T) {
	const limit = 64 << 10
	huge := frameOf("", strings.Repeat("h", 2*limit))
	for _, push := range []*codec.Frame{codec.PingFrame, frameOf("", strings.Repeat("p", limit/4))} {
		for _, state := range []string{"waited for", "late", "stalled"} {
			l, rec := bareLoop(t, Options{QueueMaxSize: limit})
			setClock(l, began)
			c := adopt(t, l, unixPair, true)
			slot := c.ref.Slot
			l.Send(slot, huge, NoID)
			untilBlocked(l, slot)
			l.Send(slot, huge, NoID)
			s := l.at(slot)
			s.late, s.stalled = state == "late", state == "stalled"
			bytes := 0
			for l.Live(c.ref) && bytes < 10*limit {
				l.Push(slot, push)
				bytes += push.Len() + itemCost
			}
			require.Equal(t, []Reason{ReasonSlowBytes}, rec.reasons(c.ref))
			if state == "waited for" {
				require.Equal(t, limit/(push.Len()+itemCost)+1, bytes/(push.Len()+itemCost))
			} else {
				require.Equal(t, push.Len()+itemCost, bytes)
			}
		}
	}
}

// What calls send has a limit of its own: what waits of it is no reason for a delivery to
// end a reader, nor to leave out what may be.
func TestADeliveryBehindPushesEndsNobody(t *testing.T) {
	const limit = 64 << 10
	l, rec, c := blockedLoop(t, Options{QueueMaxSize: limit}, 2*limit)
	slot := c.ref.Slot
	for range 3 {
		l.Push(slot, frameOf("", strings.Repeat("p", limit/4)))
	}
	src := &source{"s"}
	for i := range 3 {
		l.Send(slot, frameOf("", strings.Repeat("d", limit/8)), NoID)
		l.SendLossy(slot, frameOf("", strings.Repeat("l", limit/8)), Lossy{Class: src, Drops: true, Offset: uint64(1 + i)})
	}
	require.Empty(t, rec.reasons(c.ref))
	require.Zero(t, l.stats.Dropped)
	l.Push(slot, frameOf("", strings.Repeat("p", limit/4)))
	require.Equal(t, []Reason{ReasonSlowBytes}, rec.reasons(c.ref))
}

// The second one waits for the first, the third ends a stream that takes nothing.
func TestTheThirdHugeFrameEndsAReaderThatTakesNothing(t *testing.T) {
	const limit = 64 << 10
	h := newHarness(t, Options{QueueMaxSize: limit, SlowFrame: frameOf("", slowText)})
	h.giveTime()
	c := h.openTiny(unixPair, codec.FramingChunked)
	huge := func(s string) string { return strings.Repeat(s, 10*limit) }
	h.send(c, frameOf("", huge("1")))
	h.send(c, frameOf("", huge("2")))
	require.Empty(t, c.rec.reasons(c.ref))
	h.send(c, frameOf("", huge("3")))
	require.Equal(t, []Reason{ReasonSlowBytes}, c.rec.reasons(c.ref))
	c.expectEnd(wire(c.framing, "", huge("1")) + wire(c.framing, "", slowText) + terminator(c.framing))
}

// Bytes count only while the socket is full: what we have not tried to write is ours.
func TestBytesOfAnUnblockedStreamDoNotCount(t *testing.T) {
	const limit = 32 << 10
	h := newHarness(t, Options{QueueMaxSize: limit})
	c := h.open(unixPair, codec.FramingChunked)
	huge := strings.Repeat("h", 2*limit)
	done := make(chan string)
	go func() {
		got := make([]byte, 40*len(wire(c.framing, "", huge)))
		c.read(got)
		done <- string(got)
	}()
	for range 40 { // each finds an empty queue, or a socket that is asked first
		h.send(c, frameOf("", huge))
		h.awaitStats("the frame written", func(s Stats) bool { return s.QueuedBytes == 0 })
	}
	c.same(strings.Repeat(wire(c.framing, "", huge), 40), <-done)
	l, rec := bareLoop(t, Options{QueueMaxSize: limit})
	r := adopt(t, l, unixPair, false)
	setClock(l, began)
	for range 20 { // far above the limit in all, and the age of a day
		l.Send(r.ref.Slot, frameOf("", strings.Repeat("x", 3000)), NoID)
		setClock(l, l.now+24*3600*sec)
		require.False(t, l.aged(l.at(r.ref.Slot)))
		_, _ = readReady(r, make([]byte, 1<<20))
	}
	require.Empty(t, rec.reasons(r.ref))
	settleAt(l, l.now)
}

// Where what is larger than the limit may be left out, it is, but for one that waits.
func TestHugeFramesThatMayBeDroppedEndInANotice(t *testing.T) {
	const limit = 64 << 10
	h := newHarness(t, Options{QueueMaxSize: limit})
	c := h.openTiny(unixPair, codec.FramingChunked)
	src := &source{"s"}
	huge := func(s string) string { return strings.Repeat(s, 3*limit) }
	for i, s := range []string{"1", "2", "3", "4", "5"} {
		h.do(func(l *Loop) {
			l.SendLossy(c.ref.Slot, frameOf("", huge(s)), Lossy{Class: src, Drops: true, Offset: uint64(1 + i)})
		})
		h.do(func(*Loop) {}) // behind its flush
	}
	require.Empty(t, c.rec.reasons(c.ref))
	require.EqualValues(t, 3, h.group.Stats().Dropped)
	c.expect(wire(c.framing, "", huge("1")) + wire(c.framing, "", "s gap 3 from 2 to 4") + wire(c.framing, "", huge("5")))
	h.alive(c)
}

// An opening of any size, and what is missed, is no reason to close.
func TestExemptFramesMayBeManyTimesTheLimit(t *testing.T) {
	const limit = 32 << 10
	h := newHarness(t, Options{QueueMaxSize: limit})
	c := h.openTiny(unixPair, codec.FramingChunked)
	want := ""
	for _, s := range []string{"a", "b", "c", "d"} {
		f := frameOf("", strings.Repeat(s, 3*limit))
		want += wire(c.framing, "", strings.Repeat(s, 3*limit))
		h.do(func(l *Loop) { l.SendExempt(c.ref.Slot, f, NoID) })
		h.send(c, frameOf("", "live"))
		want += wire(c.framing, "", "live")
	}
	require.Empty(t, c.rec.reasons(c.ref))
	c.expect(want)
	h.alive(c)
}

// What was held for a stream while it was opened is for one that reads: a late one that is
// opened again and again keeps its limit.
func TestAnOpeningOfALateStreamCounts(t *testing.T) {
	const limit = 64 << 10
	for _, late := range []bool{false, true} {
		l, rec, c := blockedLoop(t, Options{QueueMaxSize: limit}, 2*limit)
		slot := c.ref.Slot
		l.at(slot).late = late
		for range 10 {
			l.Opening(func() { l.Send(slot, frameOf("", strings.Repeat("o", limit/2)), NoID) })
		}
		require.Equal(t, late, len(rec.reasons(c.ref)) == 1)
	}
}

// Pushes behind an opening that was not refused are offered, and count then.
func TestPushesBehindAnOpeningHaveTheirLimit(t *testing.T) {
	const limit = 64 << 10
	l, rec := bareLoop(t, Options{QueueMaxSize: limit})
	setClock(l, began)
	c := adopt(t, l, unixPair, true)
	slot := c.ref.Slot
	l.SendExempt(slot, frameOf("", strings.Repeat("o", 100*limit)), NoID)
	for range 40 {
		l.Push(slot, frameOf("", strings.Repeat("p", limit/4)))
	}
	require.Equal(t, []Reason{ReasonSlowBytes}, rec.reasons(c.ref))
}

// Pushes alone make no stream one that windows wait for.
func TestPushesMakeNoStreamBehind(t *testing.T) {
	l, _, c := blockedLoop(t, Options{}, 1<<20)
	slot := c.ref.Slot
	for range 2 * behindItems {
		l.Push(slot, codec.PingFrame)
	}
	require.False(t, l.behind(l.at(slot)))
}

// Whoever sends a large push can wait for room, but not for one that takes nothing.
func TestMayPush(t *testing.T) {
	const limit = 64 << 10
	l, _ := bareLoop(t, Options{QueueMaxSize: limit})
	setClock(l, began)
	c := adopt(t, l, unixPair, true)
	slot, push := c.ref.Slot, frameOf("", strings.Repeat("p", limit/2))
	may := func(want bool) {
		t.Helper()
		require.Equal(t, want, l.MayPush(c.ref, push.Len()))
	}
	may(true)
	l.Push(slot, frameOf("", strings.Repeat("h", 2*limit)))
	may(true) // nothing waits behind it
	untilBlocked(l, slot)
	may(true) // nothing waits behind it
	l.Push(slot, push)
	may(false)
	require.True(t, l.MayPush(c.ref, 100))
	l.at(slot).late = true
	may(true)
	l.at(slot).late = false
	setClock(l, began+pushPatience+1)
	may(true)
	l.Close(c.ref, ReasonDisconnect, nil, 0)
	may(true)
}

// What was not tried yet is offered first: an opening, or the pushes of the same turn.
func TestMayPushAsksTheSocket(t *testing.T) {
	const limit = 64 << 10
	l, rec := bareLoop(t, Options{QueueMaxSize: limit})
	setClock(l, began)
	c := adopt(t, l, unixPair, true)
	slot, push := c.ref.Slot, frameOf("", strings.Repeat("p", limit/2))
	l.SendExempt(slot, frameOf("", strings.Repeat("o", 100*limit)), NoID)
	n := 0
	for ; l.MayPush(c.ref, push.Len()); n++ {
		require.Less(t, n, 100)
		l.Push(slot, push)
	}
	require.True(t, l.at(slot).blocked)
	require.Empty(t, rec.reasons(c.ref))
}

// A notice is nothing that a large event would have to find room beside.
func TestALargeEventBehindANoticeEndsNobody(t *testing.T) {
	const limit = 64 << 10
	l, rec := bareLoop(t, Options{QueueMaxSize: limit})
	setClock(l, began)
	c := adopt(t, l, unixPair, true)
	slot, huge := c.ref.Slot, frameOf("", strings.Repeat("h", 2*limit))
	l.Send(slot, huge, NoID)
	untilBlocked(l, slot)
	l.SendLossy(slot, frameOf("", "l"), Lossy{Class: &source{"s"}, Drops: true})
	l.Send(slot, huge, NoID)
	require.Empty(t, rec.reasons(c.ref))
	l.Send(slot, huge, NoID)
	require.Equal(t, []Reason{ReasonSlowBytes}, rec.reasons(c.ref))
}

// blockedLoop returns a loop with one stream, whose socket is full of a frame of n bytes.
func blockedLoop(t testing.TB, opt Options, n int) (*Loop, *recorder, *client) {
	t.Helper()
	l, rec := bareLoop(t, opt)
	setClock(l, began)
	c := adopt(t, l, unixPair, true)
	l.Send(c.ref.Slot, frameOf("", strings.Repeat("h", n)), NoID)
	untilBlocked(l, c.ref.Slot)
	return l, rec, c
}

// untilBlocked writes what a stream has queued until its socket is full.
func untilBlocked(l *Loop, slot uint32) {
	for !l.at(slot).blocked {
		l.flushStream(slot)
	}
}
