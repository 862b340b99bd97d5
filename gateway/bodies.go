package gateway

import (
	"cmp"
	"math/bits"
	"slices"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/gateway/config"
	"sluice/gateway/front"
	"sluice/gateway/hub"
)

const (
	// largeBody is from which length on a body waits for room.
	largeBody = 64 << 10
	// hugeBody is from which length on nothing of a body is kept for the next: some such
	// buffers in the pools of the HTTP server are more than all the rest.
	hugeBody = 2 << 20
	// unknownBody is what a body counts for that does not say its length, until it was read.
	unknownBody = 256 << 10
	// bodiesAtOnce bounds the buffers of large bodies that are being read.
	bodiesAtOnce = 4 << 20
	// bodyPatience is how long a body has that room. Later it is one that comes slowly.
	bodyPatience = 250 * time.Millisecond
	// slowAtOnce bounds the buffers of bodies that come slowly.
	slowAtOnce = 64 << 20
	// callsAtOnce bounds the buffers of bodies that are being read, and the bytes of those
	// whose calls have yet to be answered, most likely because they wait for credit. It is
	// not bodiesAtOnce: most such calls have given the buffer of the HTTP server back.
	callsAtOnce = 8 << 20
)

// bodyRoom lets large bodies in one after the other, in the order in which they came, and
// bounds what all of them hold; of each bound one body may be larger, where it is alone.
// The HTTP server has memory for the whole of each as soon as its head is read, and up to
// twice as much as it asks for: without this, publishers that send at the same time hold a
// multiple of what they publish. And while publishers wait for credit, the bodies behind
// theirs wait in the sockets. Any goroutine.
type bodyRoom struct {
	// Immutable.
	wait time.Duration // how long a body waits for room
	// life is how long one may take to arrive, 0 for ever. All but few are known to end
	// before: of a pipelined request that breaks off between two chunks nobody is told.
	life time.Duration
	quit <-chan struct{} // when it is closed nobody waits; nil is never

	// Guarded by mu.
	mu      sync.Mutex
	patient time.Duration // bodyPatience, if it is not 0; for tests on machines that are slow
	inside  map[*fasthttp.RequestHeader]*body
	waiting []*body // first come, first served
	bytes   [bodyStates]int
	slow    int // bodies that come slowly
	timer   *time.Timer
}

// newBodyRoom returns the room of a gateway with that configuration.
func newBodyRoom(cfg *config.Config, quit <-chan struct{}) *bodyRoom {
	r := &bodyRoom{wait: cmp.Or(cfg.HTTPAPI.PublishWait, hub.DefaultCreditWait), quit: quit}
	if limit := cfg.HTTPServer.ReadTimeout; limit > 0 {
		r.life = limit + time.Second // what says that it has ended comes first
	}
	return r
}

// bodyState is what becomes of a body that has room.
type bodyState uint8

const (
	bodyReading bodyState = iota
	bodySlow              // it is being read for so long that others need not wait for it
	bodyRead              // its call has not been answered
	bodyUnread            // there was no room for it, and it is not read
	bodyStates
)

// body is a large body of a call.
type body struct {
	// Immutable.
	head  *fasthttp.RequestHeader // whose it is, until the request is answered
	enter chan struct{}           // closed when it has room; nil for one that has none

	// Guarded by bodyRoom.mu.
	bytes int
	state bodyState
	until time.Time // when it comes slowly
	ends  time.Time // when nobody reads it any more; zero for never
}

// enter waits for room for a body with a buffer of n bytes, and reports whether there was some in time.
// Who waits in vain must not read it.
func (r *bodyRoom) enter(head *fasthttp.RequestHeader, n int) bool {
	b := &body{head: head, bytes: n, enter: make(chan struct{})}
	r.mu.Lock()
	r.drop(head) // the request before it on the connection, which nobody answered
	r.waiting = append(r.waiting, b)
	r.admit()
	r.mu.Unlock()
	select {
	case <-b.enter:
		return true
	default:
	}
	timer := time.NewTimer(r.wait)
	defer timer.Stop()
	select {
	case <-b.enter:
		return true
	case <-timer.C:
	case <-r.quit:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.waiting, b)
	if i < 0 {
		return true // it has got room in this moment
	}
	r.waiting = slices.Delete(r.waiting, i, i+1)
	r.admit() // those behind it may be smaller
	return false
}

// read notes that the body of head has arrived, with n bytes, and most likely that its
// buffer is free.
func (r *bodyRoom) read(head *fasthttp.RequestHeader, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.inside[head]; b != nil {
		r.count(b, -1)
		b.bytes, b.state = n, bodyRead
		r.count(b, 1)
		r.admit()
	}
}

// held returns the bytes of all bodies inside.
func (r *bodyRoom) held() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return int64(r.bytes[bodyReading] + r.bytes[bodySlow] + r.bytes[bodyRead])
}

// leave gives back what the body of head has, if it has room.
func (r *bodyRoom) leave(head *fasthttp.RequestHeader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.drop(head) {
		r.admit()
	}
}

// leaving has the bodies of all requests leave when they were answered.
func (r *bodyRoom) leaving(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if ctx.IsPost() {
			defer r.leave(&ctx.Request.Header)
		}
		next(ctx)
	}
}

// admit lets in those that have waited longest, while there is room. Caller holds mu.
func (r *bodyRoom) admit() {
	if len(r.waiting) == 0 {
		return
	}
	now := time.Now()
	first := r.settle(now)
	n := 0
	for ; n < len(r.waiting) && r.fits(r.waiting[n].bytes); n++ {
		b := r.waiting[n]
		// Why less where some come slowly: heads whose bodies never come would
		// hold up those behind them one after the other.
		b.until = now.Add(cmp.Or(r.patient, bodyPatience) / time.Duration(1+r.slow))
		if r.life > 0 {
			b.ends = now.Add(r.life)
		}
		if first.IsZero() || b.until.Before(first) {
			first = b.until
		}
		r.put(b)
		close(b.enter)
	}
	r.waiting = slices.Delete(r.waiting, 0, n)
	if len(r.waiting) == 0 || first.IsZero() {
		return
	}
	if r.timer == nil {
		r.timer = time.AfterFunc(time.Until(first), r.late)
	} else {
		r.timer.Reset(time.Until(first))
	}
}

// late lets others in when a body that is being read turns out to come slowly.
func (r *bodyRoom) late() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.admit()
}

// fits reports whether there is room for a body of n bytes. Caller holds mu.
func (r *bodyRoom) fits(n int) bool {
	within := func(inside, most int) bool { return inside == 0 || inside+n <= most }
	reading := r.bytes[bodyReading]
	return within(reading, bodiesAtOnce) && within(reading+r.bytes[bodyRead], callsAtOnce) &&
		(r.slow == 0 || within(reading+r.bytes[bodySlow], slowAtOnce))
}

// settle looks which bodies come slowly by now, and forgets those that nobody reads any
// more. It returns when the next of the others comes slowly, the zero time if there is
// none. Caller holds mu.
func (r *bodyRoom) settle(now time.Time) (first time.Time) {
	for head, b := range r.inside {
		switch {
		case b.state >= bodyRead:
		case !b.ends.IsZero() && !now.Before(b.ends):
			r.drop(head)
		case b.state == bodySlow:
		case !now.Before(b.until):
			r.count(b, -1)
			b.state = bodySlow
			r.count(b, 1)
		case first.IsZero() || b.until.Before(first):
			first = b.until
		}
	}
	return first
}

// put takes a body in. Caller holds mu.
func (r *bodyRoom) put(b *body) {
	if r.inside == nil {
		r.inside = make(map[*fasthttp.RequestHeader]*body)
	}
	r.inside[b.head] = b
	r.count(b, 1)
}

// drop takes the body of head out, and reports whether it was there. Caller holds mu.
func (r *bodyRoom) drop(head *fasthttp.RequestHeader) bool {
	b := r.inside[head]
	if b == nil {
		return false
	}
	r.count(b, -1)
	delete(r.inside, head)
	return true
}

// count counts a body, or with -1 no longer. Caller holds mu.
func (r *bodyRoom) count(b *body, by int) {
	r.bytes[b.state] += by * b.bytes
	if b.state == bodySlow {
		r.slow += by
	}
}

// letIn waits for room for the body of a call, of most bytes at most, if it may be large.
// If there is none in time, the request goes on without it: see unread.
func (r *bodyRoom) letIn(h *fasthttp.RequestHeader, most int) {
	n := h.ContentLength()
	rest, room := n, bufferOf(n)
	if n == chunkedBody {
		rest, room = most, unknownBody
	}
	switch {
	case n > most || n != chunkedBody && n < largeBody:
		r.leave(h) // the request before it on the connection, if nobody answered that
	case !r.enter(h, room):
		r.mu.Lock()
		r.put(&body{head: h, bytes: rest, state: bodyUnread})
		r.mu.Unlock()
		front.SkipBody(h)
	}
}

// bufferOf returns the length of the buffer that the HTTP server takes for a body of n
// bytes: the next power of two.
func bufferOf(n int) int {
	if n <= 1 {
		return max(n, 0)
	}
	return 1 << bits.Len(uint(n-1))
}

// unread reports whether the body of a call found no room, and so was not read, and how
// many bytes of it the client may have yet to send.
func (r *bodyRoom) unread(head *fasthttp.RequestHeader) (n int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.inside[head]; b != nil && b.state == bodyUnread {
		return b.bytes, true
	}
	return 0, false
}
