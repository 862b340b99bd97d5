package loop

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// freed notes of what frames it is told that no queue holds them.
type freed struct {
	// Guarded by mu.
	mu    sync.Mutex
	times map[*codec.Frame]int
}

// watchFreed must come before the first stream.
func (h *harness) watchFreed() *freed {
	fr := &freed{times: make(map[*codec.Frame]int)}
	h.group.OnFreed(func(f *codec.Frame) {
		fr.mu.Lock()
		defer fr.mu.Unlock()
		fr.times[f]++
	})
	return fr
}

func (fr *freed) of(f *codec.Frame) int {
	fr.mu.Lock()
	defer fr.mu.Unlock()
	return fr.times[f]
}

// waysOut are how a queue lets go of what it holds.
var waysOut = map[string]func(h *harness, c *client){
	"read": func(h *harness, c *client) {
		go func() { _, _ = c.rest() }()
	},
	"closed by the client": func(h *harness, c *client) { c.close() },
	"cut":                  func(h *harness, c *client) { h.on(c.l, func(l *Loop) { l.Cut(c.ref, ReasonInput) }) },
	"closed, not read":     func(h *harness, c *client) { h.on(c.l, func(l *Loop) { l.Close(c.ref, ReasonShutdown, nil, 0) }) },
	"reclaimed":            func(h *harness, c *client) { h.on(c.l, func(l *Loop) { l.fail(c.ref.Slot, ReasonSlowResume) }) },
	"panic": func(h *harness, c *client) {
		c.l.Post(funcTask(func(l *Loop) {
			l.Hand(c.ref.Slot)
			panic("in hand")
		}))
	},
	"slow by bytes": func(h *harness, c *client) {
		h.on(c.l, func(l *Loop) {
			for l.Live(c.ref) {
				l.Send(c.ref.Slot, frameOf("", strings.Repeat("s", 100<<10)), NoID)
			}
		})
	},
}

// Streams of two loops share a block. Each lets go of it in one of the ways in
// which a queue ends; only with the last is it free, once.
func TestABlockIsFreeWhenTheLastQueueOfAllLoopsLetsGo(t *testing.T) {
	for last, lastWay := range waysOut {
		t.Run(last, func(t *testing.T) {
			h := newGroup(t, 2, Options{Verify: true})
			fr := h.watchFreed()
			shared := codec.EndText(append(codec.StartText(1), strings.Repeat("p", 600<<10)...))
			open := func(i int, framing codec.Framing) *client {
				c := h.openOn(h.group.Loops[i], unixPair, framing, true)
				own, _ := piecesOf(framing, "a", "b", strings.Repeat("c", 100<<10))
				h.on(c.l, func(l *Loop) { // none has begun it
					c.fill(l, 3000)
					l.SendPieces(c.ref.Slot, []*codec.Frame{own[0], shared, own[2]})
				})
				return c
			}
			left := 0
			var rest []*client
			var names []string
			var how []func(h *harness, c *client)
			for name, way := range waysOut {
				if name != last {
					rest, how = append(rest, open(left%2, codec.Framing(left/2%2))), append(how, way)
					names = append(names, name)
					left++
				}
			}
			final := open(1, codec.FramingChunked)
			refused := h.openOn(h.l, unixPair, codec.FramingClose, true)
			h.on(refused.l, func(l *Loop) {
				l.Cut(refused.ref, ReasonInput)
				l.SendCharged(refused.ref.Slot, shared, nil)
			})
			require.Equal(t, left+1, shared.Kept())
			for i, c := range rest {
				how[i](h, c)
				h.await("the queue to let go that is "+names[i], func() bool { return shared.Kept() == left-i })
				require.Zero(t, fr.of(shared), "somebody holds it yet")
			}
			lastWay(h, final)
			h.await("the last queue to let go", func() bool { return shared.Kept() == 0 })
			h.await("the block to be told free", func() bool { return fr.of(shared) == 1 })
			h.wantPanics(1, "in hand")
			h.end()
			require.Equal(t, 1, fr.of(shared))
			for f, n := range fr.times {
				require.Equal(t, 1, n, "expected each frame told once, not %p", f)
			}
		})
	}
}

func TestStoppingFreesWhatStreamsWereStillSent(t *testing.T) {
	h := newGroup(t, 2, Options{})
	fr := h.watchFreed()
	shared := openFrameOf(strings.Repeat("p", 600<<10))
	for i := range 6 {
		c := h.openOn(h.group.Loops[i%2], unixPair, codec.FramingChunked, true)
		h.on(c.l, func(l *Loop) { l.SendCharged(c.ref.Slot, shared, []byte(ending(c.framing, "x"))) })
	}
	require.Equal(t, 6, shared.Kept())
	require.Zero(t, fr.of(shared))
	h.end()
	require.Equal(t, 1, fr.of(shared))
}

// Blocks that many streams of two loops are sent and let go of at the same time are
// all told free at the end.
func TestBlocksOfManyStreamsAreAllFreed(t *testing.T) {
	h := newGroup(t, 2, Options{QueueMaxSize: 1 << 30})
	fr := h.watchFreed()
	blocks := make([]*codec.Frame, 20)
	for i := range blocks {
		blocks[i] = codec.EndText(append(codec.StartText(1), strings.Repeat(fmt.Sprint("b", i), 10<<10)...))
	}
	var readers sync.WaitGroup
	var clients []*client
	for i := range 16 {
		c := h.openOn(h.group.Loops[i%2], []pairOf{unixPair, tcpPair, tlsPair}[i%3], codec.Framing(i/2%2), true)
		clients = append(clients, c)
	}
	for i, c := range clients {
		for j := range blocks {
			own, _ := piecesOf(c.framing, fmt.Sprint(i), "", "z")
			h.sendPieces(c, []*codec.Frame{own[0], blocks[(i+j)%len(blocks)], own[2]})
		}
	}
	for i, c := range clients {
		if i%4 == 3 {
			c.close()
			continue
		}
		readers.Go(func() { _, _ = c.rest() })
	}
	h.awaitStats("nothing held", func(s Stats) bool { return s.HeldBytes == 0 })
	for i, c := range clients {
		if i%4 != 3 {
			h.on(c.l, func(l *Loop) { l.Close(c.ref, ReasonShutdown, nil, patience) })
		}
	}
	readers.Wait()
	for i, b := range blocks {
		require.Positive(t, fr.of(b), "block %d", i) // again each time that it was sent again
		require.Zero(t, b.Kept())
	}
	h.end()
}

// reclaimed are streams that have something queued, and whether that ends them.
var reclaimed = []struct {
	name    string
	charged bool // it is sent something charged
	behind  bool // behind what fills its socket
	old     bool
	pair    pairOf
	end     bool
}{
	{"old and charged", true, false, true, unixPair, true},
	{"charged, behind others", true, true, true, tcpPair, true},
	{"encrypted", true, false, true, tlsPair, true},
	{"took something of late", true, false, false, unixPair, false},
	{"encrypted, took of late", true, false, false, tlsPair, false},
	{"nothing charged", false, true, true, tcpPair, false},
}

// Ended are streams whose socket takes nothing, whose queue has something that was
// charged, and has had it for long; nobody else.
func TestReclaimEndsWhoTakesNothingOfWhatItMissed(t *testing.T) {
	const age = time.Minute
	h := newHarness(t, Options{QueueMaxSize: 1 << 30})
	clients := make([]*client, len(reclaimed))
	for i, k := range reclaimed {
		clients[i] = h.openTiny(k.pair, codec.FramingChunked)
	}
	reads := h.open(unixPair, codec.FramingChunked)
	pieces, want := piecesOf(codec.FramingChunked, "a", strings.Repeat("b", 2<<20), "c")
	h.do(func(l *Loop) {
		for i, k := range reclaimed {
			c := clients[i]
			if k.behind {
				c.fill(l, 5000)
			}
			if k.charged {
				l.SendPieces(c.ref.Slot, pieces)
			}
			s := l.at(c.ref.Slot)
			for !s.blocked {
				l.flushStream(c.ref.Slot)
			}
			at := l.fair - int64(age) + 1
			if k.old {
				at--
			}
			l.queues[s.queue-1].since = at
			if s.secure != 0 {
				l.secures.at(s.secure).since = at
			}
		}
		l.SendPieces(reads.ref.Slot, pieces) // not tried yet: its lateness is ours
		l.queues[l.at(reads.ref.Slot).queue-1].since = l.fair - int64(age)
		l.Reclaim(age)
		for i, k := range reclaimed {
			assert.Equal(t, !k.end, l.Live(clients[i].ref), k.name)
		}
		assert.True(t, l.Live(reads.ref))
	})
	reads.expect(want)
	for i, k := range reclaimed {
		if k.end {
			h.awaitClosed(clients[i], ReasonSlowResume)
		}
	}
	require.EqualValues(t, 3, h.group.Stats().Closes[ReasonSlowResume])
	require.NoError(t, h.group.DoBehind(context.Background(), func(*Loop) {}))
}
