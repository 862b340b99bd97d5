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
	// lookAgain is how soon it is looked again whether memory is short.
	lookAgain = 10 * time.Millisecond
)

// relieve closes connections that wait for their clients, while memory or descriptors
// are short.
//
// Those that were charged at the same moment may all be on their way: to a worker, or to the
// gate. Nobody of them waits for his client yet, so nobody can go, and none looks when he
// does. So where memory stays short it is looked again a little later.
func (w *Waiting) relieve() {
	for n := 0; n < evictions && (w.burdened() || w.scarce()) && w.evict(); n++ {
	}
	if w.burdened() && w.looking.CompareAndSwap(false, true) {
		time.AfterFunc(lookAgain, w.look)
	}
}

// look is relieve where nothing happens meanwhile. Who is alone is not closed for what his
// own request takes.
func (w *Waiting) look() {
	w.looking.Store(false)
	if w.open.Load()-w.parting.Load() > 1 {
		w.relieve()
	}
}

func (w *Waiting) burdened() bool { return w.opt.Bytes > 0 && w.held.Load() > w.opt.Bytes }

// used returns how many descriptors are in use that Files is about.
func (w *Waiting) used() int {
	return int(w.open.Load()) - min(int(w.private.Load()), w.opt.Files.Private) + w.opt.Others()
}

// scarce reports whether descriptors are: who does not need one gives it back.
func (w *Waiting) scarce() bool {
	return w.opt.Files.Scarce > 0 && w.used()-int(w.parting.Load()) > w.opt.Files.Scarce
}

// full reports whether there is no place for n more connections than there are, to a
// listener that is private or not.
func (w *Waiting) full(n int, private bool) bool {
	if w.opt.Files.None <= 0 || private && int(w.private.Load())+n <= w.opt.Files.Private {
		return false
	}
	return w.used()+n > w.opt.Files.None
}

// evict closes one connection that waits for its client, and reports whether there
// was one. Why by lot: nothing needs to be kept in order for what happens rarely, and
// the cost is the same however many there are.
//
// Of an address those go first of whom nothing has come: Nobody pays for it that we are late
// to read. If something has come of all, nobody goes, not those of another address in their
// place either; but where memory is short, which cannot wait, one does.
func (w *Waiting) evict() bool {
	first, ok := w.pick(func(c *Conn) bool { return w.close(c, false) })
	if !ok && first != nil && w.burdened() {
		ok = w.close(first, true)
	}
	if ok {
		w.evicted.Add(1)
	}
	return ok
}

// canMakeRoom reports whether evict would, had it been called.
func (w *Waiting) canMakeRoom() bool {
	_, ok := w.pick(func(c *Conn) bool { return !c.hasCome() && c.place.waits() })
	return ok
}

// pick draws connections that wait for their clients, until one goes of the address whose turn
// it is. If none does, it returns the one that was the first to go, nil if there is none.
func (w *Waiting) pick(goes func(*Conn) bool) (first *Conn, ok bool) {
	var d drawn
	for n := range evictions { // what was chosen may be at work by now
		w.draw(&d)
		i := d.worst()
		if i < 0 {
			break
		}
		turn := d.standings[i]
		if turn.known && n < evictions-1 {
			continue // there may be strangers, not drawn yet
		}
		for first = d.conns[i]; i >= 0 && d.standings[i].like(turn); i = d.worst() {
			if goes(d.conns[i]) {
				return first, true
			}
			d.drop(i)
		}
	}
	return first, false
}

// drawn are the connections that the lot fell on and whose requests are not read yet.
type drawn struct {
	n         int
	conns     [draws]*Conn
	standings [draws]standing
}

// worst returns which of them goes first, -1 if there is none.
func (d *drawn) worst() int {
	worst := d.n - 1
	for i := range d.n {
		if d.standings[i].behind(d.standings[worst]) {
			worst = i
		}
	}
	return worst
}

// drop is for one that cannot go.
func (d *drawn) drop(i int) {
	d.n--
	d.conns[i], d.standings[i] = d.conns[d.n], d.standings[d.n]
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

// like reports whether two are of one address, or of such as have the same right to go last.
func (s standing) like(o standing) bool { return s.known == o.known && s.n == o.n }

func (w *Waiting) standing(c *Conn) standing {
	s := standing{known: c.place.known.Load(), n: 1, idle: c.place.state.Load() == placeIdle, since: c.place.since.Load()}
	if c.place.counted {
		s.n = w.has(c.place.key)
	}
	return s
}

// draw draws from all connections. If there are few, all of them are drawn.
func (w *Waiting) draw(d *drawn) {
	d.n = 0
	w.mu.Lock()
	for i := range min(draws, len(w.all)) {
		if len(w.all) > draws {
			i = rand.IntN(len(w.all))
		}
		if c := w.all[i]; c.place.unread() && !w.keeps(c) {
			d.conns[d.n] = c
			d.n++
		}
	}
	w.mu.Unlock()
	for i, c := range d.conns[:d.n] {
		d.standings[i] = w.standing(c)
	}
}

// keeps reports whether a connection has a place that nobody else can take.
func (w *Waiting) keeps(c *Conn) bool {
	return c.ln.opt.Private && int(w.private.Load()) <= w.opt.Files.Private
}

// waits reports whether the client is waited for.
func (p *place) waits() bool { return p.unread() && p.since.Load() > 0 }

// unread reports whether the client is waited for, or somebody is at work on a part of what
// it is to send: then its address is one of those whose turn it may be, though it cannot go
// itself. Nobody else goes in its place.
func (p *place) unread() bool {
	switch p.state.Load() {
	case placeHalf, placeIdle:
		return p.since.Load() != 0
	}
	return false
}

// close closes a connection if its client is still waited for, and nothing has come that
// nobody has read yet; anyway says that this is no reason in the midst of a request.
// What it looks at may change meanwhile, so it is looked at from the outside in.
func (w *Waiting) close(c *Conn, anyway bool) bool {
	p := &c.place
	state := p.state.Load()
	if state != placeHalf && state != placeIdle || c.atWork() {
		return false
	}
	if (state == placeIdle || !anyway) && c.hasCome() || !p.waits() || !p.state.CompareAndSwap(state, placeEnded) {
		return false
	}
	w.discount(c, state)
	w.unburden(p)
	w.part(c)
	c.cutOff() // whoever reads it is told, and closes it
	return true
}

// atWork reports whether somebody is at work on what has come. Without a gate he has said so,
// see Waiting.came.
func (c *Conn) atWork() bool { return c.gated != nil && !c.gated.Awaited() }

// hasCome reports whether the client has sent what nobody has read, or somebody is at work
// on what it sent. It is a system call.
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
