package node

import (
	"cmp"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/gateway/api"
	"sluice/gateway/config"
	"sluice/gateway/front"
	"sluice/gateway/front/strict"
	"sluice/gateway/hub"
)

const (
	// largeBody is from which length on a body waits for room.
	largeBody = api.LargeBody
	// hugeBody is from which length on the buffer of a body that was decoded is not kept for
	// the next: some such buffers in the pools of the HTTP server are more than all the rest.
	hugeBody = 2 << 20
	// unknownBody is what a body counts for that does not say its length, until it was read.
	// It may be larger; counting the largest there may be would let in one at a time.
	unknownBody = 1 << 20
	// bodiesAtOnce bounds the buffers of large bodies that are being read.
	bodiesAtOnce = 4 << 20
	// bodyPatience is how long a body has that room, where none comes slowly. Later it is
	// one that does.
	bodyPatience = 250 * time.Millisecond
	// slowAtOnce bounds the buffers of bodies that come slowly. Each may take half of what
	// is left of it: a few large ones that stall leave room for those that are smaller.
	slowAtOnce = 64 << 20
	// CallsAtOnce bounds the buffers of bodies that are being read, and the bytes of those
	// whose calls have yet to be answered, most likely because they wait for credit. It is
	// not bodiesAtOnce: most such calls have given the buffer of the HTTP server back. A body
	// that came slowly is not asked when it has arrived. Those whose calls wait for
	// http_api.work_max_bytes do not count: that has nothing to do with publishers, and has
	// a bound of its own.
	CallsAtOnce = 8 << 20
)

// bodyRoom lets large bodies in one after the other, in the order in which they came, and
// bounds what all of them hold; one may come in that is larger than a bound, while the
// others have taken no more than half of it. The HTTP server has memory for the whole of
// each as soon as its head is read, and up to twice as much as it asks for: without this,
// publishers that send at the same time hold a multiple of what they publish. And while
// publishers wait for credit, the bodies behind theirs wait in the sockets. Any goroutine.
type bodyRoom struct {
	// Immutable.
	wait time.Duration // how long a body waits for room
	// life is how long one may take to arrive. All but few are known to end before: of a
	// pipelined request that breaks off between two chunks nobody is told.
	life time.Duration
	quit <-chan struct{} // when it is closed nobody waits; nil is never

	// Atomic, changed under mu: the length of inside. Who sees none has no room: his own was
	// there before he asks.
	within atomic.Int64

	// Guarded by mu.
	mu       sync.Mutex
	patience time.Duration // bodyPatience; more in tests on machines that are slow
	inside   map[*fasthttp.RequestHeader]*body
	waiting  []*body // first come, first served
	bytes    [bodyStates]int
	slow     int // bodies that come slowly
	timer    *time.Timer
}

// newBodyRoom returns the room of a gateway with that configuration.
func newBodyRoom(cfg *config.Config, quit <-chan struct{}) *bodyRoom {
	return &bodyRoom{
		wait: cmp.Or(cfg.HTTPAPI.PublishWait, hub.DefaultCreditWait),
		life: cfg.HTTPServer.ReadTimeout + time.Second, // what says that it has ended comes first
		quit: quit, patience: bodyPatience,
	}
}

// bodyState is what becomes of a body that has room.
type bodyState uint8

const (
	bodyReading bodyState = iota
	bodySlow              // it is being read for so long that others need not wait for it
	bodyRead              // its call has not been answered
	bodyWaits             // the same, and the call waits for room for what it holds
	bodyUnread            // there was no room for it, and it is not read
	bodyStates
)

// body is a large body of a call.
type body struct {
	// Immutable.
	head  *fasthttp.RequestHeader // whose it is, until the request is answered
	enter chan struct{}           // closed when it has room; nil for one that has none
	by    time.Time               // when its wait is over

	// Guarded by bodyRoom.mu.
	bytes int
	state bodyState
	until time.Time // when it comes slowly
	ends  time.Time // when nobody reads it any more
}

// enter waits for room for a body with a buffer of n bytes, and reports whether there was
// some in time. Who waits in vain must not read it.
func (r *bodyRoom) enter(head *fasthttp.RequestHeader, n int) bool {
	b := &body{head: head, bytes: n, enter: make(chan struct{}), by: time.Now().Add(r.wait)}
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
	r.admit() // it is in nobody's way any more
	i := slices.Index(r.waiting, b)
	if i < 0 {
		return true
	}
	r.waiting = slices.Delete(r.waiting, i, i+1)
	return false
}

// read notes that the body of head has arrived, with n bytes, and most likely that its
// buffer is free.
func (r *bodyRoom) read(head *fasthttp.RequestHeader, n int) {
	if n < largeBody && r.within.Load() == 0 {
		return // nearly always
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.become(head, n, bodyRead):
	case n >= largeBody: // it was forgotten: its time was over in the last moment
		r.put(&body{head: head, bytes: n, state: bodyRead})
	}
}

// calls notes that the call of head, whose body arrived with n bytes, waits for room for what
// it holds, or no longer.
func (r *bodyRoom) calls(head *fasthttp.RequestHeader, n int, wait bool) {
	state := bodyRead
	if wait {
		state = bodyWaits
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.become(head, n, state)
}

// become changes what becomes of the body of head, which has arrived with n bytes; not if it
// has no room. Caller holds mu.
func (r *bodyRoom) become(head *fasthttp.RequestHeader, n int, state bodyState) bool {
	b := r.drop(head)
	if b == nil {
		return false
	}
	b.bytes, b.state = n, state
	r.put(b)
	r.admit()
	return true
}

// queued returns how many bodies wait.
func (r *bodyRoom) queued() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting)
}

// Taken returns the bytes of the bodies that are being read or whose calls have yet to
// be answered; from then on a body is slow only after patience. For tests.
func (r *bodyRoom) Taken(patience time.Duration) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.patience = patience
	return r.bytes[bodyReading] + r.bytes[bodyRead]
}

// held returns the bytes of all bodies inside.
func (r *bodyRoom) held() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settle(time.Now()) // nobody may have looked since the last burst
	return int64(r.bytes[bodyReading] + r.bytes[bodySlow] + r.bytes[bodyRead] + r.bytes[bodyWaits])
}

// leave gives back what the body of head has, if it has room. It returns how many bytes of
// it the client may have yet to send: none if it was read.
func (r *bodyRoom) leave(head *fasthttp.RequestHeader) (unread int) {
	if r.within.Load() == 0 {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.drop(head)
	if b == nil {
		return 0
	}
	r.admit()
	if b.state == bodyUnread {
		return b.bytes
	}
	return 0
}

// leaving has the bodies of all requests leave when they were answered, and hears out the
// clients of those that were not read.
func (r *bodyRoom) leaving(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if ctx.IsPost() {
			defer func() {
				if n := r.leave(&ctx.Request.Header); n > 0 {
					front.LingerFor(ctx.Conn(), n)
				}
			}()
		}
		next(ctx)
	}
}

// admit lets in those that have waited longest, while there is room. One that only finds no
// room beside those that come slowly, or whose wait is over, is in nobody's way: the first
// may take long, and whoever is behind may be smaller. Caller holds mu.
func (r *bodyRoom) admit() {
	if len(r.waiting) == 0 {
		return
	}
	now := time.Now()
	next := r.settle(now)
	stay := r.waiting[:0]
	for i, b := range r.waiting {
		fits := r.fits(b.bytes)
		if !fits && now.Before(b.by) {
			stay = append(stay, r.waiting[i:]...)
			break
		}
		if !fits || !r.fitsSlow(b.bytes) {
			stay = append(stay, b)
			continue
		}
		// Why less where some come slowly: heads whose bodies never come would
		// hold up those behind them one after the other.
		b.until = now.Add(r.patience / time.Duration(1+r.slow))
		b.ends = now.Add(r.life)
		next = earlier(next, b.until)
		r.put(b)
		close(b.enter)
	}
	clear(r.waiting[len(stay):])
	r.waiting = stay
	if len(r.waiting) == 0 || next.IsZero() {
		return
	}
	if r.timer == nil {
		r.timer = time.AfterFunc(next.Sub(now), r.look)
	} else {
		r.timer.Reset(next.Sub(now))
	}
}

// earlier returns the earlier of two times; a is zero for none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// look lets others in when a body turns out to come slowly, or not at all.
func (r *bodyRoom) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.admit()
}

// fits reports whether there is room for a body with a buffer of n bytes. Caller holds mu.
func (r *bodyRoom) fits(n int) bool {
	within := func(inside, most int) bool { return inside == 0 || inside+min(n, most/2) <= most }
	reading := r.bytes[bodyReading]
	return within(reading, bodiesAtOnce) && within(reading+r.bytes[bodyRead], CallsAtOnce)
}

// fitsSlow reports whether there is room if it comes slowly. Caller holds mu.
func (r *bodyRoom) fitsSlow(n int) bool {
	return r.slow == 0 || r.bytes[bodyReading]+r.bytes[bodySlow]+2*n <= slowAtOnce
}

// settle looks which bodies come slowly by now, and forgets those that nobody reads any
// more. It returns when that will be so of the next one, the zero time if of none. Caller
// holds mu.
func (r *bodyRoom) settle(now time.Time) (next time.Time) {
	for head, b := range r.inside {
		if b.state == bodyReading && !now.Before(b.until) {
			r.count(b, -1)
			b.state = bodySlow
			r.count(b, 1)
		}
		switch {
		case b.state == bodyRead || b.state == bodyWaits:
		case !now.Before(b.ends):
			r.drop(head)
		case b.state == bodyReading:
			next = earlier(next, b.until)
		default:
			next = earlier(next, b.ends)
		}
	}
	return next
}

// put takes a body in. Caller holds mu.
func (r *bodyRoom) put(b *body) {
	if r.inside == nil {
		r.inside = make(map[*fasthttp.RequestHeader]*body)
	}
	r.inside[b.head] = b
	r.within.Store(int64(len(r.inside)))
	r.count(b, 1)
}

// drop takes the body of head out and returns it, nil if there is none. Caller holds mu.
func (r *bodyRoom) drop(head *fasthttp.RequestHeader) *body {
	b := r.inside[head]
	if b != nil {
		r.count(b, -1)
		delete(r.inside, head)
		r.within.Store(int64(len(r.inside)))
	}
	return b
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
		r.put(&body{head: h, bytes: rest, state: bodyUnread, ends: time.Now().Add(r.life)})
		r.mu.Unlock()
		strict.SkipBody(h)
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

// unread reports whether the body of a call found no room, and so was not read.
func (r *bodyRoom) unread(head *fasthttp.RequestHeader) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.inside[head]
	return b != nil && b.state == bodyUnread
}
