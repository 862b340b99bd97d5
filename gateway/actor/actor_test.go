package actor

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

type numbered struct{ from, n int }

func TestPostsOfEachPosterAreHandledInOrder(t *testing.T) {
	const posters, posts = 8, 5000
	next := make([]int, posters)
	s := &script[numbered]{t: t, handle: func(p numbered) {
		if p.n != next[p.from] {
			t.Errorf("poster %d: expected post %d, got %d", p.from, next[p.from], p.n)
		}
		next[p.from] = p.n + 1
	}}
	a := New[numbered](newPool(t, 1), s)
	var wg sync.WaitGroup
	for from := range posters {
		wg.Go(func() {
			for n := range posts {
				a.Post(numbered{from, n})
			}
		})
	}
	wg.Wait()
	awaitIdle(t, a)
	for from, n := range next {
		if n != posts {
			t.Errorf("poster %d: expected all %d posts handled, got %d", from, posts, n)
		}
	}
}

// Each poster waits for its post before the next one, so that most posts meet
// an actor whose turn is just ending: a single lost wake-up hangs the test.
func TestNoWakeUpIsLostWhileATurnEnds(t *testing.T) {
	const posters, posts = 4, 20000
	s := &script[chan struct{}]{t: t, handle: func(done chan struct{}) { done <- struct{}{} }}
	a := New[chan struct{}](newPool(t, 1), s)
	var wg sync.WaitGroup
	for range posters {
		wg.Go(func() {
			done := make(chan struct{}, 1)
			for range posts {
				a.Post(done)
				<-done
			}
		})
	}
	wg.Wait()
	awaitIdle(t, a)
}

// One poster that looks for the end of its post itself is fast enough to meet
// the last steps of the turn, at every distance from them.
func TestNoWakeUpIsLostBetweenTheLastSteps(t *testing.T) {
	const posts = 40000
	var handled atomic.Int64
	a := New[int](newPool(t, 1), &script[int]{t: t, handle: func(int) { handled.Add(1) }})
	pause := 0
	for n := range int64(posts) {
		a.Post(1)
		for spins := 1; handled.Load() <= n; spins++ {
			if spins%4096 == 0 {
				runtime.Gosched()
			}
			if spins > 1<<24 {
				await(t, "a post handled", func() bool { return handled.Load() > n })
			}
		}
		for range n % 200 {
			pause++
		}
	}
	awaitIdle(t, a)
}

func TestPostsFromTheActorsOwnTurnAreHandled(t *testing.T) {
	const chain = 10000
	handled := 0
	s := &script[int]{t: t}
	a := New[int](newPool(t, 1), s)
	s.handle = func(left int) {
		handled++
		if left > 0 {
			a.Post(left - 1)
		}
	}
	a.Post(chain - 1)
	awaitIdle(t, a)
	if handled != chain {
		t.Fatalf("expected %d posts handled, got %d", chain, handled)
	}
}

func TestActorsPostToEachOtherOnOnePool(t *testing.T) {
	const actors, balls, hops = 6, 12, 4000
	var left atomic.Int64
	left.Store(balls * hops)
	pool := newPool(t, actors)
	ring := make([]*Actor[int], actors)
	for i := range ring {
		ring[i] = New[int](pool, &script[int]{t: t, handle: func(hop int) {
			left.Add(-1)
			if hop > 1 {
				ring[(i+1)%actors].Post(hop - 1)
			}
		}})
	}
	for i := range balls {
		ring[i%actors].Post(hops)
	}
	await(t, "all hops", func() bool { return left.Load() == 0 })
	for _, a := range ring {
		awaitIdle(t, a)
	}
	if n := pool.Fallbacks(); n != 0 {
		t.Errorf("expected every turn on the pool, %d were refused", n)
	}
}

func TestPostsAccumulateWhileATurnRuns(t *testing.T) {
	started, gate := make(chan struct{}), make(chan struct{})
	var batches []int
	inBatch := 0
	s := &script[int]{t: t}
	s.begin = func() { inBatch = 0 }
	s.handle = func(n int) {
		inBatch++
		if n == 0 {
			close(started)
			<-gate
		}
	}
	s.flush = func() bool { batches = append(batches, inBatch); return false }
	a := New[int](newPool(t, 1), s)
	a.Post(0)
	<-started
	for n := range 100 {
		a.Post(n + 1)
	}
	if n := a.Depth(); n != 101 {
		t.Errorf("expected the post in hand and 100 that wait, got a depth of %d", n)
	}
	if a.Idle() {
		t.Error("expected a running actor not to be idle")
	}
	close(gate)
	awaitIdle(t, a)
	if want := []int{1, maxPass, maxPass, maxPass, 100 - 3*maxPass}; !slices.Equal(batches, want) {
		t.Fatalf("expected passes of %v posts, got %v", want, batches)
	}
}

// What Flush leaves is not lost, and does not hold up new posts.
func TestPostsAreHandledBetweenFlushesThatWantMore(t *testing.T) {
	const rounds = 50
	var order []int
	flushes := 0
	s := &script[int]{t: t}
	a := New[int](newPool(t, 1), s)
	s.handle = func(n int) { order = append(order, n) }
	s.flush = func() bool {
		if flushes++; flushes <= rounds {
			a.Post(flushes)
		}
		order = append(order, -flushes)
		return flushes < rounds+10
	}
	a.Post(0)
	awaitIdle(t, a)
	if flushes != rounds+10 {
		t.Fatalf("expected Flush again while it wants more, %d times, got %d", rounds+10, flushes)
	}
	want := []int{0, -1}
	for i := 1; i <= rounds; i++ {
		want = append(want, i, -(i + 1))
	}
	for i := rounds + 2; i <= rounds+10; i++ {
		want = append(want, -i)
	}
	if len(order) != len(want) {
		t.Fatalf("expected %v, got %v", want, order)
	}
	for i := range want {
		if order[i] != want[i] {
			t.Fatalf("step %d: expected %d, got %d in %v", i, want[i], order[i], order)
		}
	}
}

func TestAPostIntoAnIdleActorCostsOnePass(t *testing.T) {
	s, pool := &script[int]{t: t}, new(turns)
	a := New[int](pool, s)
	for n := range 100 {
		before := s.passes.Load()
		a.Post(n)
		pool.Wait()
		awaitIdle(t, a)
		if got := s.passes.Load() - before; got != 1 {
			t.Fatalf("expected one pass for one post, got %d", got)
		}
	}
}

func TestDepthCountsThePostInHandAndIsNeverNegative(t *testing.T) {
	s := &script[int]{t: t}
	a := New[int](newPool(t, 1), s)
	wrong := 0
	s.handle = func(int) {
		if a.Depth() < 1 {
			wrong++
		}
	}
	s.flush = func() bool {
		if a.Depth() < 0 {
			wrong++
		}
		return false
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if a.Depth() < 1000 { // or they pile up while the actor's thread is held up
						a.Post(1)
					} else {
						runtime.Gosched()
					}
				}
			}
		})
	}
	for range 200000 {
		if n := a.Depth(); n < 0 {
			t.Errorf("expected a depth of 0 or more, got %d", n)
			break
		}
	}
	close(stop)
	wg.Wait()
	awaitIdle(t, a)
	if wrong > 0 {
		t.Errorf("expected the post in hand to count, %d times it did not", wrong)
	}
}

func TestABurstDoesNotPinItsInboxForGood(t *testing.T) {
	gate := make(chan struct{})
	s := &script[*int]{t: t, handle: func(p *int) { <-gate }}
	a := New[*int](newPool(t, 1), s)
	for range 3 * maxSpare {
		a.Post(new(int))
	}
	close(gate)
	awaitIdle(t, a)
	for range 2 { // a small one, in both inboxes
		for range 100 {
			a.Post(new(int))
		}
		awaitIdle(t, a)
		a.Post(nil)
		awaitIdle(t, a)
	}
	for _, kept := range [][]*int{a.inbox, a.spare} {
		if cap(kept) > maxSpare {
			t.Errorf("expected at most %d posts kept, got %d", maxSpare, cap(kept))
		}
		for _, p := range kept[:cap(kept)] {
			if p != nil {
				t.Fatal("expected no reference left in an emptied inbox")
			}
		}
	}
}
