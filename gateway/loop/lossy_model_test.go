package loop

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// source is a Class whose frames and notices name it.
type source struct{ name string }

func (s *source) Gap(g codec.Gap) *codec.Frame { return frameOf("", s.gapText(g)) }

func (s *source) gapText(g codec.Gap) string {
	return fmt.Sprintf("%s gap %d from %d to %d", s.name, g.Dropped, g.From, g.To)
}

// naiveItem is an item of a queue as the naive model keeps it.
type naiveItem struct {
	src   *source // nil for a plain frame
	drops bool
	key   uint64
	text  string
	order int
	gap   codec.Gap
	begun int // bytes out, in the framing of the stream
}

func (it *naiveItem) wire(f codec.Framing) string {
	if it.gap.Dropped > 0 {
		return wire(f, "", it.src.gapText(it.gap))
	}
	return wire(f, "", it.text)
}

func (it *naiveItem) cost() int {
	if it.gap.Dropped > 0 {
		return gapCost
	}
	return frameOf("", it.text).Len() + itemCost
}

// naiveQueue is an out-queue of a stream that lags, done in the plainest way.
type naiveQueue struct {
	framing            codec.Framing
	limit              int
	items              []*naiveItem
	out                strings.Builder
	dropped, conflated uint64
}

func (m *naiveQueue) bytes() (n int) {
	for _, it := range m.items {
		n += it.cost()
	}
	return n
}

// waiting is what counts for the limit: all but the first item.
func (m *naiveQueue) waiting() int {
	if len(m.items) == 0 {
		return 0
	}
	return m.bytes() - m.items[0].cost()
}

// send reports whether the stream is still within its limit.
func (m *naiveQueue) send(it *naiveItem) bool {
	if at := m.sameKey(it); at != nil {
		*at = *it
		m.conflated++
	} else {
		m.items = append(m.items, it)
	}
	if m.waiting() > m.limit {
		m.drop()
	}
	return m.waiting() <= m.limit
}

func (m *naiveQueue) sameKey(it *naiveItem) (last *naiveItem) {
	for _, old := range m.items {
		if it.key != 0 && old.begun == 0 && old.src == it.src && old.key == it.key {
			last = old
		}
	}
	return last
}

// drop turns the droppable frames that were sent first into notices, one after the other,
// and merges the notices of one source into the first of them that is not begun. In the end
// each stands in front of what waits of its source.
func (m *naiveQueue) drop() {
	oldest := slices.Clone(m.items)
	slices.SortFunc(oldest, func(a, b *naiveItem) int { return cmp.Compare(a.order, b.order) })
	for _, it := range oldest {
		if m.waiting() <= m.limit/4*3 {
			break
		}
		if !it.drops || it.begun > 0 || it.gap.Dropped > 0 {
			continue
		}
		m.dropped++
		it.gap.Dropped, it.key, it.drops = 1, 0, false
		m.merge(it.src)
	}
	for i := range m.items {
		notice := m.items[i]
		first := slices.IndexFunc(m.items, func(it *naiveItem) bool { return it.src == notice.src && it.begun == 0 })
		if notice.src != nil && notice.gap.Dropped > 0 && notice.begun == 0 && first < i {
			m.items = slices.Insert(slices.Delete(m.items, i, i+1), first, notice)
		}
	}
}

func (m *naiveQueue) merge(src *source) {
	var first *naiveItem
	kept := m.items[:0:0]
	for _, it := range m.items {
		switch {
		case it.src != src || it.gap.Dropped == 0 || it.begun > 0:
		case first == nil:
			first = it
		default:
			first.gap.Dropped += it.gap.Dropped
			first.gap.From, first.gap.To = min(first.gap.From, it.gap.From), max(first.gap.To, it.gap.To)
			continue
		}
		kept = append(kept, it)
	}
	m.items = kept
}

// write takes n bytes off the queue.
func (m *naiveQueue) write(n int) {
	for n > 0 {
		it := m.items[0]
		text := it.wire(m.framing)[it.begun:]
		took := min(n, len(text))
		m.out.WriteString(text[:took])
		it.begun += took
		n -= took
		if took == len(text) {
			m.items = m.items[1:]
		}
	}
}

// What goes to the kernel is, byte for byte, what the naive model says, and the
// bytes counted are those of its items, whatever is taken in between.
func TestLossyQueuesDoAsTheModelSays(t *testing.T) {
	var dropped, conflated, slow uint64
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 31))
		m := &naiveQueue{framing: codec.Framing(seed % 2), limit: 2000 + rnd.IntN(20000)}
		l, rec := bareLoop(t, Options{Verify: true, QueueMaxSize: m.limit})
		sock, far := unixPair(t, false)
		fd := sock.fd
		ref, err := l.Adopt(PlainSocket(fd), m.framing, codec.CodingIdentity)
		require.NoError(t, err)
		s := l.at(ref.Slot)
		l.setBlocked(ref.Slot, true) // it lags, whatever the test takes
		plain := uint64(rnd.IntN(3)) // of how many sixteenths
		var out strings.Builder
		alive := true
		for i := 1; i <= 1500 && alive; i++ {
			alive = m.send(sendAny(l, ref.Slot, rnd, i, rnd.Uint64N(16) < plain))
			require.Equal(t, alive, s.state == stateLive, "seed %d: expected the end only if nothing droppable is left", seed)
			if alive {
				require.Equal(t, m.bytes(), l.Queued(ref.Slot), "seed %d, step %d", seed, i)
				if rnd.IntN(3) == 0 {
					takeSome(t, l, ref.Slot, rnd, m, &out)
				}
			}
		}
		if !alive {
			slow++
			require.Equal(t, []Reason{ReasonSlowBytes}, rec.reasons(ref))
		}
		for alive && s.queue != 0 {
			takeSome(t, l, ref.Slot, rnd, m, &out)
		}
		require.Equal(t, m.out.String(), out.String(), "seed %d", seed)
		require.Equal(t, m.conflated, l.stats.Conflated)
		if alive {
			require.Equal(t, m.dropped, l.stats.Dropped)
			require.Empty(t, m.items)
			l.Cut(ref, ReasonShutdown)
		} else {
			l.cut(ref.Slot)
		}
		dropped, conflated = dropped+m.dropped, conflated+m.conflated
		require.Zero(t, l.stats.QueuedBytes)
		require.Empty(t, l.check.frames, "seed %d: expected every frame released", seed)
		require.NoError(t, far.Close())
	}
	require.NotZero(t, dropped)
	require.NotZero(t, conflated)
	require.NotZero(t, slow, "no seed met the end of a stream")
}

// takeSome does what the kernel does: it takes any part of what it is offered.
func takeSome(t *testing.T, l *Loop, slot uint32, rnd *rand.Rand, m *naiveQueue, out *strings.Builder) {
	t.Helper()
	s := l.at(slot)
	if s.queue == 0 {
		return
	}
	n := l.gather(s, &l.queues[s.queue-1], maxWriteBytes)
	bytes, _ := gathered(l)
	l.iov.reset()
	require.NotZero(t, n, "an offer of nothing would never end")
	switch rnd.IntN(4) {
	case 0: // everything
	case 1:
		n = 0 // the socket is full after all: texts of notices were made in vain
	default:
		n = rnd.IntN(n + 1)
	}
	out.WriteString(bytes[:n])
	l.advanceQueue(slot, n)
	m.write(n)
}

// A notice may be the first item behind what one write took: it has no text yet.
func TestANoticeBehindWhatOneWriteTakes(t *testing.T) {
	l, _ := bareLoop(t, Options{Verify: true, QueueMaxSize: 40 << 10})
	sock, far := unixPair(t, false)
	fd := sock.fd
	ref, err := l.Adopt(PlainSocket(fd), codec.FramingClose, codec.CodingIdentity)
	require.NoError(t, err)
	s := l.at(ref.Slot)
	l.setBlocked(ref.Slot, true)
	want := ""
	for i := range maxWriteFrames {
		l.Send(ref.Slot, frameOf("", fmt.Sprint(i)), NoID)
		want += wire(codec.FramingClose, "", fmt.Sprint(i))
	}
	src := &source{"s"}
	for i := range 2 { // each is too much
		l.SendLossy(ref.Slot, frameOf("", strings.Repeat("l", 50<<10)), Lossy{Class: src, Drops: true, Offset: uint64(1 + i)})
	}
	want += wire(codec.FramingClose, "", "s gap 2 from 1 to 2")
	got := ""
	for s.queue != 0 {
		n := l.gather(s, &l.queues[s.queue-1], maxWriteBytes)
		bytes, _ := gathered(l)
		l.iov.reset()
		got += bytes
		l.advanceQueue(ref.Slot, n)
	}
	require.Equal(t, want, got)
	l.Cut(ref, ReasonShutdown)
	require.NoError(t, far.Close())
}

// Whatever a client gets behind a stall is newer than all that was dropped in it: it never
// ends without the last value of a key while it is given what was sent before that.
func TestWhatIsDroppedIsOlderThanWhatIsNot(t *testing.T) {
	var dropped, conflated uint64
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 33))
		l, _ := bareLoop(t, Options{Verify: true, QueueMaxSize: 2000 + rnd.IntN(20000)})
		sock, far := unixPair(t, false)
		ref, err := l.Adopt(PlainSocket(sock.fd), codec.FramingClose, codec.CodingIdentity)
		require.NoError(t, err)
		l.setBlocked(ref.Slot, true)
		sources := []*source{{"a"}, {"b"}}
		last := make(map[string]int) // the newest number of each key
		keys := 1 + rnd.Uint64N(60)
		for i := 1; i <= 400; i++ {
			src, key := sources[rnd.IntN(2)], 1+rnd.Uint64N(keys)
			last[fmt.Sprint(src.name, key)] = i
			text := fmt.Sprintf("%s %d key %d %s", src.name, i, key, strings.Repeat("x", rnd.IntN(300)))
			l.SendLossy(ref.Slot, frameOf("", text), Lossy{Class: src, Drops: true, Key: key, Offset: uint64(i)})
			require.True(t, l.Live(ref))
		}
		body := ""
		for s := l.at(ref.Slot); s.queue != 0; {
			n := l.gather(s, &l.queues[s.queue-1], maxWriteBytes)
			bytes, _ := gathered(l)
			l.iov.reset()
			body += bytes
			l.advanceQueue(ref.Slot, n)
		}
		missing, oldest := 0, 401 // the newest last value that is missing, the oldest frame that came
		came, told := make(map[string]bool), make(map[string]bool)
		for event := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
			text := strings.TrimPrefix(event, "data: ")
			if f := lossyNotice.FindStringSubmatch(text); f != nil {
				require.False(t, came[f[1]], "seed %d: a gap is told before the next frame of its source", seed)
				told[f[1]] = true
				continue
			}
			f := lossyFrame.FindStringSubmatch(text)
			require.NotNil(t, f, text)
			came[f[1]] = true
			oldest = min(oldest, number(f[2]))
			if name := f[1] + f[3]; last[name] == number(f[2]) {
				delete(last, name)
			}
		}
		for name, i := range last {
			missing = max(missing, i)
			require.True(t, told[name[:1]], "seed %d: a client that lacks the last value of a key was told of a gap", seed)
		}
		require.Less(t, missing, oldest, "seed %d", seed)
		dropped, conflated = dropped+l.stats.Dropped, conflated+l.stats.Conflated
		l.Cut(ref, ReasonShutdown)
		require.Empty(t, l.check.frames)
		require.NoError(t, far.Close())
	}
	require.NotZero(t, dropped)
	require.NotZero(t, conflated)
}

var sources = []*source{{"a"}, {"b"}, {"c"}, {"d"}}

// sendAny sends frame n, plain or of any source, and returns what the model has of it.
func sendAny(l *Loop, slot uint32, rnd *rand.Rand, n int, plain bool) *naiveItem {
	it := &naiveItem{order: n, text: fmt.Sprint(n, strings.Repeat("x", rnd.IntN(300)))}
	if plain {
		l.Send(slot, frameOf("", it.text), NoID)
		return it
	}
	src := rnd.IntN(len(sources))
	it.src, it.drops = sources[src], src != 1 // b is only conflated
	it.gap = codec.Gap{From: uint64(n), To: uint64(n)}
	if src > 0 {
		it.key = 1 + rnd.Uint64N(10)
	}
	l.SendLossy(slot, frameOf("", it.text), Lossy{Class: it.src, Drops: it.drops, Key: it.key, Offset: uint64(n)})
	return it
}
