package front

import (
	"sync"

	"sluice/gateway/front/client"
	"sluice/gateway/shrink"
)

const waitingStripes = 64

// waitingStripe counts connections by the key of their address. A count that falls to
// zero is forgotten. Its lock, and that of Waiting, are taken last and nothing is
// called under them.
type waitingStripe struct {
	// Guarded by mu.
	mu    sync.Mutex
	n     shrink.Map[client.Key, *waitCount] // never zero
	spare *waitCount                         // zero, or nil: the next one

	_ [16]byte // keeps stripes on cache lines of their own
}

// of returns the counts of a key, to be changed; keep has to follow. Caller holds mu.
func (s *waitingStripe) of(k client.Key) *waitCount {
	n := s.n.Value(k)
	if n == nil {
		if n, s.spare = s.spare, nil; n == nil {
			n = new(waitCount)
		}
		s.n.Set(k, n)
	}
	return n
}

// keep forgets counts that are zero. Caller holds mu.
func (s *waitingStripe) keep(k client.Key, n *waitCount) {
	if *n == (waitCount{}) {
		s.n.Delete(k)
		s.spare = n
	}
}

// waitCount is how many connections of an address wait for their clients, and what its
// requests hold that wait for others.
type waitCount struct {
	half, idle int32
	working    int32
	handled    int64 // bytes
	idles      idleList
}

// move counts a connection in another state.
func (n *waitCount) move(c *Conn, was, state uint32) {
	switch was {
	case placeHalf:
		n.half--
	case placeIdle:
		n.idle--
		n.idles.leave(c)
	}
	switch state {
	case placeHalf:
		n.half++
	case placeIdle:
		n.idle++
		n.idles.enter(c)
	}
}

// count counts a connection in another state than it was, if its address has room. full: it
// is an idle one too many, and one of older is to be closed for it; there are so many.
func (w *Waiting) count(c *Conn, was, state uint32, older *[looksAt]*Conn) (ok bool, full int) {
	p := &c.place
	if !p.counted {
		return true, 0
	}
	s := w.stripe(p.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.of(p.key)
	n.move(c, was, placeNone)
	switch {
	case state == placeHalf && w.opt.PerAddress > 0 && int(n.half) >= w.opt.PerAddress:
		ok = false
	case state == placeIdle && w.opt.IdlePerAddress > 0 && int(n.idle) >= w.opt.IdlePerAddress:
		full = n.idles.oldest(now()-instant(w.opt.Young), older)
		ok = full > 0
	default:
		ok = true
	}
	if !ok {
		state = was
	}
	n.move(c, placeNone, state)
	s.keep(p.key, n)
	return ok, full
}

// discount counts a connection no more that was in a state.
func (w *Waiting) discount(c *Conn, state uint32) {
	if state != placeHalf && state != placeIdle {
		return
	}
	w.move(c, state, placeNone)
}

// move counts a connection in another state, whatever the limit.
func (w *Waiting) move(c *Conn, was, state uint32) {
	p := &c.place
	if !p.counted {
		return
	}
	s := w.stripe(p.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.of(p.key)
	n.move(c, was, state)
	s.keep(p.key, n)
}

// has returns how many connections are counted for a key.
func (w *Waiting) has(k client.Key) int {
	s := w.stripe(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.n.Value(k); n != nil {
		return int(n.half + n.idle)
	}
	return 0
}

// stripe returns where a key is. The multiplier is random, so that nobody can
// choose addresses that meet in one stripe.
func (w *Waiting) stripe(k client.Key) *waitingStripe {
	return &w.stripes[uint64(k)*w.scatter>>(64-6)]
}
