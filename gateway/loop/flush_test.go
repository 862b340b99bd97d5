package loop

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// gathered returns what the scratch list holds, and how many addresses it has.
func gathered(l *Loop) (bytes string, addresses int) {
	var b strings.Builder
	n := 0
	for _, p := range l.iov.list() {
		b.Write(p)
		n++
	}
	return b.String(), n
}

// The kernel may take any number of the bytes it is offered: whatever it takes,
// the next offer begins with the byte behind it, and no offer is too large.
func TestWhatIsOfferedFollowsWhatWasTaken(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 9))
		framing := codec.Framing(seed % 2)
		l, _ := bareLoop(t, Options{Verify: true})
		sock, far := unixPair(t, false)
		fd := sock.fd
		ref, err := l.Adopt(PlainSocket(fd), framing, codec.CodingIdentity)
		require.NoError(t, err)
		s := l.at(ref.Slot)
		var want, offered strings.Builder
		for i := range 400 {
			for range rnd.IntN(4) {
				it, sent := anyItem(rnd, framing, i)
				l.enqueue(ref.Slot, it)
				want.WriteString(sent)
			}
			if s.queue == 0 {
				continue
			}
			n := l.gather(s, &l.queues[s.queue-1], maxWriteBytes)
			bytes, addresses := gathered(l)
			l.iov.reset()
			require.Equal(t, n, len(bytes))
			require.NotZero(t, n, "an offer of nothing would never end")
			require.LessOrEqual(t, n, maxWriteBytes)
			require.LessOrEqual(t, addresses, 2*maxWriteFrames)
			taken := n
			if rnd.IntN(2) == 0 {
				taken = rnd.IntN(n + 1)
			}
			offered.WriteString(bytes[:taken])
			l.advanceQueue(ref.Slot, taken)
		}
		for s.queue != 0 {
			n := l.gather(s, &l.queues[s.queue-1], maxWriteBytes)
			bytes, _ := gathered(l)
			l.iov.reset()
			offered.WriteString(bytes)
			l.advanceQueue(ref.Slot, n)
		}
		require.True(t, want.String() == offered.String(), "seed %d: expected the bytes as queued", seed)
		require.Zero(t, l.stats.QueuedBytes)
		l.Cut(ref, ReasonShutdown)
		require.NoError(t, far.Close())
		checkEmpty(t, l)
	}
}

func TestOneWriteTakesAtMost64Frames(t *testing.T) {
	h := newHarness(t, Options{})
	c := h.open(tcpPair, codec.FramingChunked)
	var want strings.Builder
	var frames []*codec.Frame
	for n := range 1000 {
		frames = append(frames, frameOf("", fmt.Sprint(n)))
		want.WriteString(wire(codec.FramingChunked, "", fmt.Sprint(n)))
	}
	h.send(c, frames...)
	c.expect(want.String())
	require.EqualValues(t, (1000+maxWriteFrames-1)/maxWriteFrames, h.group.Stats().Writes)
}

func TestOneWriteTakesAtMost256KiB(t *testing.T) {
	h := newHarness(t, Options{QueueMaxSize: 64 << 20})
	c := h.open(tcpPair, codec.FramingChunked)
	text := strings.Repeat("0123456789abcdef", 8<<20/16)
	h.send(c, frameOf("", text))
	want := wire(codec.FramingChunked, "", text)
	c.expect(want)
	require.GreaterOrEqual(t, h.group.Stats().Writes, uint64(len(want)/maxWriteBytes))
}

// A stream with much to say is written to once, and then the others have their
// turn: B is gone, which its first write shows, and by then A has had one.
func TestALargeQueueDoesNotHoldUpOthers(t *testing.T) {
	h := newHarness(t, Options{QueueMaxSize: 64 << 20})
	a, b := h.open(tcpPair, codec.FramingChunked), h.open(unixPair, codec.FramingChunked)
	var before, after uint64
	h.rec.onClosed = func(ref Ref, _ Reason) {
		if ref == b.ref {
			before = h.l.stats.Bytes
		}
	}
	text := strings.Repeat("0123456789abcdef", 16<<20/16)
	h.do(func(l *Loop) {
		l.Send(a.ref.Slot, frameOf("", text), NoID)
		_ = b.conn.Close()
		l.Send(b.ref.Slot, frameOf("", "b"), NoID)
	})
	h.awaitClosed(b, ReasonClientGone)
	h.do(func(l *Loop) { after = l.stats.Bytes })
	require.LessOrEqual(t, before, uint64(maxWriteBytes))
	a.expect(wire(codec.FramingChunked, "", text))
	if after <= maxWriteBytes {
		t.Skip("the kernel took no more than one write's worth, so the order shows nothing")
	}
}

// A flush gives way to posts, but not before it had as long as the posts before.
func TestALongFlushGivesWayToPosts(t *testing.T) {
	const streams = 3 * turnWrites
	l, _ := bareLoop(t, Options{})
	for range streams {
		fds := socketpair(t)
		ref, err := l.Adopt(PlainSocket(fds[0]), codec.FramingChunked, codec.CodingIdentity)
		require.NoError(t, err)
		l.Send(ref.Slot, frameOf("", "x"), NoID)
		t.Cleanup(func() {
			l.Cut(ref, ReasonShutdown)
			_ = syscall.Close(fds[1])
		})
	}
	l.now = l.clock() + int64(time.Minute) // the posts took no time, whatever stops this test
	require.True(t, l.flushDirty(), "expected more to do")
	left := len(l.dirty) - l.dirtyHead
	require.GreaterOrEqual(t, left, streams-turnWrites)
	require.Less(t, left, streams)
	l.now = l.clock() - int64(time.Hour) // the posts took so long
	require.False(t, l.flushDirty())
	require.EqualValues(t, streams, l.stats.Frames)
}

// A long inbox does not become long queues: what it sends is flushed on the way,
// at the latest every 32 posts, whether or not the clients read.
func TestALongInboxIsFlushedOnTheWay(t *testing.T) {
	const streams, posts = 300, 100
	c := newCrowd(t, streams, NoID)
	var written [posts]uint64 // before each post
	c.h.do(func(l *Loop) {    // so that all posts are in the inbox before the first
		for i := range posts {
			l.Post(funcTask(func(l *Loop) {
				written[i] = l.stats.Frames
				for _, slot := range c.task.slots {
					l.Send(slot, c.task.frame, NoID)
				}
			}))
		}
	})
	got, want := 0, posts*streams*len(c.frame)
	c.h.await("every byte", func() bool {
		got += c.drain()
		return got == want
	})
	c.h.do(func(*Loop) {
		require.Zero(t, written[1], "a flush after each post: the test proves nothing")
		for _, i := range []int{40, 80} {
			require.Positive(t, written[i], "expected a flush before post %d", i)
		}
		require.Greater(t, written[80], written[40])
	})
}

// Under steady load some stream is always dirty.
func TestTheDirtyListDoesNotGrowForEver(t *testing.T) {
	l, _ := bareLoop(t, Options{})
	slots := []uint32{l.newSlot(), l.newSlot(), l.newSlot()}
	for _, slot := range slots {
		l.markDirty(slot)
	}
	for i := range 100000 {
		slot := l.popDirty()
		if want := slots[i%3]; slot != want {
			t.Fatalf("pop %d: expected slot %d, got %d", i, want, slot)
		}
		l.at(slot).dirty = false
		l.markDirty(slot)
	}
	require.Less(t, cap(l.dirty), 64)
}

// A queue that never becomes empty reuses its memory.
func TestALongQueueReusesItsMemory(t *testing.T) {
	l, _ := bareLoop(t, Options{})
	slot := l.newSlot()
	f := frameOf("", "x")
	size := len(wire(codec.FramingChunked, "", "x"))
	for range 500 {
		l.enqueue(slot, item{frame: f})
	}
	q := &l.queues[l.at(slot).queue-1]
	for range 20000 {
		l.enqueue(slot, item{frame: f})
		l.advanceQueue(slot, size)
	}
	require.Len(t, q.items[q.head:], 500)
	for _, it := range q.items[:q.head] {
		require.Nil(t, it.frame, "expected no written frame pinned")
	}
	require.LessOrEqual(t, cap(q.items), 2048)
	require.Equal(t, 500*(f.Len()+itemCost), q.bytes)
	require.EqualValues(t, q.bytes, l.stats.QueuedBytes)
}

// anyItem returns the item of number n, of any kind, and its bytes on the wire.
func anyItem(rnd *rand.Rand, framing codec.Framing, n int) (it item, sent string) {
	id, text := fmt.Sprint("i", n), strings.Repeat("y", rnd.IntN(60))
	if rnd.IntN(100) == 0 {
		text = strings.Repeat("z", rnd.IntN(600<<10))
	}
	it = item{frame: frameOf(id, text), bits: itemShared}
	switch rnd.IntN(3) {
	case 0:
		it.bits = 0
		it.setID([]byte(ending(framing, "own")))
		id = "own"
	case 1:
		it.bits, id = 0, ""
	}
	if rnd.IntN(3) == 0 {
		it.bits |= itemExempt
	}
	if id == "" {
		return it, wireWithout(framing, text)
	}
	return it, wire(framing, id, text)
}
