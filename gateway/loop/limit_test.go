package loop

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// endSpent makes the handler of a harness end streams as bounded ones.
func (h *harness) endSpent() {
	h.rec.onSpent = func(ref Ref) { h.l.Close(ref, ReasonBounded, nil, patience) }
}

func TestALimitedStreamIsSentSoManyFramesOfABurst(t *testing.T) {
	eachWay(t, func(t *testing.T, pair pairOf, framing codec.Framing) {
		h := newHarness(t, Options{})
		h.endSpent()
		for n := range uint32(20) {
			n++
			c := h.open(pair, framing)
			want := ""
			h.do(func(l *Loop) {
				l.Limit(c.ref.Slot, n)
				for i := range uint32(40) {
					id, text := fmt.Sprint("id-", i), fmt.Sprint("frame ", i)
					if require.Equal(t, i < n, l.Live(c.ref), "frame %d of %d", i, n); i < n {
						want += wire(framing, id, text)
					}
					switch f := frameOf(id, text); i % 3 {
					case 0:
						l.Send(c.ref.Slot, f, SharedID)
					case 1:
						l.SendOwnID(c.ref.Slot, f, codec.AppendEventEnd(nil, framing, []byte(id)))
					default:
						l.SendExempt(c.ref.Slot, f, SharedID)
					}
				}
			})
			c.expectEnd(want + terminator(framing))
			h.awaitClosed(c, ReasonBounded)
			require.Zero(t, h.group.Stats().Closes[ReasonSlowBytes])
			c.close()
		}
	})
}

func TestALimitIsReachedOnce(t *testing.T) {
	h := newHarness(t, Options{})
	c, other := h.open(tcpPair, codec.FramingChunked), h.open(tcpPair, codec.FramingChunked)
	var spent []Ref
	h.rec.onSpent = func(ref Ref) { spent = append(spent, ref) }
	h.do(func(l *Loop) { l.Limit(c.ref.Slot, 2) })
	for range 5 {
		h.alive(c) // the handler lets it go on
		h.alive(other)
	}
	h.do(func(l *Loop) {
		require.Equal(t, []Ref{c.ref}, spent)
		l.Limit(c.ref.Slot, 3)
		l.Limit(c.ref.Slot, 0) // none after all
	})
	for range 5 {
		h.alive(c)
	}
	h.do(func(*Loop) { require.Len(t, spent, 1) })
}

// The next stream of a slot has no limit of the one before.
func TestALimitEndsWithItsStream(t *testing.T) {
	h := newHarness(t, Options{})
	h.rec.onSpent = func(Ref) { t.Error("expected no limit") }
	c := h.open(tcpPair, codec.FramingChunked)
	h.do(func(l *Loop) { l.Limit(c.ref.Slot, 1) })
	c.close()
	h.awaitClosed(c, ReasonClientGone)
	next := h.open(tcpPair, codec.FramingChunked)
	require.Equal(t, c.ref.Slot, next.ref.Slot)
	h.alive(next)
}

// A stream that is closed as slow by the frame that would be its last has that
// one reason.
func TestALimitedStreamMayBeSlow(t *testing.T) {
	h := newHarness(t, Options{QueueMaxSize: 64 << 10})
	h.rec.onSpent = func(Ref) { t.Error("expected the stream to be slow") }
	c := h.openTiny(unixPair, codec.FramingChunked)
	h.block(c, 500)
	h.do(func(l *Loop) {
		l.Send(c.ref.Slot, frameOf("", "it waits"), NoID)
		l.Limit(c.ref.Slot, 1)
		l.Send(c.ref.Slot, frameOf("", strings.Repeat("x", 80<<10)), NoID)
	})
	h.awaitClosed(c, ReasonSlowBytes)
}

// Frames that were dropped or replaced are no events: a notice is one.
func TestALimitCountsTheEventsOfALossyStream(t *testing.T) {
	for n := uint32(1); n <= 30; n++ {
		h := newHarness(t, Options{QueueMaxSize: 40 << 10})
		h.endSpent()
		c := h.openTiny(unixPair, codec.FramingClose)
		before := h.block(c, 500)
		sent := 0
		h.do(func(l *Loop) {
			l.Limit(c.ref.Slot, n)
			drops, keys := &source{"drops"}, &source{"keys"}
			// With few frames to go, they are all droppable: the queue
			// would never get so long as to hold a greater number.
			for ; l.Live(c.ref) && sent < 500; sent++ {
				f := frameOf("", fmt.Sprint(sent, strings.Repeat("x", 1600)))
				if sent%2 == 0 {
					l.SendLossy(c.ref.Slot, f, Lossy{Class: drops, Drops: true, Offset: uint64(sent + 1)})
				} else {
					l.SendLossy(c.ref.Slot, f, Lossy{Class: keys, Key: 1 + uint64(sent%4), Offset: uint64(sent + 1)})
				}
			}
			if l.Live(c.ref) {
				l.Close(c.ref, ReasonShutdown, nil, patience)
			}
		})
		got, err := c.rest()
		require.NoError(t, err)
		events := strings.Count(strings.TrimPrefix(got, before), "\n\n")
		if len(c.rec.reasons(c.ref)) == 1 && c.rec.reasons(c.ref)[0] == ReasonBounded {
			require.EqualValues(t, n, events, "sent %d", sent)
			require.GreaterOrEqual(t, sent, int(n))
		} else {
			require.Less(t, events, int(n), "the limit was not reached, sent %d", sent)
		}
	}
}
