package actor

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/gateway/testkit"
)

// script is a Behavior made of functions; nil ones do nothing. It fails the
// test when two of its methods run at once.
type script[T any] struct {
	t        testing.TB
	begin    func()
	handle   func(post T)
	flush    func() bool
	panicked func(v any)

	// Atomic.
	busy   atomic.Bool
	passes atomic.Int64
}

func (s *script[T]) enter() {
	if !s.busy.CompareAndSwap(false, true) {
		s.t.Error("expected one method of a behavior at a time, two run")
	}
}

func (s *script[T]) leave() { s.busy.Store(false) }

func (s *script[T]) Begin() {
	s.enter()
	defer s.leave()
	s.passes.Add(1)
	if s.begin != nil {
		s.begin()
	}
}

func (s *script[T]) Handle(post T) {
	s.enter()
	defer s.leave()
	if s.handle != nil {
		s.handle(post)
	}
}

func (s *script[T]) Flush() bool {
	s.enter()
	defer s.leave()
	return s.flush != nil && s.flush()
}

func (s *script[T]) Panicked(v any) { // within another, if that tries something
	if s.panicked != nil {
		s.panicked(v)
	}
}

// newPool makes a pool that ends with the test, which may leave nothing behind.
func newPool(t testing.TB, actors int) *Pool {
	t.Helper()
	testkit.Snapshot(t)
	p, err := NewPool(actors)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Release)
	return p
}

// turns is a Submitter whose turns can be waited for to their very end. An actor
// is idle a few steps before that, and a post that comes meanwhile may be handled
// by either turn, or cost the earlier one a pass over nothing.
type turns struct{ sync.WaitGroup }

func (s *turns) Submit(run func()) { s.Go(run) }

// await polls until ok says so.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("expected %s within a minute", what)
		}
		runtime.Gosched()
		time.Sleep(20 * time.Microsecond)
	}
}

// awaitIdle waits until the actor has nothing to do, and checks that it says so.
func awaitIdle[T any](t testing.TB, a *Actor[T]) {
	t.Helper()
	await(t, "an idle actor", a.Idle)
	if n := a.Depth(); n != 0 {
		t.Fatalf("expected no depth once idle, got %d", n)
	}
}
