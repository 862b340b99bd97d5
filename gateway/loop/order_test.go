package loop

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// script sends frames of many sizes and forms to the client, some in each turn,
// and returns what must arrive.
func (h *harness) script(c *client, rnd *rand.Rand, frames, size int) string {
	var want strings.Builder
	for i := 0; i < frames; {
		batch := min(1+rnd.IntN(9), frames-i)
		h.on(c.l, func(l *Loop) {
			for range batch {
				id, text := fmt.Sprintf("c%d", i), fmt.Sprintf("%d:", i)+strings.Repeat("x", rnd.IntN(size))
				switch slot := c.ref.Slot; rnd.IntN(5) {
				case 0:
					l.Send(slot, frameOf(id, text), SharedID)
				case 1:
					l.Send(slot, frameOf(id, text), NoID)
					want.WriteString(wireWithout(c.framing, text))
					i++
					continue
				case 2:
					l.Send(slot, frameOf("", text), SharedID)
					id = ""
				case 3:
					l.SendOwnID(slot, frameOf("shared", text), []byte(ending(c.framing, id)))
				case 4:
					l.SendExempt(slot, frameOf(id, text), SharedID)
				}
				want.WriteString(wire(c.framing, id, text))
				i++
			}
		})
	}
	return want.String()
}

func TestFramesArriveInOrderAndWholeByteByByte(t *testing.T) {
	eachWay(t, func(t *testing.T, pair pairOf, framing codec.Framing) {
		h := newHarness(t, Options{QueueMaxSize: 1 << 30})
		c := h.openTiny(pair, framing)
		rnd := rand.New(rand.NewPCG(1, 2))
		want := h.script(c, rnd, 200, 900)
		require.NoError(t, c.conn.SetReadDeadline(time.Now().Add(patience)))
		got := make([]byte, len(want))
		n, err := io.ReadFull(iotest.OneByteReader(c.conn), got)
		c.same(want, string(got[:n]))
		require.NoError(t, err)
		s := h.awaitStats("an empty queue", func(s Stats) bool { return s.QueuedBytes == 0 && s.Blocked == 0 })
		if s.Secure == 0 {
			require.EqualValues(t, len(want), s.Bytes)
		} else {
			require.Greater(t, s.Bytes, uint64(len(want)), "records have heads and tags")
		}
		require.EqualValues(t, 200, s.Frames)
		c.close()
		h.awaitClosed(c, ReasonClientGone)
	})
}

// The reader stalls until the socket is full and reads on, many times: each
// time only EPOLLOUT can set the stream going again.
func TestAFullSocketIsResumed(t *testing.T) {
	eachWay(t, func(t *testing.T, pair pairOf, framing codec.Framing) {
		h := newHarness(t, Options{QueueMaxSize: 1 << 30})
		c := h.openTiny(pair, framing)
		rnd := rand.New(rand.NewPCG(3, 4))
		for round := range 25 {
			want := h.block(c, 1+rnd.IntN(30000))
			if round%2 == 0 {
				want += h.script(c, rnd, 30, 3000)
			}
			for len(want) > 0 { // in gulps, to meet the socket half full
				n := min(1+rnd.IntN(20000), len(want))
				c.expect(want[:n])
				want = want[n:]
			}
			h.awaitStats("a stream that is not blocked", func(s Stats) bool { return s.Blocked == 0 && s.QueuedBytes == 0 })
		}
		s := h.group.Stats()
		require.NotZero(t, s.Again+s.Writes)
		h.alive(c)
	})
}

// What one loop sends to many streams reaches each, whatever the others do.
func TestManyStreamsGetTheSameFrames(t *testing.T) {
	const streams, frames = 300, 60
	h := newHarness(t, Options{})
	clients := make([]*client, streams)
	for i := range clients {
		framing := codec.Framing(i % 2)
		clients[i] = h.open(map[int]pairOf{0: unixPair, 1: tcpPair}[i%3%2], framing)
	}
	for n := range frames {
		f := frameOf(fmt.Sprint("id", n), fmt.Sprint("to all ", n))
		h.do(func(l *Loop) {
			for _, c := range clients {
				l.Send(c.ref.Slot, f, SharedID)
			}
		})
		if n%10 == 3 {
			clients[n].close() // somebody always leaves
		}
	}
	for i, c := range clients {
		if i < frames && i%10 == 3 {
			h.awaitClosed(c, ReasonClientGone)
			continue
		}
		var want strings.Builder
		for n := range frames {
			want.WriteString(wire(c.framing, fmt.Sprint("id", n), fmt.Sprint("to all ", n)))
		}
		c.expect(want.String())
	}
}

func TestAFrameLeavesWithTheTurnThatSentIt(t *testing.T) {
	h := newHarness(t, Options{})
	c := h.open(tcpPair, codec.FramingChunked)
	for range 100 {
		h.alive(c) // one at a time: nothing else would flush it
	}
	require.EqualValues(t, 100, h.group.Stats().Writes)
}
