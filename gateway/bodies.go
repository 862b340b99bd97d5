package gateway

import (
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// largeBody is from which length on a body waits for room.
	largeBody = 64 << 10
	// bodiesAtOnce bounds the bytes of large bodies that are being read and
	// worked on; one is always let in.
	bodiesAtOnce = 3 << 20
	// bodyPatience is how long a body waits for room at most, and how long it
	// has its own: who sends slowly neither waits long nor holds others up.
	bodyPatience = 250 * time.Millisecond
)

// bodyRoom lets large bodies in one after the other. The HTTP server has memory
// for the whole of each as soon as its head is read, and twice as much as it asks
// for: without this, publishers that send at the same time hold a multiple of what
// they publish. The zero value is ready. Any goroutine.
type bodyRoom struct {
	// Guarded by mu.
	mu     sync.Mutex
	inside []bodyInside
	bytes  int           // of those inside
	left   chan struct{} // closed when one leaves; nil if nobody waits
}

// bodyInside is a body that has room.
type bodyInside struct {
	head  *fasthttp.RequestHeader // whose body it is, until the request is answered
	bytes int
	until time.Time // when others need not wait for it any more
}

// enter waits until there is room for n bytes, or long enough.
func (r *bodyRoom) enter(head *fasthttp.RequestHeader, n int) {
	began := time.Now()
	timer := time.NewTimer(bodyPatience)
	defer timer.Stop()
	for {
		wait, left := r.take(head, n, time.Now(), time.Since(began) >= bodyPatience)
		if left == nil {
			return
		}
		timer.Reset(min(wait, bodyPatience-time.Since(began)))
		select {
		case <-left:
		case <-timer.C:
		}
	}
}

// take takes room for n bytes if there is some, or in any case if force is set.
// Otherwise left is closed when somebody leaves, and after wait the first has had
// its time.
func (r *bodyRoom) take(head *fasthttp.RequestHeader, n int, now time.Time, force bool) (wait time.Duration, left <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove(func(b *bodyInside) bool { return b.head == head || !now.Before(b.until) })
	if force || len(r.inside) == 0 || r.bytes+n <= bodiesAtOnce {
		r.inside = append(r.inside, bodyInside{head, n, now.Add(bodyPatience)})
		r.bytes += n
		return 0, nil
	}
	if r.left == nil {
		r.left = make(chan struct{})
	}
	return r.inside[0].until.Sub(now), r.left // they are in order
}

// leave gives back what the body of head has, if it has room.
func (r *bodyRoom) leave(head *fasthttp.RequestHeader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove(func(b *bodyInside) bool { return b.head == head })
	if r.left != nil {
		close(r.left)
		r.left = nil
	}
}

// remove takes out those that go. Caller holds mu.
func (r *bodyRoom) remove(goes func(*bodyInside) bool) {
	stay := r.inside[:0]
	for i := range r.inside {
		if b := r.inside[i]; goes(&b) {
			r.bytes -= b.bytes
		} else {
			stay = append(stay, b)
		}
	}
	clear(r.inside[len(stay):])
	r.inside = stay
}
