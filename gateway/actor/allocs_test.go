//go:build !race

package actor

import "testing"

type counted struct{ n int }

func TestPostOfAPointerAllocatesNothing(t *testing.T) {
	done := make(chan struct{}, 1)
	s := &script[*counted]{t: t, handle: func(p *counted) {
		if p.n++; p.n%8 == 0 {
			done <- struct{}{}
		}
	}}
	a := New[*counted](newPool(t, 1), s)
	p := &counted{}
	if n := testing.AllocsPerRun(2000, func() {
		for range 8 {
			a.Post(p)
		}
		<-done
	}); n != 0 {
		t.Fatalf("expected no allocation for 8 posts and their turns, got %v", n)
	}
	awaitIdle(t, a)
}
