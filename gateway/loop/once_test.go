package loop

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// onceOf makes a frame for once.
func onceOf(text string) *codec.Frame {
	f, b := codec.TakeOnce(len(text))
	f.Fill(append(b, text...))
	return f
}

// The memory of a frame for once goes to the next one when it was written, or its stream has
// ended, and not before: whatever others are sent meanwhile, each reads its own.
func TestAFrameForOnceIsOneStreamsAlone(t *testing.T) {
	l, _ := bareLoop(t, Options{Verify: true, Ring: ringed})
	buf := make([]byte, 8<<20)
	slow, gone := adopt(t, l, unixPair, false), adopt(t, l, unixPair, false)
	for _, c := range []*client{slow, gone} {
		l.SendExempt(c.ref.Slot, codec.RawFrame(bytes.Repeat([]byte("x"), 4<<20)), NoID)
		l.SendOnce(c.ref.Slot, onceOf("of one that reads late"))
	}
	for pass(l) {
	}
	require.True(t, l.at(slow.ref.Slot).blocked)
	for i := range 200 {
		if i == 100 {
			l.Cut(gone.ref, ReasonWriteError)
		}
		text := fmt.Sprintf("of stream %d %s", i, strings.Repeat("y", i*20)) // some are too large to be kept
		c := adopt(t, l, unixPair, false)
		l.SendOnce(c.ref.Slot, onceOf(text))
		for pass(l) {
		}
		n, _ := readReady(c, buf)
		require.Equal(t, text, string(buf[:n]))
		require.Zero(t, l.at(c.ref.Slot).queue)
		l.Cut(c.ref, ReasonClientGone)
	}
	var got []byte
	for l.at(slow.ref.Slot).queue != 0 {
		n, _ := readReady(slow, buf)
		got = append(got, buf[:n]...)
		l.handleReady(&event{slot: slow.ref.Slot, gen: slow.ref.Gen, writable: true})
		for pass(l) {
		}
	}
	n, _ := readReady(slow, buf)
	got = append(got, buf[:n]...)
	require.Equal(t, "of one that reads late", strings.TrimLeft(string(got), "x"))
}
