package loop

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

func TestWritesAreCountedByTheFramesThatTheyEnd(t *testing.T) {
	h := newHarness(t, Options{})
	for _, n := range []int{1, 2, 3, 8, 64} {
		c := h.open(tcpPair, codec.FramingClose)
		before := h.group.Stats()
		var frames []*codec.Frame
		want := ""
		for i := range n {
			frames = append(frames, frameOf("", fmt.Sprint(i)))
			want += wire(codec.FramingClose, "", fmt.Sprint(i))
		}
		h.send(c, frames...)
		c.expect(want)
		var moved [BatchSizes]uint64
		h.awaitStats("the frames to be counted", func(s Stats) bool {
			for i := range moved {
				moved[i] = s.Batches[i] - before.Batches[i]
			}
			return s.Frames == before.Frames+uint64(n)
		})
		index := 0
		for n>>index > 0 {
			index++
		}
		var expected [BatchSizes]uint64
		expected[index] = 1
		require.Equal(t, expected, moved, "one write of %d frames", n)
	}
}

// A delivery is told that it was offered behind the writes: what it queued is out
// by then.
func TestOfferedFollowsTheWrites(t *testing.T) {
	h := newHarness(t, Options{})
	c := h.open(tcpPair, codec.FramingClose)
	const rounds = 50
	flushed, want := 0, ""
	h.do(func(l *Loop) { l.OnFlush(func() { flushed++ }) })
	for n := range rounds {
		seen := make(chan bool, 1)
		h.l.Deliver(&parcel{size: 10, run: func(l *Loop) {
			due := l.stats.Frames + 2
			l.Send(c.ref.Slot, frameOf("", fmt.Sprint(n)), NoID)
			l.Send(c.ref.Slot, frameOf("", fmt.Sprint(n)), NoID)
			seen <- l.stats.Frames < due && flushed == n
		}, offered: func(l *Loop) { seen <- l.stats.Frames == uint64(2*n+2) && flushed == n+1 }})
		require.True(t, <-seen, "round %d: expected nothing written yet", n)
		require.True(t, <-seen, "round %d: expected both frames written", n)
		want += wire(codec.FramingClose, "", fmt.Sprint(n)) + wire(codec.FramingClose, "", fmt.Sprint(n))
	}
	c.expect(want)
}
