package actor

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

type steps struct{ next, end int }

// A task of many steps keeps its progress: after a panic it goes on behind the
// step that failed, and so do the posts behind it.
func TestAPanicIsFollowedByTheSamePostAgain(t *testing.T) {
	var got []string
	gate := make(chan struct{}) // so that the posts behind the first are one batch
	s := &script[*steps]{t: t}
	s.panicked = func(v any) { got = append(got, fmt.Sprint("panic ", v)) }
	s.handle = func(p *steps, again bool) {
		<-gate
		got = append(got, fmt.Sprint("handle ", p.end, " ", again))
		for p.next < p.end {
			step := p.next
			p.next++
			if step%2 == 1 {
				panic(step)
			}
		}
	}
	a := New[*steps](newPool(t, 1), s)
	for _, end := range []int{0, 4, 1, 2} {
		a.Post(&steps{end: end})
	}
	close(gate)
	settle(t, a)
	want := []string{
		"handle 0 false",
		"handle 4 false", "panic 1", "handle 4 true", "panic 3", "handle 4 true",
		"handle 1 false",
		"handle 2 false", "panic 1", "handle 2 true",
	}
	if !slices.Equal(got, want) {
		t.Fatalf("expected\n%q, got\n%q", want, got)
	}
}

func TestAnActorStaysScheduledAfterPanics(t *testing.T) {
	const posts = 1000
	handled, panics := 0, 0
	s := &script[int]{t: t}
	s.panicked = func(any) { panics++ }
	s.handle = func(n int, again bool) {
		if again {
			return
		}
		handled++
		if n%3 == 0 {
			panic(errors.New("of the test"))
		}
	}
	pool := newPool(t, 1)
	a := New[int](pool, s)
	for n := range posts {
		a.Post(n)
		if n%7 == 0 {
			settle(t, a)
		}
	}
	settle(t, a)
	if handled != posts || panics != (posts+2)/3 {
		t.Fatalf("expected %d posts handled and %d panics, got %d and %d", posts, (posts+2)/3, handled, panics)
	}
}

func TestAPostThatPanicsForEverIsGivenUp(t *testing.T) {
	calls := map[string]int{}
	s := &script[string]{t: t}
	s.handle = func(p string, again bool) {
		calls[p]++
		if p == "bad" {
			panic("of the test")
		}
		if again {
			t.Errorf("%s: expected a post of its own, got again", p)
		}
	}
	a := New[string](newPool(t, 1), s)
	a.patience = 9
	for _, p := range []string{"one", "bad", "two"} {
		a.Post(p)
	}
	settle(t, a)
	a.Post("three")
	settle(t, a)
	want := map[string]int{"one": 1, "bad": 10, "two": 1, "three": 1}
	if fmt.Sprint(calls) != fmt.Sprint(want) {
		t.Fatalf("expected calls %v, got %v", want, calls)
	}
}

func TestPanicsOfDifferentPostsDoNotAddUp(t *testing.T) {
	handled, repeated := 0, 0
	s := &script[int]{t: t}
	s.handle = func(_ int, again bool) {
		if again {
			repeated++
			return
		}
		handled++
		panic("of the test")
	}
	gate := make(chan struct{})
	s.begin = func() { <-gate } // so that the posts are one batch, or two
	a := New[int](newPool(t, 1), s)
	a.patience = 1
	for n := range 50 {
		a.Post(n)
	}
	close(gate)
	settle(t, a)
	if handled != 50 || repeated != 50 {
		t.Fatalf("expected 50 posts handled and each again, got %d and %d", handled, repeated)
	}
}

func TestAFlushThatPanicsIsCalledAgain(t *testing.T) {
	left, panics := 5, 0
	s := &script[int]{t: t}
	s.panicked = func(any) { panics++ }
	s.flush = func() bool {
		if left > 0 {
			left--
			panic("of the test")
		}
		return false
	}
	a := New[int](newPool(t, 1), s)
	a.Post(1)
	settle(t, a)
	if left != 0 || panics != 5 {
		t.Fatalf("expected Flush again after each of 5 panics, %d are left after %d", left, panics)
	}
}

func TestAFlushThatPanicsForEverWaitsForTheNextPost(t *testing.T) {
	flushes, broken := 0, true
	s := &script[int]{t: t}
	s.flush = func() bool {
		flushes++
		if broken {
			panic("of the test")
		}
		return flushes < 20
	}
	pool := new(turns)
	a := New[int](pool, s)
	a.patience = 4
	a.Post(1)
	pool.Wait()
	settle(t, a)
	if flushes != 5 {
		t.Fatalf("expected Flush to be given up after 5 panics, got %d", flushes)
	}
	a.Post(2)
	pool.Wait()
	settle(t, a)
	if flushes != 6 {
		t.Fatalf("expected one more try for a post, got %d calls", flushes)
	}
	broken = false
	a.Post(3)
	pool.Wait()
	settle(t, a)
	if flushes != 20 {
		t.Fatalf("expected a Flush that works again to have its way 20 times, got %d", flushes)
	}
	broken = true
	a.Post(4)
	pool.Wait()
	settle(t, a)
	if flushes != 25 {
		t.Fatalf("expected the same patience after a Flush that worked, got %d calls", flushes-20)
	}
}

func TestAPanicInBeginOrPanickedDoesNotEndTheActor(t *testing.T) {
	var told []any
	handled, begins := 0, 0
	s := &script[int]{t: t}
	s.begin = func() {
		if begins++; begins == 1 {
			panic("begin")
		}
	}
	s.handle = func(n int, again bool) {
		handled++
		if n == 1 && !again {
			panic("handle")
		}
	}
	s.panicked = func(v any) {
		told = append(told, v)
		if v == "handle" {
			panic("first")
		}
		if v == "first" {
			panic("second")
		}
	}
	a := New[int](newPool(t, 1), s)
	a.Post(1)
	settle(t, a)
	if want := []any{"begin", "handle", "first", "second"}; !slices.Equal(told, want) {
		t.Errorf("expected Panicked to be told of its own panics: %v, got %v", want, told)
	}
	told = nil
	s.panicked = func(v any) { told = append(told, v); panic("always") }
	a.Post(1)
	settle(t, a)
	if len(told) != maxTold {
		t.Errorf("expected a Panicked that always panics to be given up after %d calls, got %d", maxTold, len(told))
	}
	s.panicked = nil
	a.Post(2)
	settle(t, a)
	if handled != 5 {
		t.Fatalf("expected 5 calls of Handle, got %d", handled)
	}
}
