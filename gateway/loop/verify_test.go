package loop

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// queueRaw blocks a client's stream and queues bytes that the test can change.
func (h *harness) queueRaw(c *client, text string) (frame []byte) {
	h.t.Helper()
	h.block(c, 3000)
	frame = []byte(text)
	h.do(func(l *Loop) { l.Send(c.ref.Slot, codec.RawFrame(frame), NoID) })
	return frame
}

func TestAFrameThatChangesWhileQueuedEndsItsStream(t *testing.T) {
	h := newHarness(t, Options{QueueMaxSize: 1 << 30})
	c, other := h.openTiny(unixPair, 0), h.open(unixPair, 0)
	frame := h.queueRaw(c, "data: immutable\n\n")
	h.do(func(*Loop) { frame[6] = 'X' }) // on-loop, or the race detector is first
	_, _ = c.rest()                      // it reads on, so the frame is written
	h.awaitClosed(c, ReasonPanic)
	h.wantPanics(1, "a frame changed while it was queued")
	h.alive(other)
}

func TestAFrameThatChangesIsNoticedWhenItIsDropped(t *testing.T) {
	h := newHarness(t, Options{QueueMaxSize: 1 << 30})
	c, other := h.openTiny(unixPair, 0), h.open(unixPair, 0)
	frame := h.queueRaw(c, "data: immutable\n\n")
	h.do(func(*Loop) { frame[6] = 'X' })
	h.do(func(l *Loop) { l.Cut(c.ref, ReasonLimit) })
	h.wantPanics(1, "a frame changed while it was queued")
	require.Equal(t, []Reason{ReasonLimit}, c.rec.reasons(c.ref))
	s := h.awaitStats("the slot free", func(s Stats) bool { return s.Open == 1 })
	require.Zero(t, s.QueuedBytes)
	h.alive(other)
}

// A frame is checked when the last stream of the loop has written it.
func TestAFrameIsCheckedAtItsLastRelease(t *testing.T) {
	c := newChecker()
	text := []byte("data: immutable\n\n")
	f := codec.RawFrame(text)
	c.queued(f)
	c.queued(f)
	text[0] = 'X'
	require.Empty(t, c.released(f))
	require.Contains(t, c.released(f), "changed")
	require.Contains(t, c.released(f), "not queued")
	text[0] = 'd'
	c.queued(f)
	require.Empty(t, c.released(f))
	require.Empty(t, c.frames)
	var none *checker
	none.queued(f)
	none.read(text)
	require.Empty(t, none.released(f))
}

func TestEveryByteHandedOverIsRead(t *testing.T) {
	l, _ := bareLoop(t, Options{Verify: true})
	slot := l.newSlot()
	end, f := []byte("id: 7\n\n"), openFrameOf(strings.Repeat("ab", 1000))
	l.at(slot).framing = codec.FramingClose
	it := item{frame: f}
	it.setID(end)
	l.enqueue(slot, it)
	l.gather(l.at(slot), &l.queues[0], maxWriteBytes)
	want := byte(0)
	for _, b := range append(end, f.Lines(codec.FramingClose)...) {
		want ^= b
	}
	require.Equal(t, want, l.check.sum)
	l.iov.reset()
}
