package loop

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// endsBehindItsRun closes a stream that has most of a run yet to send.
func endsBehindItsRun(h *harness, c *client, framing codec.Framing) {
	events, want := runOf(framing, 3*runPart)
	h.on(c.l, func(l *Loop) {
		l.SendRun(c.ref.Slot, events, codec.RawFrame(nil))
		l.Close(c.ref, ReasonShutdown, frameOf("", "the last"), patience)
	})
	c.expectEnd(strings.Join(want, "") + wire(framing, "", "the last") + terminator(framing))
}

// runOf makes a run of so many events, and how each is written.
func runOf(framing codec.Framing, n int) (events []Event, want []string) {
	for i := range n {
		text, id := fmt.Sprint("missed ", i), fmt.Sprint("own", i)
		events = append(events, Event{Frame: openFrameOf(text), ID: []byte(ending(framing, id))})
		want = append(want, wire(framing, id, text))
	}
	return events, want
}

// A run is whole events, in order, whatever the limit of the queue is; its tail is none,
// and is told free, once, when nothing of the run is queued any more.
func TestARunIsEventsAndItsTailSaysWhenTheyHaveLeft(t *testing.T) {
	eachWay(t, func(t *testing.T, pair pairOf, framing codec.Framing) {
		h := newHarness(t, Options{QueueMaxSize: 1000})
		fr := h.watchFreed()
		h.endSpent()
		for name, end := range map[string]func(c *client, want string){
			"read": func(c *client, want string) { c.expect(want) },
			"cut":  func(c *client, _ string) { h.on(c.l, func(l *Loop) { l.Cut(c.ref, ReasonInput) }) },
			"left": func(c *client, _ string) { c.close() },
		} {
			c := h.openTiny(pair, framing)
			tail := codec.RawFrame(nil)
			events, want := longRun(framing)
			h.on(c.l, func(l *Loop) {
				l.SendRun(c.ref.Slot, events, tail)
				require.True(t, l.Live(c.ref), name)
				l.Send(c.ref.Slot, frameOf("", "behind"), NoID)
				want += wire(framing, "", "behind")
				l.flushStream(c.ref.Slot)
				require.True(t, l.at(c.ref.Slot).blocked, "the test proves nothing")
			})
			require.Zero(t, fr.of(tail), name)
			end(c, want)
			h.await("the tail to be told free", func() bool { return fr.of(tail) == 1 })
			for i := range events {
				require.Zero(t, fr.of(events[i].Frame), "only the tail is charged")
				require.Zero(t, events[i].Frame.Kept(), name)
			}
			if name == "read" {
				h.alive(c)
			}
		}
		endsBehindItsRun(h, h.openTiny(pair, framing), framing)
	})
}

func TestALimitCountsTheEventsOfARunAndNotItsTail(t *testing.T) {
	eachWay(t, func(t *testing.T, pair pairOf, framing codec.Framing) {
		h := newHarness(t, Options{QueueMaxSize: 1000})
		h.endSpent()
		for _, limit := range []uint32{1, 4, 5, 6} {
			c := h.open(pair, framing)
			tail, want := codec.RawFrame(nil), ""
			var events []Event
			for i := range 5 {
				events = append(events, Event{Frame: frameOf("", fmt.Sprint(i))})
				if uint32(i) < limit {
					want += wire(framing, "", fmt.Sprint(i))
				}
			}
			live := false
			h.on(c.l, func(l *Loop) {
				l.Limit(c.ref.Slot, limit)
				l.SendRun(c.ref.Slot, events, tail)
				live = l.Live(c.ref)
			})
			require.Equal(t, limit > 5, live)
			if live {
				c.expect(want)
				continue
			}
			c.expectEnd(want + terminator(framing))
		}
	})
}

// longRun returns a run of some parts, with ids of every kind, and its bytes on the wire.
func longRun(framing codec.Framing) (events []Event, want string) {
	for i := range 2*runPart + 100 {
		id, text := fmt.Sprint("i", i), strings.Repeat("r", 1000)
		e := Event{Frame: frameOf(id, text), Mode: SharedID}
		switch i % 3 {
		case 1:
			id = "own" + id
			e.ID = []byte(ending(framing, id))
		case 2:
			e.Mode = NoID
		}
		if events = append(events, e); i%3 == 2 {
			want += wireWithout(framing, text)
		} else {
			want += wire(framing, id, text)
		}
	}
	return events, want
}

// A turn that is given a run, and one that drops it, has a part of it to do, however long it
// is, and copies no id.
func TestALongRunIsNoLongTurn(t *testing.T) {
	l, _ := bareLoop(t, Options{})
	sock, far := unixPair(t, false)
	defer far.Close()
	ref, err := l.Adopt(sock, codec.FramingChunked, codec.CodingIdentity)
	require.NoError(t, err)
	const n = 140_000 // 8 MiB of publications of 10 bytes: (10+48) each
	id := []byte(ending(codec.FramingChunked, strings.Repeat("i", 50)))
	events := make([]Event, n)
	for i := range events {
		events[i] = Event{Frame: openFrameOf("0123456789"), ID: id}
	}
	l.setBlocked(ref.Slot, true)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	l.SendRun(ref.Slot, events, codec.RawFrame(nil))
	runtime.ReadMemStats(&after)
	require.Less(t, after.Mallocs-before.Mallocs, uint64(50))
	q := &l.queues[l.at(ref.Slot).queue-1]
	require.Len(t, q.items, runPart+1)
	for i := range q.items[:runPart] {
		require.Same(t, &id[0], q.items[i].id)
	}
	require.Positive(t, l.stats.HeldBytes)
	require.Equal(t, n, l.dropUnsent(ref.Slot), "all of it is told as dropped")
	require.Zero(t, l.stats.HeldBytes)
	l.Cut(ref, ReasonShutdown)
	checkEmpty(t, l)
}

// Whatever number of bytes the kernel takes and whatever is sent meanwhile, a run is whole
// and in order, and before what was sent behind it; and what may be dropped of it begins at
// the first event of which no byte is out.
func TestARunKeepsItsPlace(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 43))
		framing := codec.Framing(seed % 2)
		l, _ := bareLoop(t, Options{Verify: true, QueueMaxSize: 1 << 30})
		sock, far := unixPair(t, false)
		ref, err := l.Adopt(sock, framing, codec.CodingIdentity)
		require.NoError(t, err)
		s := l.at(ref.Slot)
		l.Send(ref.Slot, frameOf("", "before"), NoID)
		events, missed := runOf(framing, 1+rnd.IntN(3*runPart))
		want := append([]string{wire(framing, "", "before")}, missed...)
		l.SendRun(ref.Slot, events, codec.RawFrame(nil))
		var out strings.Builder
		cut := rnd.IntN(2) == 0
		for steps := rnd.IntN(200); s.queue != 0 && (!cut || steps > 0); steps-- {
			if rnd.IntN(3) > 0 && steps > 0 {
				text := fmt.Sprint("live ", steps)
				l.Send(ref.Slot, frameOf("", text), NoID)
				want = append(want, wire(framing, "", text))
			}
			n := l.gather(s, &l.queues[s.queue-1], 1+rnd.IntN(4000))
			bytes, _ := gathered(l)
			l.iov.reset()
			taken := n
			if rnd.IntN(2) == 0 {
				taken = rnd.IntN(n + 1)
			}
			out.WriteString(bytes[:taken])
			l.advanceQueue(ref.Slot, taken)
		}
		all := strings.Join(want, "")
		require.True(t, strings.HasPrefix(all, out.String()), "seed %d", seed)
		if s.queue == 0 {
			require.Equal(t, all, out.String(), "seed %d", seed)
		} else {
			left := len(want)
			for begun := 0; begun < out.Len(); left-- {
				begun += len(want[len(want)-left])
			}
			require.Equal(t, left, l.dropUnsent(ref.Slot), "seed %d", seed)
		}
		l.Cut(ref, ReasonShutdown)
		require.NoError(t, far.Close())
		checkEmpty(t, l)
	}
}

// What stands behind an opening leaves in the next turn, and not when something else wakes
// the loop.
func TestWhatStandsBehindAnOpeningDoesNotWait(t *testing.T) {
	for _, opening := range []int{1, 2, 3} { // in writes
		l, _ := bareLoop(t, Options{})
		sock, far := unixPair(t, false)
		ref, err := l.Adopt(sock, codec.FramingClose, codec.CodingIdentity)
		require.NoError(t, err)
		for range opening * maxWriteFrames {
			l.SendExempt(ref.Slot, frameOf("", "o"), NoID)
		}
		l.Send(ref.Slot, frameOf("", "live"), NoID)
		for (*behavior)(l).Flush() {
		}
		require.Zero(t, l.at(ref.Slot).queue, "%d writes", opening)
		l.Cut(ref, ReasonShutdown)
		require.NoError(t, far.Close())
	}
}
