package loop

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// piecesOf makes an event of texts that follow each other: every other one is a
// piece that streams of any framing share, as a block of a connect push is.
func piecesOf(framing codec.Framing, texts ...string) (pieces []*codec.Frame, want string) {
	texts[0] = "data: " + texts[0]
	texts[len(texts)-1] += "\n\n"
	for i, text := range texts {
		want += piece(framing, text)
		if i%2 == 1 {
			pieces = append(pieces, codec.EndText(append(codec.StartText(len(text)), text...)))
			continue
		}
		pieces = append(pieces, codec.RawFrame(codec.AppendChunk(nil, framing, []byte(text))))
	}
	return pieces, want
}

// someTexts are those of an event with its name in each.
func someTexts(rnd *rand.Rand, name string, most int) []string {
	texts := make([]string, 1+rnd.IntN(6))
	for i := range texts {
		texts[i] = fmt.Sprint("<", name, ".", i, ">") + strings.Repeat("p", rnd.IntN(most))
	}
	return texts
}

func (h *harness) sendPieces(c *client, pieces []*codec.Frame) {
	h.t.Helper()
	h.on(c.l, func(l *Loop) { l.SendPieces(c.ref.Slot, pieces) })
}

func TestAnEventInPiecesArrivesWhole(t *testing.T) {
	eachWay(t, func(t *testing.T, pair pairOf, framing codec.Framing) {
		rnd := rand.New(rand.NewPCG(1, 40))
		h := newHarness(t, Options{QueueMaxSize: 1 << 30})
		c := h.openTiny(pair, framing)
		want, events := "", uint64(0)
		for i := range 8 {
			pieces, text := piecesOf(framing, someTexts(rnd, fmt.Sprint(i), 30<<10)...)
			h.sendPieces(c, pieces)
			h.send(c, frameOf("", fmt.Sprint("behind ", i)))
			want += text + wire(framing, "", fmt.Sprint("behind ", i))
			events += 2
		}
		c.expect(want)
		s := h.awaitStats("nothing queued", func(s Stats) bool { return s.QueuedBytes == 0 })
		require.Equal(t, events, s.Frames, "an event is one frame to who counts")
		h.alive(c)
	})
}

// Whatever number of bytes the kernel takes, the bytes follow each other, and what
// may be dropped begins at the first event of which no byte is out.
func TestNoByteOfABegunEventMayBeDropped(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 41))
		framing := codec.Framing(seed % 2)
		l, _ := bareLoop(t, Options{Verify: true})
		sock, far := unixPair(t, false)
		ref, err := l.Adopt(sock, framing, codec.CodingIdentity)
		require.NoError(t, err)
		s := l.at(ref.Slot)
		var want, offered strings.Builder
		var ends []int // of each event, in bytes of the stream
		check := func() {
			if s.queue == 0 {
				return
			}
			q := &l.queues[s.queue-1]
			droppable := 0
			for i := q.unsent(); i < len(q.items); i++ {
				droppable += q.items[i].size(framing)
			}
			out, begun := offered.Len(), 0 // begun: the end of the last event with a byte out
			for i := 0; i < len(ends) && begun < out; i++ {
				begun = ends[i]
			}
			require.Equal(t, want.Len()-begun, droppable, "seed %d, %d bytes are out", seed, out)
		}
		for i := range 200 {
			switch rnd.IntN(3) {
			case 0:
				text := strings.Repeat("y", rnd.IntN(60))
				l.Send(ref.Slot, frameOf("", text), NoID)
				want.WriteString(wire(framing, "", text))
				ends = append(ends, want.Len())
			case 1:
				pieces, text := piecesOf(framing, someTexts(rnd, fmt.Sprint(i), 100)...)
				l.SendPieces(ref.Slot, pieces)
				want.WriteString(text)
				ends = append(ends, want.Len())
			}
			check()
			if s.queue == 0 {
				continue
			}
			n := l.gather(s, &l.queues[s.queue-1], 1+rnd.IntN(300))
			bytes, _ := gathered(l)
			l.iov.reset()
			taken := rnd.IntN(n + 1)
			offered.WriteString(bytes[:taken])
			l.advanceQueue(ref.Slot, taken)
			check()
		}
		require.True(t, strings.HasPrefix(want.String(), offered.String()), "seed %d: expected the bytes as queued", seed)
		l.Cut(ref, ReasonShutdown)
		require.NoError(t, far.Close())
		checkEmpty(t, l)
	}
}

func TestAStreamThatIsSlowInTheMiddleOfAnEventCompletesIt(t *testing.T) {
	eachWay(t, func(t *testing.T, pair pairOf, framing codec.Framing) {
		h := newHarness(t, Options{QueueMaxSize: 64 << 10, SlowFrame: frameOf("", slowText)})
		h.giveTime()
		c, other := h.openTiny(pair, framing), h.open(pair, framing)
		texts := make([]string, 3)
		for i := range texts {
			texts[i] = fmt.Sprint("<", i, ">") + strings.Repeat("p", 200<<10)
		}
		pieces, want := piecesOf(framing, texts...)
		h.send(c, frameOf("", "before"))
		h.sendPieces(c, pieces)
		h.awaitStats("the event begun", func(s Stats) bool { return s.Frames == 1 && s.Blocked == 1 })
		h.stall(c, strings.Repeat("s", 1500))
		got, err := c.rest()
		require.NoError(t, err)
		c.same(wire(framing, "", "before")+want+wire(framing, "", slowText)+terminator(framing), got)
		require.Equal(t, []Reason{ReasonSlowBytes}, c.rec.reasons(c.ref))
		h.alive(other)
	})
}

func TestAStreamThatIsSlowAndReadsNothingIsCutWithinItsEvent(t *testing.T) {
	h := newHarness(t, Options{QueueMaxSize: 64 << 10, SlowFrame: frameOf("", slowText)})
	c := h.openTiny(unixPair, codec.FramingChunked)
	pieces, want := piecesOf(codec.FramingChunked, strings.Repeat("a", 300<<10), strings.Repeat("b", 300<<10), strings.Repeat("c", 300<<10))
	h.sendPieces(c, pieces)
	h.stall(c, strings.Repeat("s", 1500))
	h.awaitStats("the stream cut", func(s Stats) bool { return s.Open == 0 })
	got, err := c.rest()
	require.NoError(t, err)
	require.Less(t, len(got), len(want))
	require.True(t, strings.HasPrefix(want, got), "expected nothing but a part of the event")
}

func TestAnEventThatHasNotBegunIsDroppedWithAllItsPieces(t *testing.T) {
	eachWay(t, func(t *testing.T, pair pairOf, framing codec.Framing) {
		h := newHarness(t, Options{QueueMaxSize: 64 << 10, SlowFrame: frameOf("", slowText)})
		h.giveTime()
		c := h.openTiny(pair, framing)
		pieces, _ := piecesOf(framing, "<0>", "<1>"+strings.Repeat("p", 1<<20), "<2>", "<3>", "<4>")
		var sent string
		behind := 0
		h.do(func(l *Loop) { // one turn, so that the socket is not asked again
			sent = c.fill(l, 3000)
			l.SendPieces(c.ref.Slot, pieces)
			for ; l.Live(c.ref); behind++ {
				l.Send(c.ref.Slot, frameOf("", strings.Repeat("s", 1500)), NoID)
			}
		})
		got, err := c.rest()
		require.NoError(t, err)
		head, ok := strings.CutSuffix(got, wire(framing, "", slowText)+terminator(framing))
		require.True(t, ok, "expected the last words at the end, got %q", got[max(0, len(got)-100):])
		require.True(t, strings.HasPrefix(sent, head), "expected whole frames and nothing of the event")
		require.NotContains(t, got, "<")
		s := h.group.Stats()
		events := strings.Count(sent, "data: ") + 1 + behind + 1
		if framing == codec.FramingChunked {
			events++ // the terminator
		}
		require.EqualValues(t, events, s.Frames+s.Dropped, "expected each event written or dropped")
	})
}

// What may be left out of a queue is never a piece, wherever the event stands.
func TestWhatMayBeLeftOutLeavesEventsInPiecesAlone(t *testing.T) {
	var all Stats
	for seed := range uint64(12) {
		rnd := rand.New(rand.NewPCG(seed, 42))
		framing := codec.Framing(seed % 2)
		h := newHarness(t, Options{QueueMaxSize: 20 << 10})
		c := h.openTiny([]pairOf{unixPair, tcpPair, tlsPair}[seed%3], framing)
		drops, conflates := &source{"drops"}, &source{"conflates"}
		var events []string
		got := make(chan string, 1)
		h.do(func(l *Loop) {
			for i := range 150 {
				text := fmt.Sprint("n", i, strings.Repeat("x", rnd.IntN(900)))
				switch rnd.IntN(8) {
				case 0:
					pieces, want := piecesOf(framing, someTexts(rnd, fmt.Sprint(i), 8<<10)...)
					l.SendPieces(c.ref.Slot, pieces)
					events = append(events, want)
				case 1, 2, 3:
					l.SendLossy(c.ref.Slot, frameOf("", text), Lossy{Class: conflates, Key: 1 + rnd.Uint64N(5), Drops: rnd.IntN(2) == 0})
				default:
					l.SendLossy(c.ref.Slot, frameOf("", text), Lossy{Class: drops, Drops: true})
				}
				if s := l.at(c.ref.Slot); s.queue != 0 && !s.blocked && rnd.IntN(3) == 0 {
					l.flushStream(c.ref.Slot)
				}
			}
			assert.True(t, l.Live(c.ref))
			l.Close(c.ref, ReasonShutdown, nil, patience)
		})
		go func() {
			body, err := c.rest()
			if err != nil {
				t.Error(err)
			}
			got <- body
		}()
		body := <-got
		for i, want := range events {
			_, behind, ok := strings.Cut(body, want)
			require.True(t, ok, "seed %d: event %d of %d is not there, whole and in order", seed, i, len(events))
			body = behind
		}
		stats := h.group.Stats()
		all.Add(&stats)
		c.close()
		h.end()
	}
	require.NotZero(t, all.Dropped)
	require.NotZero(t, all.Conflated)
}

func TestAnEventInPiecesIsOneForALimit(t *testing.T) {
	eachWay(t, func(t *testing.T, pair pairOf, framing codec.Framing) {
		h := newHarness(t, Options{})
		h.endSpent()
		c := h.open(pair, framing)
		pieces, text := piecesOf(framing, "one", "two", "three", "four", "five")
		want := wire(framing, "", "first") + text + text
		h.do(func(l *Loop) {
			l.Limit(c.ref.Slot, 3)
			l.Send(c.ref.Slot, frameOf("", "first"), NoID)
			for _, live := range []bool{true, false, false} {
				l.SendPieces(c.ref.Slot, pieces)
				assert.Equal(t, live, l.Live(c.ref))
			}
		})
		c.expectEnd(want + terminator(framing))
		h.awaitClosed(c, ReasonBounded)
		require.EqualValues(t, 1, h.group.Stats().Dropped, "the third was refused")
	})
}
