package session

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/testkit"
)

// settled fails the test unless everything was given back.
func (b *budget) settled(t testing.TB) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Zero(t, b.used.Load(), "bytes")
	require.Zero(t, b.waiting.Load(), "waiting")
	require.Empty(t, b.charged, "charged frames")
	require.Empty(t, b.blocks, "blocks")
	require.True(t, b.sem.TryAcquire(b.size), "the room and its counter disagree")
	b.sem.Release(b.size)
}

func (b *budget) awaitWaiting(t testing.TB, n int64) {
	t.Helper()
	testkit.Eventually(t, func() bool { return b.waiting.Load() == n }, fmt.Sprint(n, " wait for room"))
}

// missedPubs are so many publications from first on.
func missedPubs(first, n uint64, size int) (pubs []*codec.Publication) {
	for i := range n {
		pubs = append(pubs, &codec.Publication{Data: codec.QuoteJSON(fmt.Sprintf("%0*d", size, first+i)), Offset: first + i})
	}
	return pubs
}

func keyOf(ch string, pubs []*codec.Publication, deltas bool) blockKey {
	return blockKey{channel: ch, epoch: "e", first: pubs[0].Offset, last: pubs[len(pubs)-1].Offset, deltas: deltas}
}

func TestWhoWaitsForRoomGetsInInOrder(t *testing.T) {
	b := newBudget(1000)
	first, err := b.enter(t.Context(), 500)
	require.NoError(t, err)
	require.EqualValues(t, 1000, b.used.Load())
	in := make(chan int)
	var tickets [5]*ticket
	for i := range tickets {
		// The first of them wants most: those behind it would fit sooner.
		go func() {
			var err error
			if tickets[i], err = b.enter(t.Context(), 450-10*i); err != nil {
				t.Error(err)
			}
			in <- i
		}()
		b.awaitWaiting(t, int64(i+1))
	}
	first.close()
	first.close() // gives back nothing more
	for i := range tickets {
		require.Equal(t, i, <-in)
		tickets[i].close()
	}
	b.settled(t)
	waited := b.waited.Read()
	require.EqualValues(t, 5, waited.Count())
}

func TestAWaitThatEndsTakesNothingAndIsNotFinal(t *testing.T) {
	b := newBudget(1000)
	first, err := b.enter(t.Context(), 100_000)
	require.NoError(t, err)
	require.EqualValues(t, 1000, b.used.Load(), "more than there is takes all")
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := b.enter(ctx, 10)
		failed <- err
	}()
	b.awaitWaiting(t, 1)
	cancel()
	require.ErrorIs(t, <-failed, codec.ErrTooManyRequests)
	require.EqualValues(t, 1, b.fails.Load())
	none, err := b.enter(t.Context(), 0)
	require.NoError(t, err, "who missed nothing waits for nobody")
	none.close()
	first.close()
	b.settled(t)
}

func TestABlockIsSharedByThoseWhoMissTheSame(t *testing.T) {
	b := newBudget(1 << 30)
	pubs := missedPubs(1, 50, 1000)
	keys := []blockKey{
		keyOf("a", pubs, false), keyOf("a", pubs, true), keyOf("b", pubs, false),
		keyOf("a", pubs[1:], false), keyOf("a", pubs[:49], false),
		{channel: "a", epoch: "f", first: 1, last: 50},
	}
	const sharers = 16
	frames := make([][sharers]*codec.Frame, len(keys))
	var all sync.WaitGroup
	for k, key := range keys {
		for i := range sharers {
			all.Go(func() {
				room, err := b.enter(t.Context(), 200_000)
				if err != nil {
					t.Error(err)
					return
				}
				frames[k][i] = room.block(key, pubs)
				room.close()
			})
		}
	}
	all.Wait()
	seen := make(map[*codec.Frame]bool)
	bytes := int64(0)
	for k := range keys {
		f := frames[k][0]
		require.False(t, seen[f], "key %d shares with another", k)
		seen[f] = true
		bytes += int64(f.Len()) * recoveryFactor
		for i := range sharers {
			require.Same(t, f, frames[k][i])
		}
		want := codec.AppendPublications(nil, pubs, keys[k].deltas)
		text, _ := f.Event(codec.FramingClose, false)
		require.Equal(t, string(want), string(text))
	}
	require.Equal(t, bytes, b.used.Load(), "each counts once")
	for k := range keys {
		for i := range sharers {
			require.Positive(t, b.used.Load())
			b.done(frames[k][i])
			b.freed(frames[k][i]) // told again and again
		}
	}
	b.settled(t)
}

// What many miss as events of their own is there once, too, until the last of them has
// let go of its run.
func TestARunIsSharedByThoseWhoMissTheSame(t *testing.T) {
	b := newBudget(1 << 30)
	pubs := missedPubs(1, 50, 1000)
	key := keyOf("a", pubs, false)
	key.events = true
	const own = 300
	var first []*codec.Frame
	var tails []*codec.Frame
	for range 16 {
		room, err := b.enter(t.Context(), 200_000)
		require.NoError(t, err)
		block, events := room.run(key, pubs)
		if first == nil {
			first = events
		}
		require.Equal(t, fmt.Sprintf("%p", first), fmt.Sprintf("%p", events), "they are the same frames")
		tail := codec.RawFrame(nil)
		room.chargeTail(tail, own, []*codec.Frame{block})
		room.close()
		tail.Keep()
		b.done(tail)
		tails = append(tails, tail)
	}
	shared := 0
	for i, f := range first {
		shared += f.Len()
		lines, end := f.Event(codec.FramingClose, true)
		id := string(codec.AppendCursorEntry(nil, codec.CursorEntry{Channel: codec.Tag32("a"), Epoch: codec.Tag32(key.epoch), Offset: pubs[i].Offset}))
		require.Equal(t, "data: "+string(codec.AppendPub(nil, "a", pubs[i]))+"\nid: "+id+"\n\n", string(lines)+string(end))
	}
	require.EqualValues(t, (shared+len(tails)*own)*recoveryFactor, b.used.Load(), "each counts once")
	for i, tail := range tails {
		require.GreaterOrEqual(t, b.used.Load(), int64(shared*recoveryFactor), "%d are being sent it", len(tails)-i)
		tail.Unkeep()
		b.freed(tail)
	}
	b.settled(t)
}

func TestABlockIsMadeAnewWhenItsMakerPanics(t *testing.T) {
	b := newBudget(1 << 30)
	pubs := missedPubs(1, 3, 10)
	key := keyOf("a", pubs, false)
	panicked := make(chan any)
	broken, err := b.enter(t.Context(), 1000)
	require.NoError(t, err)
	b.mu.Lock() // until the others wait for the one who fails
	blk := &block{key: key, built: make(chan struct{})}
	b.blocks[key] = blk
	b.mu.Unlock()
	var others sync.WaitGroup
	var frames [8]*codec.Frame
	for i := range frames {
		others.Go(func() {
			room, err := b.enter(t.Context(), 1000)
			if err != nil {
				t.Error(err)
				return
			}
			defer room.close()
			frames[i] = room.block(key, pubs)
		})
	}
	go func() {
		defer func() { panicked <- recover() }()
		broken.build(blk, []*codec.Publication{nil})
	}()
	require.NotNil(t, <-panicked)
	broken.close()
	others.Wait()
	for _, f := range frames {
		require.Same(t, frames[0], f)
		b.done(f)
	}
	b.settled(t)
}

// Openings that take, share, send, let go of and fail in any order on goroutines
// of their own, as those of several loops do: everything comes back, once.
func TestEverythingTakenComesBackWhateverTheOrder(t *testing.T) {
	b := newBudget(300_000)
	pubs := missedPubs(1, 40, 200)
	var all sync.WaitGroup
	for g := range 8 {
		rnd := rand.New(rand.NewPCG(uint64(g), 43))
		all.Go(func() {
			for range 150 {
				modelOpening(t, b, rnd, pubs)
			}
		})
	}
	all.Wait()
	b.settled(t)
}

// modelFrames takes frames of each kind out of a ticket.
func modelFrames(t *testing.T, room *ticket, rnd *rand.Rand, pubs []*codec.Publication) (frames []*codec.Frame) {
	for range rnd.IntN(4) {
		from := rnd.IntN(4) * 10
		part := pubs[from : from+10]
		switch rnd.IntN(4) {
		case 0:
			f := codec.RawFrame(make([]byte, 1+rnd.IntN(500)))
			room.charge(f)
			frames = append(frames, f)
			continue
		case 1: // a run: its tail stands for all of it
			tail, key := codec.RawFrame(nil), keyOf(fmt.Sprint(rnd.IntN(2)), part, rnd.IntN(2) == 0)
			key.events = true
			block, events := room.run(key, part)
			if len(events) != len(part) {
				t.Errorf("%d events of %d publications", len(events), len(part))
			}
			room.chargeTail(tail, rnd.IntN(2000), []*codec.Frame{block})
			frames = append(frames, tail)
			continue
		}
		frames = append(frames, room.block(keyOf(fmt.Sprint(rnd.IntN(2)), part, rnd.IntN(2) == 0), part))
	}
	return frames
}

// modelOpening is what an opening and its queues do to a budget.
func modelOpening(t *testing.T, b *budget, rnd *rand.Rand, pubs []*codec.Publication) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	if rnd.IntN(10) == 0 {
		cancel()
	}
	defer cancel()
	room, err := b.enter(ctx, rnd.IntN(60_000))
	if err != nil {
		return
	}
	frames := modelFrames(t, room, rnd, pubs)
	if b.used.Load() > b.size {
		t.Error("more was taken than there is")
	}
	queues := rnd.IntN(3) // 0: refused, or gone
	for range queues {
		for _, f := range frames {
			f.Keep()
		}
	}
	letGo := func() {
		for _, f := range frames {
			if last, _ := f.Unkeep(); last {
				b.freed(f)
			}
		}
	}
	early := queues > 0 && rnd.IntN(2) == 0
	if early { // written at once
		letGo()
		queues--
	}
	order := rnd.IntN(2) == 0
	if order {
		room.close()
	}
	for _, f := range frames {
		b.done(f)
	}
	for range queues {
		letGo()
	}
	if !order {
		room.close()
	}
}
