package actor

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// What is tried and panics ends alone: its post goes on, and so do the posts behind it.
func TestAPanicOfATryEndsNothingElse(t *testing.T) {
	var got []string
	var a *Actor[int]
	gate := make(chan struct{}) // so that the posts behind the first are one batch
	s := &script[int]{t: t}
	s.panicked = func(v any) { got = append(got, fmt.Sprint("panic ", v)) }
	s.handle = func(n int) {
		<-gate
		for step := range n {
			ended := a.Try(func() {
				if step%2 == 1 {
					panic(step)
				}
			})
			got = append(got, fmt.Sprint(n, " ", step, " ", ended))
		}
	}
	a = New[int](newPool(t, 1), s)
	for _, n := range []int{0, 3, 1, 2} {
		a.Post(n)
	}
	close(gate)
	awaitIdle(t, a)
	want := []string{
		"3 0 true", "panic 1", "3 1 false", "3 2 true",
		"1 0 true",
		"2 0 true", "panic 1", "2 1 false",
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
	s.handle = func(n int) {
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
			awaitIdle(t, a)
		}
	}
	awaitIdle(t, a)
	if handled != posts || panics != (posts+2)/3 {
		t.Fatalf("expected %d posts handled and %d panics, got %d and %d", posts, (posts+2)/3, handled, panics)
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
	awaitIdle(t, a)
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
	awaitIdle(t, a)
	if flushes != 5 {
		t.Fatalf("expected Flush to be given up after 5 panics, got %d", flushes)
	}
	a.Post(2)
	pool.Wait()
	awaitIdle(t, a)
	if flushes != 6 {
		t.Fatalf("expected one more try for a post, got %d calls", flushes)
	}
	broken = false
	a.Post(3)
	pool.Wait()
	awaitIdle(t, a)
	if flushes != 20 {
		t.Fatalf("expected a Flush that works again to have its way 20 times, got %d", flushes)
	}
	broken = true
	a.Post(4)
	pool.Wait()
	awaitIdle(t, a)
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
	s.handle = func(n int) {
		handled++
		if n == 1 {
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
	awaitIdle(t, a)
	if want := []any{"begin", "handle", "first", "second"}; !slices.Equal(told, want) {
		t.Errorf("expected Panicked to be told of its own panics: %v, got %v", want, told)
	}
	told = nil
	s.panicked = func(v any) { told = append(told, v); panic("always") }
	a.Post(1)
	awaitIdle(t, a)
	if len(told) != maxReports {
		t.Errorf("expected a Panicked that always panics to be given up after %d calls, got %d", maxReports, len(told))
	}
	s.panicked = nil
	a.Post(2)
	awaitIdle(t, a)
	if handled != 3 {
		t.Fatalf("expected 3 calls of Handle, got %d", handled)
	}
}
