package actor

import "testing"

// BenchmarkWake is a post into an idle actor until it is handled; the twin is a
// goroutine that waits on a channel.
func BenchmarkWake(b *testing.B) {
	b.ReportAllocs()
	done := make(chan struct{}, 1)
	a := New[int](newPool(b, 1), &script[int]{t: b, handle: func(int) { done <- struct{}{} }})
	for b.Loop() {
		a.Post(1)
		<-done
	}
}

func BenchmarkWakeTwinChannel(b *testing.B) {
	b.ReportAllocs()
	posts, done := make(chan int, 1), make(chan struct{}, 1)
	go func() {
		for range posts {
			done <- struct{}{}
		}
	}()
	defer close(posts)
	for b.Loop() {
		posts <- 1
		<-done
	}
}

// BenchmarkPost is a post into a busy actor.
func BenchmarkPost(b *testing.B) {
	b.ReportAllocs()
	a := New[int](newPool(b, 1), &script[int]{t: b})
	for b.Loop() {
		a.Post(1)
	}
	awaitIdle(b, a)
}
