package front

import (
	"math/rand/v2"
	"syscall"
	"time"
)

const (
	// draws is among how many connections, drawn by lot, one is looked for that may be
	// closed. Whoever has most of them is among these all but surely.
	draws = 32
	// evictions bounds how many are closed in one call: the caller has work to do.
	evictions = 8
)

// relieve closes connections that wait for their clients, while memory or descriptors
// are short.
func (w *Waiting) relieve() {
	for n := 0; n < evictions && (w.burdened() || w.scarce()) && w.evict(); n++ {
	}
}

func (w *Waiting) burdened() bool { return w.opt.Bytes > 0 && w.held.Load() > w.opt.Bytes }

// used returns how many descriptors are in use that Files is about.
func (w *Waiting) used() int {
	return int(w.open.Load()) - min(int(w.private.Load()), w.opt.Files.Private) + w.opt.Others()
}

// scarce reports whether descriptors are: who does not need one gives it back.
func (w *Waiting) scarce() bool { return w.opt.Files.Scarce > 0 && w.used() > w.opt.Files.Scarce }

// full reports whether there is no place for the connection that was accepted last, by
// a listener that is private or not.
func (w *Waiting) full(private bool) bool { return w.fullWith(0, private) }

// fullWith is full for a connection that comes as one of n more.
func (w *Waiting) fullWith(n int, private bool) bool {
	if w.opt.Files.None <= 0 || private && int(w.private.Load())+n <= w.opt.Files.Private {
		return false
	}
	return w.used()+n > w.opt.Files.None
}

// evict closes one connection that waits for its client, and reports whether there
// was one. Why by lot: nothing needs to be kept in order for what happens rarely, and
// the cost is the same however many there are.
func (w *Waiting) evict() bool {
	var drawn [draws]*Conn
	for n := range evictions { // what was chosen may be at work by now
		var worst *Conn
		var last standing
		for _, c := range drawn[:w.draw(&drawn)] {
			if s := w.standing(c); worst == nil || s.behind(last) {
				worst, last = c, s
			}
		}
		if worst == nil {
			return false
		}
		if last.known && n < evictions-1 {
			continue // there may be strangers, not drawn yet
		}
		if w.close(worst) {
			w.evicted.Add(1)
			return true
		}
	}
	return false
}

// standing is what decides who goes first.
type standing struct {
	known bool
	n     int   // how many connections of its address wait for their clients
	idle  bool  // it is between two requests
	since int64 // see instant
}

// behind reports whether a connection goes before another: one of a stranger, then one
// whose address has more, then an idle one, then the one that has waited longer.
func (s standing) behind(o standing) bool {
	switch {
	case s.known != o.known:
		return o.known
	case s.n != o.n:
		return s.n > o.n
	case s.idle != o.idle:
		return s.idle
	}
	return s.since < o.since
}

func (w *Waiting) standing(c *Conn) standing {
	s := standing{known: c.place.known.Load(), n: 1, idle: c.place.state.Load() == placeIdle, since: c.place.since.Load()}
	if c.place.counted {
		s.n = w.has(c.place.key)
	}
	return s
}

// draw draws from all connections, and returns how many of the drawn wait for their
// clients. If there are few, all of them are drawn.
func (w *Waiting) draw(drawn *[draws]*Conn) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range min(draws, len(w.all)) {
		if len(w.all) > draws {
			i = rand.IntN(len(w.all))
		}
		if c := w.all[i]; c.place.waits() && !w.keeps(c) {
			drawn[n] = c
			n++
		}
	}
	return n
}

// anyWaits reports whether there is anybody, of those whom the lot fell on, who can be
// closed for others.
func (w *Waiting) anyWaits() bool {
	var drawn [draws]*Conn
	return w.draw(&drawn) > 0
}

// keeps reports whether a connection has a place that nobody else can take.
func (w *Waiting) keeps(c *Conn) bool {
	return c.ln.opt.Private && int(w.private.Load()) <= w.opt.Files.Private
}

// waits reports whether the client is waited for.
func (p *place) waits() bool {
	switch p.state.Load() {
	case placeHalf, placeIdle:
		return p.since.Load() != 0
	}
	return false
}

// close closes a connection if its client is still waited for: an idle one not if something
// has come of its next request.
func (w *Waiting) close(c *Conn) bool {
	p := &c.place
	state := p.state.Load()
	if state != placeHalf && state != placeIdle || state == placeIdle && c.hasCome() || !p.state.CompareAndSwap(state, placeEnded) {
		return false
	}
	w.discount(c, state)
	w.unburden(p)
	c.cutOff() // whoever reads it is told
	w.leave(c)
	return true
}

// hasCome reports whether the client has sent what nobody has read. It is a system call.
func (c *Conn) hasCome() bool {
	if c.gated != nil {
		return !c.gated.Quiet()
	}
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	_ = raw.Control(func(fd uintptr) {
		var one [1]byte
		n, _, _ = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	return n > 0
}

const (
	// patienceFull is how long a newcomer waits for a place where there is none:
	// requests that are being answered are over soon. It is not left to the
	// backlog of the kernel, behind which calls and health checks would wait, too.
	patienceFull = 100 * time.Millisecond
	fullPoll     = 2 * time.Millisecond
)

// room reports whether there is a place for a connection that was just accepted, and
// makes one if it can. From Accept.
func (l *Listener) room() bool {
	l.waiting.relieve()
	for l.waiting.full(l.opt.Private) {
		now := time.Now()
		if l.fullSince.IsZero() {
			l.fullSince = now
		}
		if now.Sub(l.fullSince) >= patienceFull {
			return false
		}
		select {
		case <-l.closed:
			return false
		case <-time.After(fullPoll):
		}
		l.waiting.relieve()
	}
	l.fullSince = time.Time{}
	return true
}
