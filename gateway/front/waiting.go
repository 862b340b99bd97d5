package front

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"sluice/gateway/front/client"
)

// WaitingOptions bound what connections hold that wait for their clients. The zero
// value bounds nothing.
type WaitingOptions struct {
	// PerAddress is how many connections of one address, or of one /64 of IPv6,
	// may have an unfinished handshake or request. 0: no limit.
	PerAddress int
	// IdlePerAddress is how many of them may be idle between two requests. 0: no limit.
	IdlePerAddress int
	// Young is for how long an idle connection is not closed for a newer one of its
	// address. 0: it may be at once.
	Young time.Duration
	// Bytes is what all connections but streams may hold together, by estimate. 0:
	// no limit. Requests that wait for others may hold a part of it, see [Hold].
	Bytes int64
	// Head is what the HTTP server takes for reading a request: bytes.
	Head int
	// Files are how many descriptors there are for connections, streams included.
	Files Files
	// Others returns how many descriptors streams have, and what else counts for
	// Files. Any goroutine. nil: none.
	Others func() int
}

// Files are marks of descriptors in use by connections, streams and what else
// WaitingOptions.Others counts; 0: no limit.
type Files struct {
	Scarce int // above it, connections that wait for their clients are closed for others
	None   int // above it, there is no place for another connection
	// Private are so many connections to private listeners that count for neither, so
	// that they have places which nobody else can take.
	Private int
}

// Waiting knows all connections of the listeners that it is given to, and at which of
// them the server waits for the client: those whose handshake or request is not read
// yet, and those that are idle between two requests. Make it with [NewWaiting]; its
// methods may be called from any goroutine.
//
// An address may have so many of either. A connection whose request begins is closed if
// that many others have one under way; for one that would be idle the one that has been
// for longest is closed, or the newer one itself, with its answer, if none has been idle for
// some time: who sends one request after the other may have sent the next.
//
// The node as a whole has so much memory and so many descriptors. Where these are short,
// somebody must go: of a few that wait, chosen by lot, one of the address that has the most
// of them, and of several the one that has waited longest; those of the operator's own go
// last, see [SetKnown]. So whoever takes all there is, by many connections or by slow ones,
// does it to himself, and a request that is sent at once finds a place. Who has
// sent what nobody has read yet is let be; a newcomer for whom there is no place waits for one
// for a while, see shortage.
//
// Connections that are being answered, and streams, are let be. A request whose handler
// waits for somebody else than its client holds its buffers meanwhile: there is room for
// so many of an address, and in all, and one more is refused, see [Hold].
type Waiting struct {
	// Immutable after NewWaiting.
	opt     WaitingOptions
	scatter uint64 // odd

	// Atomic.
	held    atomic.Int64 // bytes, by estimate
	handled atomic.Int64 // of these, of requests that wait for others
	working atomic.Int64 // the number of these
	open    atomic.Int64 // the length of all
	private atomic.Int64 // of these, to private listeners
	parting atomic.Int64 // of all, those that were closed for others and still have a descriptor
	evicted atomic.Uint64
	lasts   atomic.Uint64 // answers that ended their connection
	gone    atomic.Uint64 // connections that left of those that were let in, and had places which others can take
	older   atomic.Uint64 // idle connections closed for newer ones of their address
	looking atomic.Bool   // a timer runs that looks whether memory is short

	stripes [waitingStripes]waitingStripe

	// Guarded by mu.
	mu  sync.Mutex
	all []*Conn
}

// place is what a connection has in a Waiting. The order of its fields spares each connection
// 24 bytes.
type place struct {
	// Atomic.
	state atomic.Uint32
	known atomic.Bool  // see SetKnown
	extra atomic.Int64 // bytes of buffers that it counts for
	// since is when the wait for the client began, see instant. Less than 0: somebody is at
	// work on what came; 0: the server is still writing.
	since atomic.Int64

	// Guarded by the stripe of the key.
	prev, next *Conn // in the idleList
	listed     int8  // see there

	// Owned by the worker until the state is not placeNone for the first time,
	// immutable then.
	counted bool // for its address

	// Guarded by Waiting.mu.
	parts bool  // it was closed for others, and still has its descriptor
	at    int32 // in Waiting.all, counted from 1; 0: not in it

	// As counted.
	key client.Key

	// Immutable after Accept.
	light int32 // bytes that it counts for in any case
}

const (
	placeNone  uint32 = iota // not waited for: nothing was read, or it is being answered
	placeHalf                // its handshake or request is being read
	placeIdle                // its last request was answered, or is about to be
	placeEnded               // the connection was closed
)

// What connections are estimated to hold.
const (
	lightBytes = 8 << 10  // the stack of a worker, mostly
	lightTLS   = 24 << 10 // with the state of TLS
	// At a gate, where one that waits has no worker.
	gatedBytes = 1 << 10
	gatedTLS   = 16 << 10
	// heads is how often the HTTP server has a head while it reads it: as it came,
	// and twice what it made of it.
	heads = 3
	// bodyBytes is what it takes for a body that needs no key.
	bodyBytes = 64 << 10
)

// NewWaiting makes one for all listeners of a node.
func NewWaiting(opt WaitingOptions) *Waiting {
	if opt.Others == nil {
		opt.Others = func() int { return 0 }
	}
	return &Waiting{opt: opt, scatter: rand.Uint64() | 1}
}

// enter takes a connection in. From Accept.
func (w *Waiting) enter(c *Conn, light int32) {
	c.place.light = light
	w.held.Add(int64(light))
	w.mu.Lock()
	w.all = append(w.all, c)
	c.place.at = int32(len(w.all))
	w.open.Store(int64(len(w.all)))
	if c.ln.opt.Private {
		w.private.Add(1)
	}
	w.mu.Unlock()
}

// leave is for a connection whose descriptor was closed, or is about to be. One that was not
// let in has not ended before that: the server does not get on by turning it away.
func (w *Waiting) leave(c *Conn) {
	w.mu.Lock()
	gone := w.remove(c)
	parted := c.place.parts
	if gone && parted {
		w.parting.Add(-1)
	}
	w.mu.Unlock()
	if gone && !parted {
		w.held.Add(-int64(c.place.light))
	}
}

// part notes that a connection is about to be closed for others, and counts for its
// descriptor only.
func (w *Waiting) part(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.place.at != 0 {
		c.place.parts = true
		w.parting.Add(1)
		w.held.Add(-int64(c.place.light))
	}
}

// remove takes a connection off the list. Caller holds mu.
func (w *Waiting) remove(c *Conn) bool {
	i, last := int(c.place.at)-1, len(w.all)-1
	if i < 0 {
		return false
	}
	w.all[i] = w.all[last]
	w.all[i].place.at = int32(i + 1)
	w.all[last] = nil
	w.all = w.all[:last]
	c.place.at = 0
	w.open.Store(int64(last))
	if freed := !c.ln.opt.Private || int(w.private.Load()) > w.opt.Files.Private; freed && c.place.state.Load() == placeEnded {
		w.gone.Add(1)
	}
	if c.ln.opt.Private {
		w.private.Add(-1)
	}
	if n := cap(w.all); n > 1024 && last < n/4 {
		w.all = append(make([]*Conn, 0, n/2), w.all...)
	}
	return true
}

// begin notes that a handshake or request is being read, from the worker. It reports
// whether the address has room for it, and the connection was not closed for others.
func (w *Waiting) begin(c *Conn, now time.Time) bool {
	return w.take(c, placeHalf, int64(instantOf(now)))
}

// stay notes that the connection will be idle after the answer that is being written,
// and reports whether it may.
func (w *Waiting) stay(c *Conn) bool {
	if (!w.scarce() || w.keeps(c)) && w.take(c, placeIdle, 0) {
		return true
	}
	w.lasts.Add(1)
	return false
}

// take gives a connection the place of a state, if there is one for its address.
func (w *Waiting) take(c *Conn, state uint32, since int64) bool {
	p := &c.place
	was := p.state.Load()
	if was == state || was == placeEnded {
		return was == state
	}
	if p.key == 0 {
		p.key = client.KeyOf(c.addr())
	}
	// Without an address, on a Unix socket, nobody counts: they would all be one.
	if counted := (w.opt.PerAddress > 0 || w.opt.IdlePerAddress > 0) && !c.trusted && c.addr().IsValid(); p.counted != counted {
		p.counted = counted
	}
	p.since.Store(since) // before it is in a list: what stood there is of another wait
	var older [looksAt]*Conn
	ok, full := w.count(c, was, state, &older)
	if !ok {
		return false
	}
	if full > 0 && !w.goes(older[:full]) {
		w.move(c, state, was)
		return false
	}
	if !p.state.CompareAndSwap(was, state) {
		w.move(c, state, was) // whoever ended it counts it off where it was
		return false
	}
	return true
}

// goes makes room for an idle connection among the given ones, which are idle, and reports
// whether there is some now. None goes whose next request has come: its client would not
// know whether that was served.
func (w *Waiting) goes(older []*Conn) bool {
	for _, c := range older {
		if w.close(c, false) {
			w.older.Add(1)
			return true
		}
		if c.place.state.Load() != placeIdle {
			return true
		}
	}
	return false
}

// came notes that nobody waits for the client for now: somebody is at work on what has come
// of its request. It would be closed for others without the answer that is on its way. From
// the worker, or the gate.
func (w *Waiting) came(c *Conn) {
	if p := &c.place; p.state.Load() == placeHalf {
		if since := p.since.Load(); since > 0 {
			p.since.Store(-since)
		}
	}
}

// awaits notes that the client of a request is waited for again, for the rest of it, as it
// was from the beginning. From the worker.
func (w *Waiting) awaits(c *Conn) {
	if p := &c.place; p.state.Load() == placeHalf {
		if since := p.since.Load(); since < 0 {
			p.since.Store(-since)
		}
	}
}

// waits notes that the client of an idle connection is waited for from now on.
func (w *Waiting) waits(c *Conn) {
	if c.place.state.Load() == placeIdle {
		c.place.since.Store(int64(now()))
	}
}

// burden notes that the connection holds the buffers of a request while its client is
// waited for.
func (w *Waiting) burden(c *Conn) { w.charge(c, w.heavyBytes()) }

// charge notes that the connection holds so many bytes while its client is waited for, if
// it is more than before.
func (w *Waiting) charge(c *Conn, n int64) {
	if c.place.extra.Load() >= n {
		return
	}
	w.held.Add(n - c.place.extra.Swap(n))
	if c.place.state.Load() == placeEnded {
		w.unburden(&c.place)
	}
	w.relieve()
}

// unburden is for when the request was read, or never will be.
func (w *Waiting) unburden(p *place) {
	if p.extra.Load() != 0 {
		w.held.Add(-p.extra.Swap(0))
	}
}

func (w *Waiting) heavyBytes() int64 { return heads*int64(w.opt.Head) + bodyBytes }

// release gives the place back, as the request was read. It reports false if the
// connection was closed meanwhile. From the worker.
func (w *Waiting) release(c *Conn) bool {
	p := &c.place
	w.unburden(p)
	for {
		switch state := p.state.Load(); state {
		case placeHalf, placeIdle:
			if p.state.CompareAndSwap(state, placeNone) {
				w.discount(c, state)
				return true
			}
		default:
			return state == placeNone
		}
	}
}

// end is release for good. Any goroutine.
func (w *Waiting) end(c *Conn) {
	w.discount(c, c.place.state.Swap(placeEnded))
	w.unburden(&c.place)
}

// Held returns how many bytes connections hold, by estimate.
func (w *Waiting) Held() int64 { return w.held.Load() }

// WaitingStats are what a [Waiting] did since the start, and what there is now.
type WaitingStats struct {
	Evicted uint64 // connections closed for others, because memory or descriptors were short
	Lasts   uint64 // answers that ended their connection, as there was no room for an idle one
	Older   uint64 // idle connections closed for newer ones of their address
	Half    int    // connections with an unfinished handshake or request
	Idle    int    // connections between two requests
	Held    int64  // bytes that connections hold, by estimate
	Working int    // requests that wait for others
}

// Stats returns the counters.
func (w *Waiting) Stats() WaitingStats {
	st := WaitingStats{Evicted: w.evicted.Load(), Lasts: w.lasts.Load(), Older: w.older.Load(), Held: w.held.Load(), Working: int(w.working.Load())}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.all {
		switch c.place.state.Load() {
		case placeHalf:
			st.Half++
		case placeIdle:
			st.Idle++
		}
	}
	return st
}
