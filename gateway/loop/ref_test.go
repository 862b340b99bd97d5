package loop

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

func TestAnOldRefReachesNoNewStream(t *testing.T) {
	h := newHarness(t, Options{})
	old := h.open(unixPair, 0)
	h.do(func(l *Loop) { l.Cut(old.ref, ReasonLimit) })
	c := h.open(unixPair, 0)
	require.Equal(t, old.ref.Slot, c.ref.Slot, "the test wants the slot used anew")
	require.NotEqual(t, old.ref.Gen, c.ref.Gen)
	h.do(func(l *Loop) {
		for _, ref := range []Ref{old.ref, {Slot: c.ref.Slot}, {Slot: 1 << 20, Gen: c.ref.Gen}, {}} {
			if l.Live(ref) {
				t.Errorf("expected %v not to be live", ref)
			}
			l.Close(ref, ReasonLimit, frameOf("", "wrong"), patience)
			l.CloseBare(ref, ReasonLimit, patience)
			l.Cut(ref, ReasonLimit)
		}
		if got := l.Ref(c.ref.Slot); got != c.ref {
			t.Errorf("expected %v, got %v", c.ref, got)
		}
	})
	h.alive(c)
	require.Empty(t, c.rec.reasons(c.ref))
}

func TestTheZeroRefNamesNoStream(t *testing.T) {
	h := newHarness(t, Options{})
	c := h.open(unixPair, 0)
	h.do(func(l *Loop) { l.Cut(Ref{}, ReasonLimit) })
	h.alive(c)
}

func TestStaleReadinessIsCountedAndReachesNoNewStream(t *testing.T) {
	h := newHarness(t, Options{})
	old := h.open(unixPair, 0)
	h.do(func(l *Loop) { l.Cut(old.ref, ReasonLimit) })
	stale := func() {
		h.do(func(l *Loop) {
			r := &ready{n: 1}
			r.events[0] = event{slot: old.ref.Slot, gen: old.ref.Gen, readable: true, writable: true, hangup: true}
			r.Run(l)
		})
	}
	stale() // the slot is free
	c := h.open(unixPair, 0)
	stale() // and used anew
	require.EqualValues(t, 2, h.group.Stats().Stale)
	h.alive(c)
}

// Clients come and go on descriptors and slots that are used again at once,
// half of them ended by the loop and half by themselves: nobody gets a byte or
// an end that was meant for another.
func TestSlotsAndDescriptorsAreReused(t *testing.T) {
	const workers, rounds = 6, 150
	h := newGroup(t, 2, Options{Verify: true})
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for n := range rounds {
				pair := []pairOf{unixPair, tcpPair}[n%2]
				c := h.openOn(h.group.Pick(), pair, codec.Framing(n%3%2), false)
				text := fmt.Sprint(w, "/", n)
				h.send(c, frameOf("", text))
				c.expect(wire(c.framing, "", text))
				switch n % 4 {
				case 0:
					h.on(c.l, func(l *Loop) { l.Close(c.ref, ReasonDisconnect, nil, patience) })
					c.expectEnd(terminator(c.framing))
				case 1:
					h.on(c.l, func(l *Loop) { l.Cut(c.ref, ReasonDisconnect) })
					c.expectEnd("")
				case 2:
					h.send(c, frameOf("", "unread")) // and an RST for a Unix client
				}
				c.close()
			}
		})
	}
	wg.Wait()
	s := h.awaitStats("all streams ended", func(s Stats) bool { return s.Open == 0 })
	require.EqualValues(t, workers*rounds, s.Adopted)
	require.EqualValues(t, workers*rounds, s.Closes[ReasonDisconnect]+s.Closes[ReasonClientGone])
	require.Greater(t, s.Closes[ReasonDisconnect], uint64(workers*rounds/4))
	for _, l := range h.group.Loops {
		require.LessOrEqual(t, len(l.slabs), 1, "expected slots to be used anew")
	}
}

func TestReasonsHaveNames(t *testing.T) {
	var names []string
	for _, r := range Reasons() {
		require.NotEmpty(t, r.String())
		require.NotContains(t, names, r.String())
		names = append(names, r.String())
	}
	require.Len(t, names, int(reasonCount))
	require.True(t, slices.Contains(names, "slow_bytes"))
	require.Equal(t, "unknown", reasonCount.String())
}
