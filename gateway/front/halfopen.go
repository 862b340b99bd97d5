package front

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"

	"sluice/gateway/shrink"
)

// halfOpen counts, by the key of their address, connections whose request is
// not read yet. A count that falls to zero is forgotten, so there are never more
// than open connections. Its locks are taken last and nothing is called under them.
type halfOpen struct {
	// Immutable after newHalfOpen.
	limit   int    // 0: nothing is counted
	scatter uint64 // odd

	stripes [halfOpenStripes]halfOpenStripe
}

const halfOpenStripes = 64

type halfOpenStripe struct {
	// Guarded by mu.
	mu sync.Mutex
	n  shrink.Map[Key, int] // never 0

	_ [24]byte // keeps stripes on cache lines of their own
}

// place is what a connection has in a halfOpen: nothing, or one of its counts.
type place struct {
	// Atomic.
	state atomic.Uint32

	// Owned by the worker while the state is placeNone, immutable otherwise.
	key Key
}

const (
	placeNone uint32 = iota
	placeHeld
	placeEnded // the connection was closed
)

func newHalfOpen(limit int) *halfOpen {
	return &halfOpen{limit: limit, scatter: rand.Uint64() | 1}
}

// take counts a connection for the address and reports whether it had room. A
// connection that was closed meanwhile is not counted. From the worker.
func (h *halfOpen) take(p *place, client netip.Addr) bool {
	if h.limit <= 0 || p.state.Load() != placeNone {
		return true
	}
	p.key = KeyOf(client)
	s := h.stripe(p.key)
	s.mu.Lock()
	n := s.n.Value(p.key)
	ok := n < h.limit
	if ok {
		s.n.Set(p.key, n+1)
	}
	s.mu.Unlock()
	if ok && !p.state.CompareAndSwap(placeNone, placeHeld) {
		h.drop(p)
	}
	return ok
}

// release gives the count back. From the worker.
func (h *halfOpen) release(p *place) {
	if p.state.CompareAndSwap(placeHeld, placeNone) {
		h.drop(p)
	}
}

// end is release for good. Any goroutine.
func (h *halfOpen) end(p *place) {
	if p.state.Swap(placeEnded) == placeHeld {
		h.drop(p)
	}
}

func (h *halfOpen) drop(p *place) {
	s := h.stripe(p.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.n.Value(p.key); n > 1 {
		s.n.Set(p.key, n-1)
	} else {
		s.n.Delete(p.key)
	}
}

// stripe returns where a key is. The multiplier is random, so that nobody can
// choose addresses that meet in one stripe.
func (h *halfOpen) stripe(k Key) *halfOpenStripe {
	return &h.stripes[uint64(k)*h.scatter>>(64-6)]
}

// count returns how many connections are counted. Any goroutine.
func (h *halfOpen) count() int {
	n := 0
	for i := range h.stripes {
		s := &h.stripes[i]
		s.mu.Lock()
		for _, v := range s.n.All() {
			n += v
		}
		s.mu.Unlock()
	}
	return n
}
