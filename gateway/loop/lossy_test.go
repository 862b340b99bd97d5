package loop

import (
	"fmt"
	"math/rand/v2"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// received is what a client makes of a lossy stream, per source.
type received struct {
	frames []int
	keys   map[string]int // key → newest number
	next   int            // the number that is due where nothing may be missing
	lost   uint64
}

var (
	lossyFrame  = regexp.MustCompile(`^(\w+) (\d+) key (\d+) x*$`)
	lossyNotice = regexp.MustCompile(`^(\w+) gap (\d+) from (\d+) to (\d+)$`)
)

// readLossy takes the events of a body in order; what is told and what arrived must
// be all numbers of sources that are not conflated, in order.
func readLossy(t *testing.T, body string) map[string]*received {
	t.Helper()
	got := make(map[string]*received)
	of := func(name string) *received {
		if got[name] == nil {
			got[name] = &received{keys: make(map[string]int), next: 1}
		}
		return got[name]
	}
	for event := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		text, ok := strings.CutPrefix(event, "data: ")
		require.True(t, ok, "expected an event, got %q", event)
		if f := lossyNotice.FindStringSubmatch(text); f != nil {
			n, from, to := number(f[2]), number(f[3]), number(f[4])
			r := of(f[1])
			if f[1] == "drops" {
				require.Equal(t, r.next, from, text)
				require.Equal(t, from+n-1, to, text)
				r.next = to + 1
			}
			require.LessOrEqual(t, from+n-1, to, text)
			r.lost += uint64(n)
			continue
		}
		f := lossyFrame.FindStringSubmatch(text)
		require.NotNil(t, f, "expected a frame or a notice, got %q", text)
		r, n := of(f[1]), number(f[2])
		if f[1] == "drops" || f[1] == "plain" {
			require.Equal(t, r.next, n, "%s: expected each once and in order, or a notice before", f[1])
			r.next = n + 1
		}
		require.Greater(t, n, r.keys[f[3]], "%s: a key went back in time", f[1])
		r.keys[f[3]] = n
		r.frames = append(r.frames, n)
	}
	return got
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

// A real socket, a reader that stalls and reads on: frames of four kinds are
// received, told as dropped, or replaced by a newer one of their key, and
// nothing else happens to them.
func TestALossyStreamAccountsForEveryFrame(t *testing.T) {
	var all Stats
	for seed := range uint64(12) {
		pair := []pairOf{unixPair, tcpPair}[seed%2]
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 32))
			h := newHarness(t, Options{QueueMaxSize: 40 << 10})
			c := h.openTiny(pair, codec.FramingClose)
			sent, body := h.sendLossyScript(c, rnd)
			h.do(func(l *Loop) { l.Close(c.ref, ReasonShutdown, nil, patience) })
			rest, err := c.rest()
			require.NoError(t, err)
			stats := h.checkLossy(readLossy(t, body+rest), sent)
			all.Add(&stats)
		})
	}
	require.NotZero(t, all.Dropped)
	require.NotZero(t, all.Conflated)
}

// sent is how often each source sent, and the newest number of each key.
type sent struct {
	count map[string]int
	keys  map[string]map[uint64]int
}

// sendLossyScript sends in bursts, at times more than the socket takes, and reads
// some of it in between.
func (h *harness) sendLossyScript(c *client, rnd *rand.Rand) (s sent, body string) {
	h.t.Helper()
	names := []string{"plain", "drops", "conflates", "both"}
	s = sent{make(map[string]int), make(map[string]map[uint64]int)}
	sources := make(map[string]*source)
	for _, name := range names {
		sources[name], s.keys[name] = &source{name}, make(map[uint64]int)
	}
	var read strings.Builder
	buf := make([]byte, 64<<10)
	for range 300 {
		burst := 1 + rnd.IntN(60)
		h.on(c.l, func(l *Loop) {
			for range burst {
				name := names[1+rnd.IntN(3)]
				// All of them fit, or a stream that nobody reads for
				// long would end as slow.
				if rnd.IntN(150) == 0 && s.count["plain"] < 50 {
					name = "plain"
				}
				s.count[name]++
				key := rnd.Uint64N(12)
				if name == "plain" || name == "drops" {
					key = 0
				}
				s.keys[name][key] = s.count[name]
				f := frameOf("", fmt.Sprintf("%s %d key %d %s", name, s.count[name], key, strings.Repeat("x", rnd.IntN(400))))
				if name == "plain" {
					l.Send(c.ref.Slot, f, NoID)
					continue
				}
				l.SendLossy(c.ref.Slot, f, Lossy{
					Class: sources[name], Drops: name != "conflates", Key: key, Offset: uint64(s.count[name]),
				})
			}
		})
		// Now and then nothing is read for long, or everything.
		for gulps := rnd.IntN(4) - 1; gulps > 0 || rnd.IntN(30) == 0; gulps-- {
			n, err := readNow(c.conn, buf[:1+rnd.IntN(len(buf)-1)])
			require.NoError(h.t, err)
			read.Write(buf[:n])
		}
	}
	return s, read.String()
}

// readNow reads what is there.
func readNow(c net.Conn, buf []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		return 0, err
	}
	n, err := c.Read(buf)
	if e, ok := err.(net.Error); ok && e.Timeout() {
		err = nil
	}
	return n, err
}

// checkLossy compares what came with what was sent, and both with the counters.
func (h *harness) checkLossy(got map[string]*received, s sent) Stats {
	h.t.Helper()
	stats := h.group.Stats()
	conflated, lost := 0, uint64(0)
	for name, n := range s.count {
		r := got[name]
		require.NotNil(h.t, r, "nothing of %q came", name)
		lost += r.lost
		switch name {
		case "plain":
			require.Zero(h.t, r.lost)
			require.Equal(h.t, n, len(r.frames), "plain frames are never dropped")
		case "drops":
			require.Equal(h.t, n, r.next-1, "expected every frame received or told")
		case "conflates":
			require.Zero(h.t, r.lost)
			fallthrough
		case "both":
			conflated += n - len(r.frames) - int(r.lost)
		}
		for key, newest := range s.keys[name] {
			if r.lost == 0 {
				require.Equal(h.t, newest, r.keys[fmt.Sprint(key)], "%s: expected the newest of key %d", name, key)
			}
		}
	}
	require.EqualValues(h.t, stats.Conflated, conflated, "expected every frame received, told or replaced")
	require.Equal(h.t, stats.Dropped, lost)
	return stats
}

// A frame larger than the one it replaces may be too much for the queue.
func TestConflationKeepsTheLimit(t *testing.T) {
	h := newHarness(t, Options{QueueMaxSize: 64 << 10})
	c := h.openTiny(unixPair, codec.FramingChunked)
	h.block(c, 500)
	src := &source{"s"}
	send := func(key uint64, size int, drops bool) {
		h.on(c.l, func(l *Loop) {
			l.SendLossy(c.ref.Slot, frameOf("", strings.Repeat("k", size)), Lossy{Class: src, Key: key, Drops: drops})
			if n := l.Queued(c.ref.Slot); n > 64<<10 {
				t.Errorf("expected at most the limit queued, got %d", n)
			}
		})
	}
	for key := range uint64(20) {
		send(1+key, 10, false)
	}
	for key := range uint64(5) {
		send(1+key, 8<<10, false)
	}
	require.Empty(t, c.rec.reasons(c.ref))
	for key := range uint64(10) {
		send(1+key, 8<<10, true) // it may be dropped instead
	}
	require.Empty(t, c.rec.reasons(c.ref))
	for key := range uint64(20) {
		send(1+key, 8<<10, false)
	}
	h.awaitClosed(c, ReasonSlowBytes)
}

// What was dropped is told even if the stream ends before there was room to.
func TestAClosingStreamIsToldWhatWasDropped(t *testing.T) {
	eachWay(t, func(t *testing.T, pair pairOf, framing codec.Framing) {
		h := newHarness(t, Options{QueueMaxSize: 20 << 10})
		c := h.openTiny(pair, framing)
		before := h.block(c, 500)
		src := &source{"s"}
		var texts []string
		h.do(func(l *Loop) {
			// The kernel may have taken more since; in this turn it does not.
			for !l.at(c.ref.Slot).blocked {
				l.Send(c.ref.Slot, frameOf("", "more"), NoID)
				before += wire(framing, "", "more")
				l.flushStream(c.ref.Slot)
			}
			for i := range 100 {
				texts = append(texts, fmt.Sprint(i, strings.Repeat("t", 500)))
				l.SendLossy(c.ref.Slot, frameOf("", texts[i]), Lossy{Class: src, Drops: true, Offset: uint64(10 + i)})
			}
			l.Close(c.ref, ReasonShutdown, frameOf("", "bye"), patience)
		})
		dropped := h.group.Stats().Dropped
		require.NotZero(t, dropped)
		want := before + wire(framing, "", src.gapText(codec.Gap{Dropped: dropped, From: 10, To: 9 + dropped}))
		for _, text := range texts[dropped:] {
			want += wire(framing, "", text)
		}
		c.expectEnd(want + wire(framing, "", "bye") + terminator(framing))
	})
}

// The newest of a key that waits alone stays, whatever else stands behind it.
func TestTheNewestOfAKeyStaysThoughAPingIsBehindIt(t *testing.T) {
	const limit = 64 << 10
	l, rec, c := blockedLoop(t, Options{QueueMaxSize: limit}, 2*limit)
	slot := c.ref.Slot
	y := Lossy{Class: &source{"s"}, Key: 7, Drops: true}
	l.SendLossy(slot, frameOf("", "old"), y)
	l.Push(slot, codec.PingFrame)
	l.SendLossy(slot, frameOf("", strings.Repeat("n", 2*limit)), y)
	require.Zero(t, l.stats.Dropped)
	require.EqualValues(t, 1, l.stats.Conflated)
	l.SendLossy(slot, frameOf("", "another class"), Lossy{Class: &source{"t"}, Drops: true})
	require.EqualValues(t, 1, l.stats.Dropped, "the oldest, now that another one waits")
	require.Empty(t, rec.reasons(c.ref))
}
