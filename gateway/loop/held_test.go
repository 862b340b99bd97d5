package loop

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// bareGroup is loops that never run.
func bareGroup(t testing.TB, loops int, opt Options) *Group {
	t.Helper()
	g, err := NewGroup(loops, noSubmitter{t}, opt)
	require.NoError(t, err)
	for _, l := range g.Loops {
		l.handler = newRecorder(l)
		t.Cleanup(l.poller.release)
	}
	return g
}

// naiveHeld is what streams hold, counted in the plainest way: each frame of a kept
// item once, and what each stream has of its own. Kept are the items of streams that
// are blocked, or were when they came, and openings.
func naiveHeld(g *Group) (n int64) {
	frames := make(map[*codec.Frame]bool)
	for _, l := range g.Loops {
		for i := range l.queues {
			q := &l.queues[i]
			for j := q.head; j < len(q.items); j++ {
				it := &q.items[j]
				if !it.has(itemKept) {
					continue
				}
				n += int64(itemCost + len(it.ownID()))
				if it.frame != nil && !frames[it.frame] {
					frames[it.frame] = true
					n += int64(it.frame.Len())
				}
			}
		}
		for _, slot := range l.blocked {
			if s := l.at(slot); s.queue != 0 {
				for _, it := range l.queues[s.queue-1].items[l.queues[s.queue-1].head:] {
					if !it.has(itemKept) {
						return -1 // a blocked stream holds it, and nobody counts it
					}
				}
			}
		}
		for i := range l.secures.entries {
			n += int64(len(l.secures.entries[i].tail))
		}
	}
	return n
}

func held(g *Group) (n int64) {
	for _, l := range g.Loops {
		l.publishTotal()
	}
	n, _ = g.Held()
	return n
}

func TestAFrameThatManyHoldCountsOnce(t *testing.T) {
	g := bareGroup(t, 2, Options{QueueMaxSize: 1 << 30, Verify: true})
	var clients []*client
	for i := range 100 {
		c := adopt(t, g.Loops[i%2], unixPair, true)
		g.Loops[i%2].setBlocked(c.ref.Slot, true)
		clients = append(clients, c)
	}
	f, id := openFrameOf(strings.Repeat("f", 5000)), []byte(ending(codec.FramingChunked, "own"))
	for _, c := range clients {
		c.l.Send(c.ref.Slot, f, NoID)
	}
	require.EqualValues(t, f.Len()+100*itemCost, held(g))
	require.Equal(t, 100, f.Kept())
	for _, c := range clients {
		c.l.SendOwnID(c.ref.Slot, f, id)
	}
	require.EqualValues(t, f.Len()+200*itemCost+100*len(id), held(g))
	require.Equal(t, held(g), naiveHeld(g))
	for i, c := range clients { // the loop that kept it first is not the last one that has it
		if i < 99 {
			c.l.fail(c.ref.Slot, ReasonShutdown)
		}
	}
	require.EqualValues(t, f.Len()+2*itemCost+len(id), held(g))
	clients[99].l.fail(clients[99].ref.Slot, ReasonShutdown)
	require.Zero(t, held(g))
	require.Zero(t, f.Kept())
}

func TestWhatIsHeldAgreesWithARecount(t *testing.T) {
	var sum Stats
	for seed := range uint64(6) {
		rnd := rand.New(rand.NewPCG(seed, 81))
		g := bareGroup(t, 2, Options{QueueMaxSize: 24 << 10, Verify: true, SlowFrame: frameOf("", slowText)})
		var clients []*client
		for i := range 16 {
			clients = append(clients, adopt(t, g.Loops[i%2], []pairOf{unixPair, unixPair, tcpPair, tlsPair}[i%4], true))
		}
		src := []*source{{"a"}, {"b"}}
		var seen int64
		buf := make([]byte, 64<<10)
		for step := range 1200 {
			h := heldStep{
				rnd: rnd, kind: rnd.IntN(7), key: rnd.Uint64N(4), offset: uint64(step + 1), src: src, buf: buf,
				frame: frameOf(fmt.Sprint(step), strings.Repeat("f", 1+rnd.IntN(1200))),
				id:    []byte(ending(codec.FramingChunked, strings.Repeat("i", 1+rnd.IntN(40)))),
			}
			for _, c := range clients {
				if c.l.at(c.ref.Slot).gen == c.ref.Gen && rnd.IntN(3) > 0 {
					h.do(c)
				}
			}
			for _, l := range g.Loops {
				for more := rnd.IntN(3) > 0; more; {
					more = pass(l)
				}
			}
			require.Equal(t, naiveHeld(g), held(g), "seed %d, step %d", seed, step)
			seen = max(seen, held(g))
		}
		require.NotZero(t, seen)
		rnd.Shuffle(len(clients), func(i, j int) { clients[i], clients[j] = clients[j], clients[i] })
		for _, c := range clients {
			if c.l.at(c.ref.Slot).gen == c.ref.Gen {
				c.l.fail(c.ref.Slot, ReasonShutdown)
			}
			require.Equal(t, naiveHeld(g), held(g))
		}
		require.Zero(t, held(g))
		for _, l := range g.Loops {
			settleAt(l, l.now)
			checkEmpty(t, l)
			sum.Add(&l.stats)
		}
	}
	require.NotZero(t, sum.Conflated)
	require.NotZero(t, sum.Dropped)
	require.NotZero(t, sum.Closes[ReasonSlowBytes])
}

// The block that many ids are cut from does not live as long as a stalled queue.
func TestIDChunksOfBlockedStreamsAreTheirOwn(t *testing.T) {
	l, _ := bareLoop(t, Options{QueueMaxSize: 1 << 30})
	early, late := adopt(t, l, unixPair, true), adopt(t, l, unixPair, true)
	block := make([]byte, 0, 32<<10)
	cut := func() []byte {
		from := len(block)
		block = append(block, ending(codec.FramingChunked, "x")...)
		return block[from:len(block):len(block)]
	}
	inBlock := func(p *byte) bool {
		at, lo := uintptr(unsafe.Pointer(p)), uintptr(unsafe.Pointer(unsafe.SliceData(block)))
		return at >= lo && at < lo+uintptr(cap(block))
	}
	l.setBlocked(early.ref.Slot, true)
	for _, c := range []*client{early, late} {
		for range 10 {
			l.SendOwnID(c.ref.Slot, openFrameOf("x"), cut())
		}
	}
	shared := func(c *client) (n int) {
		q := &l.queues[l.at(c.ref.Slot).queue-1]
		for i := q.head; i < len(q.items); i++ {
			require.Equal(t, ending(codec.FramingChunked, "x"), string(q.items[i].ownID()))
			if inBlock(q.items[i].id) {
				n++
			}
		}
		return n
	}
	require.Zero(t, shared(early), "it was blocked when they came")
	require.Equal(t, 10, shared(late), "it is written at once")
	l.setBlocked(late.ref.Slot, true)
	require.Zero(t, shared(late), "it is blocked now")
	l.SendCharged(late.ref.Slot, openFrameOf("x"), cut())
	require.Zero(t, shared(late), "an opening may take long")
}

// heldStep is what is done with many streams at once.
type heldStep struct {
	rnd         *rand.Rand
	kind        int
	key, offset uint64
	src         []*source
	frame       *codec.Frame
	id          []byte
	buf         []byte // scratch
}

// do does it with one of them, or has it read; now and then the stream ends.
func (h *heldStep) do(c *client) {
	l, slot, s := c.l, c.ref.Slot, c.l.at(c.ref.Slot)
	switch h.kind {
	case 0:
		l.Send(slot, h.frame, SharedID)
	case 1:
		l.SendOwnID(slot, h.frame, h.id)
	case 2:
		if h.rnd.IntN(10) == 0 {
			l.SendCharged(slot, h.frame, h.id)
		}
	case 3, 4:
		l.SendLossy(slot, h.frame, Lossy{Class: h.src[h.kind-3], Drops: true, Key: h.key, Offset: h.offset})
	case 5:
		l.SendLossy(slot, h.frame, Lossy{Class: h.src[0], Key: 1 + h.key, Offset: h.offset})
	case 6:
		if slot%5 == 0 { // it never reads
			break
		}
		_, _ = readNow(c.conn, h.buf[:1+h.rnd.IntN(len(h.buf)-1)])
		if s.blocked && l.waits(s) {
			l.handleReady(&event{slot: slot, gen: c.ref.Gen, writable: true})
		}
	}
	switch h.rnd.IntN(4000) {
	case 0:
		l.Close(c.ref, ReasonExpired, nil, time.Hour)
	case 1:
		l.Cut(c.ref, ReasonExpired)
	}
}
