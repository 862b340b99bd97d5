package actor

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func TestWakeRunsATurnWithAnEmptyInbox(t *testing.T) {
	handled, pool := 0, new(turns)
	s := &script[int]{t: t, handle: func(int) { handled++ }}
	a := New[int](pool, s)
	for n := range int64(100) {
		a.Wake()
		pool.Wait()
		awaitIdle(t, a)
		if got := s.passes.Load(); got != n+1 {
			t.Fatalf("expected a pass for each of %d calls, got %d", n+1, got)
		}
	}
	if handled != 0 {
		t.Errorf("expected no post, got %d", handled)
	}
}

// Wakes during a turn are one more pass, however many they are.
func TestWakesOfARunningActorAreOnePass(t *testing.T) {
	started, gate := make(chan struct{}), make(chan struct{})
	s, pool := &script[int]{t: t}, new(turns)
	s.handle = func(int) { close(started); <-gate }
	a := New[int](pool, s)
	a.Post(0)
	<-started
	for range 100 {
		a.Wake()
	}
	if a.Idle() {
		t.Error("expected a running actor not to be idle")
	}
	close(gate)
	pool.Wait()
	awaitIdle(t, a)
	if got := s.passes.Load(); got != 2 {
		t.Fatalf("expected a pass for the post and one for the calls, got %d", got)
	}
}

// mailbox is work that an actor finds elsewhere than in its inbox: as the
// deliveries of a loop.
type mailbox struct {
	mu   sync.Mutex
	left []chan struct{}
}

func (m *mailbox) put(done chan struct{}) {
	m.mu.Lock()
	m.left = append(m.left, done)
	m.mu.Unlock()
}

// answer takes what is there in Flush, and asks for no further pass.
func (m *mailbox) answer() bool {
	m.mu.Lock()
	left := m.left
	m.left = nil
	m.mu.Unlock()
	for _, done := range left {
		done <- struct{}{}
	}
	return false
}

// Each caller waits before it goes on, so that most wakes meet a turn that is just
// ending; posts go on meanwhile, or not. A single one lost hangs the test.
func TestNoWakeIsLostWhileATurnEnds(t *testing.T) {
	for name, posters := range map[string]int{"alone": 0, "among posts": 2} {
		t.Run(name, func(t *testing.T) {
			const wakers, wakes = 4, 4000
			var box mailbox
			a := New[chan struct{}](newPool(t, 1), &script[chan struct{}]{
				t: t, handle: func(done chan struct{}) { done <- struct{}{} }, flush: box.answer,
			})
			var wg sync.WaitGroup
			wait := func(begin func(done chan struct{})) {
				done := make(chan struct{}, 1)
				for range wakes {
					begin(done)
					<-done
				}
			}
			for range wakers {
				wg.Go(func() { wait(func(done chan struct{}) { box.put(done); a.Wake() }) })
			}
			for range posters {
				wg.Go(func() { wait(a.Post) })
			}
			wg.Wait()
			awaitIdle(t, a)
		})
	}
}

// One caller that looks for the answer itself meets the last steps of the turn, at
// every distance from them.
func TestNoWakeIsLostBetweenTheLastSteps(t *testing.T) {
	const wakes = 20000
	var asked, answered atomic.Int64
	a := New[int](newPool(t, 1), &script[int]{t: t, flush: func() bool {
		answered.Store(asked.Load())
		return false
	}})
	pause := 0
	for n := range int64(wakes) {
		asked.Store(n + 1)
		a.Wake()
		for spins := 1; answered.Load() <= n; spins++ {
			if spins%4096 == 0 {
				runtime.Gosched()
			}
			if spins > 1<<24 {
				await(t, "an answer", func() bool { return answered.Load() > n })
			}
		}
		for range n % 200 {
			pause++
		}
	}
	awaitIdle(t, a)
}

// A Flush that panics is called again, and a wake before it is not forgotten.
func TestAWakeOutlivesAPanicInFlush(t *testing.T) {
	panics, calls := 0, 0
	s, pool := &script[int]{t: t}, new(turns)
	s.panicked = func(any) { panics++ }
	s.flush = func() bool {
		if calls++; calls == 1 {
			panic("in Flush")
		}
		return false
	}
	a := New[int](pool, s)
	a.Wake()
	pool.Wait()
	awaitIdle(t, a)
	if calls != 2 || panics != 1 {
		t.Fatalf("expected Flush again behind its panic, got %d calls and %d panics", calls, panics)
	}
}
