package actor

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func TestTurnsRunAfterThePoolWasReleased(t *testing.T) {
	handled := 0
	pool := newPool(t, 1)
	submit, refused := pool.submit, uint64(0)
	pool.submit = func(run func()) error {
		err := submit(run)
		if err != nil {
			refused++
		}
		return err
	}
	a := New[int](pool, &script[int]{t: t, handle: func(int) { handled++ }})
	a.Post(1)
	awaitIdle(t, a)
	if n := pool.Fallbacks(); n != 0 {
		t.Fatalf("expected the turn on the pool, got %d fallbacks", n)
	}
	pool.Release()
	for n := range 10 {
		a.Post(n)
		awaitIdle(t, a)
	}
	// Mostly 10: the end of a turn may handle the next post.
	if handled != 11 || refused == 0 || pool.Fallbacks() != refused {
		t.Fatalf("expected 11 posts handled, %d refused turns (and some) by fallback, got %d and %d", refused, handled, pool.Fallbacks())
	}
}

func TestARefusedTurnRunsOnAGoroutineAndIsCounted(t *testing.T) {
	const posters, posts = 4, 3000
	pool := newPool(t, 1)
	accept := pool.submit
	var calls, refused atomic.Uint64
	pool.submit = func(run func()) error {
		if calls.Add(1)%2 == 0 {
			refused.Add(1)
			return errors.New("refused by the test")
		}
		return accept(run)
	}
	next := make([]int, posters)
	s := &script[numbered]{t: t, handle: func(p numbered) {
		if p.n != next[p.from] {
			t.Errorf("poster %d: expected post %d, got %d", p.from, next[p.from], p.n)
		}
		next[p.from]++
	}}
	a := New[numbered](pool, s)
	var wg sync.WaitGroup
	for from := range posters {
		wg.Go(func() {
			for n := range posts {
				a.Post(numbered{from, n})
				if n%100 == 0 {
					await(t, "the actor to catch up", func() bool { return a.Depth() == 0 })
				}
			}
		})
	}
	wg.Wait()
	awaitIdle(t, a)
	for from, n := range next {
		if n != posts {
			t.Errorf("poster %d: expected %d posts handled, got %d", from, posts, n)
		}
	}
	if refused.Load() == 0 || pool.Fallbacks() != refused.Load() {
		t.Errorf("expected %d fallbacks, and some, got %d", refused.Load(), pool.Fallbacks())
	}
}

func TestReleaseWhilePostsComeLosesNone(t *testing.T) {
	for range 50 {
		pool, err := NewPool(2)
		if err != nil {
			t.Fatal(err)
		}
		var handled atomic.Int64
		count := func(int) { handled.Add(1) }
		a := New[int](pool, &script[int]{t: t, handle: count})
		b := New[int](pool, &script[int]{t: t, handle: count})
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for n := range 200 {
					a.Post(n)
					b.Post(n)
				}
			})
		}
		wg.Go(pool.Release)
		wg.Wait()
		awaitIdle(t, a)
		awaitIdle(t, b)
		if n := handled.Load(); n != 800 {
			t.Fatalf("expected 800 posts handled, got %d", n)
		}
	}
}

func TestAPoolNeedsASize(t *testing.T) {
	pool := newPool(t, 0)
	ran := make(chan struct{})
	pool.Submit(func() { close(ran) })
	<-ran
}

// With one processor and several who are ready to post, a turn takes what all of them
// posted in one batch.
func TestThoseWhoAreReadyPostBeforeTheTurn(t *testing.T) {
	const posters, tries = 8, 200
	pool := newPool(t, 1)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var handled atomic.Int64
	s := &script[int]{t: t, handle: func(int) { handled.Add(1) }}
	a := New[int](pool, s)
	for try := range int64(tries) {
		gate := make(chan struct{})
		var wg sync.WaitGroup
		for range posters {
			wg.Go(func() { <-gate; a.Post(0) })
		}
		runtime.Gosched() // they wait
		close(gate)
		wg.Wait()
		await(t, "all to be handled", func() bool { return handled.Load() == (try+1)*posters })
		awaitIdle(t, a)
	}
	if got := s.passes.Load(); got > 2*tries {
		t.Errorf("expected %d passes or some more, got %d", tries, got)
	}
}
