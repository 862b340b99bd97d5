package gateway

import (
	"cmp"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/gateway/config"
	"sluice/gateway/hub"
)

const (
	// largeBody is from which length on a body waits for room.
	largeBody = 64 << 10
	// bodiesAtOnce bounds the bytes of large bodies that are being read, as long as
	// they come in time; one is always let in.
	bodiesAtOnce = 2 << 20
	// bodyPatience is how long a body waits for others that are being read, at most,
	// and how long it has its own room: who sends slowly neither waits long nor holds
	// others up.
	bodyPatience = 250 * time.Millisecond
	// callsAtOnce bounds the bytes of bodies whose calls have yet to be answered, most
	// likely because they wait for credit, as long as none of them waits for bodyWait;
	// one is always let in. It is not bodiesAtOnce: most such calls have given the
	// buffer of the HTTP server back.
	callsAtOnce = 8 << 20
)

// bodyRoom lets large bodies in one after the other. The HTTP server has memory
// for the whole of each as soon as its head is read, and twice as much as it asks
// for: without this, publishers that send at the same time hold a multiple of what
// they publish. And while publishers wait for credit, the bodies behind theirs wait in
// the sockets. Any goroutine.
type bodyRoom struct {
	// Immutable.
	wait time.Duration   // how long a body waits for calls to be answered, at most
	quit <-chan struct{} // when it is closed nobody waits; nil is never

	// Guarded by mu.
	mu     sync.Mutex
	inside []bodyInside
	left   chan struct{} // closed when one leaves, or was read; nil if nobody waits
}

// bodyWait is for how long a body waits for the calls before it: as long as each of them
// may wait for credit, but not so long that there is no time left to read it.
func bodyWait(cfg *config.Config) time.Duration {
	return min(cmp.Or(cfg.HTTPAPI.PublishWait, hub.DefaultCreditWait), max(cfg.HTTPServer.ReadTimeout/2-bodyPatience, 0))
}

// bodyInside is a body that has room.
type bodyInside struct {
	head  *fasthttp.RequestHeader // whose body it is, until the request is answered
	bytes int
	until time.Time // when others need not wait for it any more; zero if it was read
}

// enter waits until there is room for n bytes, or long enough.
func (r *bodyRoom) enter(head *fasthttp.RequestHeader, n int) {
	w := bodyWaiting{head: head, bytes: n, answered: time.Now().Add(r.wait)}
	timer := time.NewTimer(bodyPatience)
	defer timer.Stop()
	for {
		again, left := r.take(&w, time.Now())
		if left == nil {
			return
		}
		timer.Reset(time.Until(again))
		select {
		case <-left:
		case <-timer.C:
		case <-r.quit:
			return
		}
	}
}

// bodyWaiting is a body that waits for room.
type bodyWaiting struct {
	head     *fasthttp.RequestHeader
	bytes    int
	answered time.Time // when it waits for calls no longer
	force    time.Time // when it waits for bodies no longer; zero while it waits for calls
}

// take takes room if there is some, or enough time has passed. Otherwise left is closed
// when there may be more, and again says when time will have changed something.
func (r *bodyRoom) take(w *bodyWaiting, now time.Time) (again time.Time, left <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove(func(b *bodyInside) bool { return b.head == w.head || !b.until.IsZero() && !now.Before(b.until) })
	reading, read, first := r.count()
	mayCall := read == 0 || read+w.bytes <= callsAtOnce || !now.Before(w.answered)
	if !mayCall {
		w.force = time.Time{}
	} else if w.force.IsZero() {
		w.force = now.Add(bodyPatience)
	}
	mayRead := reading == 0 || reading+w.bytes <= bodiesAtOnce || mayCall && !now.Before(w.force)
	if mayRead && mayCall {
		r.inside = append(r.inside, bodyInside{w.head, w.bytes, now.Add(bodyPatience)})
		return time.Time{}, nil
	}
	if r.left == nil {
		r.left = make(chan struct{})
	}
	if again = w.answered; mayCall {
		again = w.force
	}
	if reading > 0 && first.Before(again) {
		again = first // others need not wait for it any more then
	}
	return again, r.left
}

// count returns the bytes of bodies that are being read, and until when the first of them
// has its room, and the bytes of those that were. Caller holds mu.
func (r *bodyRoom) count() (reading, read int, first time.Time) {
	for i := range r.inside {
		switch b := &r.inside[i]; {
		case b.until.IsZero():
			read += b.bytes
		case reading == 0 || b.until.Before(first):
			reading, first = reading+b.bytes, b.until
		default:
			reading += b.bytes
		}
	}
	return reading, read, first
}

// read notes that the body of head, of n bytes, has arrived, and most likely that its buffer
// is free. It may have lost its room, if it came slowly, or had none, if it did not say its
// length.
func (r *bodyRoom) read(head *fasthttp.RequestHeader, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove(func(b *bodyInside) bool { return b.head == head })
	r.inside = append(r.inside, bodyInside{head: head, bytes: n})
	r.wake()
}

// leave gives back what the body of head has, if it has room.
func (r *bodyRoom) leave(head *fasthttp.RequestHeader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove(func(b *bodyInside) bool { return b.head == head })
	r.wake()
}

// wake has those that wait look again. Caller holds mu.
func (r *bodyRoom) wake() {
	if r.left != nil {
		close(r.left)
		r.left = nil
	}
}

// remove takes out those that go. Caller holds mu.
func (r *bodyRoom) remove(goes func(*bodyInside) bool) {
	stay := r.inside[:0]
	for i := range r.inside {
		if b := r.inside[i]; !goes(&b) {
			stay = append(stay, b)
		}
	}
	clear(r.inside[len(stay):])
	r.inside = stay
}
