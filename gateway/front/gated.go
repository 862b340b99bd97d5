package front

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"sluice/gateway/gate"
	"sluice/gateway/loop"
)

// This file is what a [Conn] is to the gate that accepted it: its [gate.Client].

var _ gate.Client = (*Conn)(nil)

// errTaken ends what the HTTP server does with a connection that was taken over.
var errTaken = errors.New("front: the connection was taken over")

// errParks says that the connection waits at the gate from now on. A tls.Conn takes a
// temporary error as no end: its next read goes on where this one stopped.
var errParks net.Error = parks{}

type parks struct{}

func (parks) Error() string   { return "front: no request has come" }
func (parks) Timeout() bool   { return true }
func (parks) Temporary() bool { return true }

// ServeOn makes a gate accept the connections of the listener and serve, which must be the
// ServeConn of an HTTP server that reads one byte where it waits for a request and has
// time limits for answers, serve them. ended is told when it accepts no longer, and nobody
// called Close. It takes the place of Accept. At most once, before Close.
func (l *Listener) ServeOn(g *gate.Gate, serve func(net.Conn) error, ended func(error)) error {
	l.serve, l.ended = serve, ended
	l.letGo() // the gate has a reserve of its own
	deferAccept(l.Listener)
	gated, err := g.Listen(l.Listener, gate.ListenOptions{
		Accepted: l.letIn, Failed: l.acceptFailed, Before: l.before,
		Farewell: l.opt.TLS != nil || l.opt.ProxyProtocol,
	})
	if err != nil {
		return fmt.Errorf("front: a gate cannot listen: %w", err)
	}
	l.gated = gated
	return nil
}

// deferAccept is what is done to the socket of a listener; nothing in tests.
var deferAccept = loop.DeferAccept

// letIn makes a Conn of a connection that the gate accepted. nil: it is closed.
func (l *Listener) letIn(raw *gate.Conn) gate.Client {
	c := &Conn{Conn: raw, gated: raw, ln: l, secure: l.opt.TLS != nil}
	c.trusted = l.opt.Trusted(c.addr())
	c.header = c.trusted && l.opt.ProxyProtocol
	light := int32(gatedBytes)
	if c.secure {
		light = gatedTLS
	}
	l.waiting.enter(c, light)
	// Where several doors find the last place, all have it: so much room there is.
	if l.waiting.relieve(); l.short.tooLong() && l.waiting.full(0, l.opt.Private) {
		l.tellShed()
		l.waiting.leave(c)
		return nil
	}
	l.accepted.Add(1)
	if c.header {
		c.began = now()
	} else if !c.count() {
		c.forget()
		return nil
	}
	return c
}

// Begins implements gate.Client.
func (c *Conn) Begins() bool {
	return c.phase != phaseIdle || c.count()
}

// Whole implements gate.Client.
func (c *Conn) Whole(have []byte) bool {
	if !c.whole(have) {
		if n := int64(len(have)); n > c.place.extra.Load() {
			c.ln.waiting.charge(c, max(2*n, firstRead)) // it has a buffer
		}
		return false
	}
	if !c.secure {
		c.ln.waiting.came(c)
	}
	return true
}

// Plain implements gate.Client.
func (c *Conn) Plain(have []byte) bool {
	f, end := c.ln.opt.Plain, int(c.head.skip+c.head.end)
	return f != nil && !c.secure && c.head.end > 0 && !c.head.bare && end <= len(have) && f(have[c.head.skip:end])
}

func (c *Conn) whole(have []byte) bool {
	if c.header {
		n, err := headerLength(have)
		if err != nil {
			return true // it is refused where it is served
		}
		if n == 0 || len(have) < n {
			return false
		}
		if c.named, err = clientIn(have[:n]); err != nil {
			return true
		}
		c.introduced()
		if c.head.skip = int32(n); !c.count() {
			c.phase = phaseRefused
			return true
		}
	}
	if c.secure {
		b := have[c.head.skip:]
		return wholeRecord(b) || !c.shaken() && len(b) > 0 && b[0] != recordHandshake
	}
	b := have[c.head.skip:]
	most := c.ln.waiting.opt.Head
	return c.head.whole(b) || most > 0 && len(b) >= most || c.head.odd(b)
}

// Serve implements gate.Client.
func (c *Conn) Serve() {
	if !c.skipHeader() {
		c.phase = phaseRefused
		_ = c.Close()
		return
	}
	c.got = now()
	top := net.Conn(c)
	if c.phase == phaseRequest {
		c.renew()
	}
	if c.secure {
		if c.over == nil {
			c.over = newTLS(c)
		}
		top = c.over
	}
	_ = c.ln.serve(top) // clients cause the errors
	if f := c.then; f != nil {
		c.then = nil
		f(c)
		_ = c.Close()
	}
}

// shaken reports whether the handshake came to a good end.
func (c *Conn) shaken() bool { return c.over != nil && c.over.shaken }

// skipHeader reads over the PROXY header. It reports false if the connection is refused.
func (c *Conn) skipHeader() bool {
	var b [headerBuffer]byte
	for c.head.skip > 0 {
		n, err := c.gated.Read(b[:min(int(c.head.skip), len(b))])
		if err != nil {
			return false
		}
		c.head.skip -= int32(n)
	}
	return c.phase != phaseRefused
}

// Waits implements gate.Client.
func (c *Conn) Waits() bool {
	c.phase, c.head = phaseIdle, headBounds{}
	c.ln.waiting.waits(c)
	return c.place.state.Load() != placeEnded
}

// Ended implements gate.Client.
func (c *Conn) Ended() {
	switch {
	case c.phase == phaseRefused:
	case c.secure && !c.shaken():
		c.ln.failed.Add(1)
	case c.header && c.silentFor(c.ln.opt.HeaderTimeout):
		c.ln.proxyRefused.Add(1)
	}
	c.forget()
}

// silentFor reports whether a connection was accepted so long ago of which nothing came.
// Load balancers look whether the port is open, and close at once.
func (c *Conn) silentFor(limit time.Duration) bool {
	if most := c.ln.opt.RequestTimeout; most > 0 {
		limit = min(limit, most)
	}
	return limit > 0 && now()-c.began >= instant(limit)
}

// forget takes a connection off the books that is closed.
func (c *Conn) forget() {
	c.closing()
	if c.lingers.Swap(0) > 0 { // nobody is heard out
		c.ln.lingering.Add(-1)
	}
	c.ln.waiting.end(c)
	c.ln.waiting.leave(c)
}

// goesOn reports whether the connection is open whatever the HTTP server does with it.
func (c *Conn) goesOn() bool { return c.then != nil || c.gated != nil && c.gated.Parked() }

// cutOff closes the connection from whatever goroutine.
func (c *Conn) cutOff() {
	if c.gated != nil {
		c.gated.Cut()
	} else {
		_ = c.Conn.Close()
	}
}

// readGated reads from the gate: of a request that begins what is there, and no more than
// its head, as long as that was not read. The next one then finds its beginning at the
// gate, too.
func (c *Conn) readGated(p []byte) (n int, err error) {
	within := c.secure && c.over.records.within()
	switch {
	case c.phase == phaseIdle && within: // the next request came with the one before, a part of it
		if !c.begin() {
			c.refuse()
			return 0, io.EOF
		}
		n, err = c.gated.Read(p)
	case c.phase == phaseIdle || c.phase == phaseRequest && c.head.given == 0 && !c.head.midst && !within:
		c.head = headBounds{}
		if n, err = c.gated.First(p); err != nil && c.secure && c.gated.Parked() {
			err = errParks
		}
	case c.head.bare && c.phase == phaseRequest && c.head.given >= c.head.have:
		return 0, ErrBareLineEnd
	default:
		n, err = c.gated.Read(p)
	}
	c.head.give(n)
	if c.secure {
		c.over.records.pass(p[:n])
	}
	return n, err
}

// TakeOver makes f have the connection when the HTTP server is done with it, without an
// answer; the connection is closed when f returns, unless f took its descriptor. It reports
// false where it cannot be told that nothing follows the request, whose body has so many
// bytes: then fasthttp's Hijack is the way, by which that can be looked at. From the
// handler.
func (c *Conn) TakeOver(body int, f func(net.Conn)) bool {
	if c.gated == nil || c.secure || !c.head.only(body) {
		return false
	}
	c.then = f
	return true
}

// takes is a [Conn] for who takes its descriptor out: see [loop.Detach]. The connection is
// off the books then.
type takes Conn

// TakeFD returns the descriptor, false if the connection is closed.
func (t *takes) TakeFD() (fd int, ok bool) {
	c := (*Conn)(t)
	if fd, ok = c.gated.TakeFD(); ok {
		c.ln.waiting.end(c)
		c.ln.waiting.leave(c)
	}
	return fd, ok
}

// before is asked before each accept, though there may be no newcomer: for how long they are
// let be, since there is no place for them and nobody who could make one. One who is about to
// go has his descriptor yet.
func (l *Listener) before() time.Duration {
	w := l.waiting
	switch {
	case !w.full(1, l.opt.Private):
		l.short.ends()
	case w.parting.Load() == 0 && w.canMakeRoom(): // for whom letIn has
	case !l.short.lasts(w.gone.Load()):
		return fullPoll
	}
	return 0 // letIn closes it where there is no place
}

// acceptFailed says for how long nothing is accepted, for ever if it is less than 0.
func (l *Listener) acceptFailed(err error) time.Duration {
	if !passing(err) {
		if !l.ending() {
			l.ended(err)
		}
		return -1
	}
	l.tellRetry(err)
	l.failing.Lock()
	defer l.failing.Unlock()
	wait := firstBackoff
	if n := l.accepted.Load(); n == l.acceptedThen {
		wait = min(max(2*l.backoff, firstBackoff), lastBackoff)
	} else {
		l.acceptedThen = n
		l.out.ends()
	}
	if outOfDescriptors(err) {
		wait = l.withoutDescriptor(wait, func() bool {
			shed := l.gated.Shed()
			if shed {
				l.tellShed()
			}
			return shed
		})
	}
	l.backoff = wait
	return wait
}
