package front

import (
	"net"
	"time"

	"sluice/gateway/front/strict"
)

// This file is what handlers say of the connection that their request came by: [strict.Handler]
// by methods, others by functions that let connections be which are not of a [Listener].

// fronted is what Accept returns.
type fronted interface{ bottom() *Conn }

func (c *Conn) bottom() *Conn { return c }

var (
	_ strict.Conn = (*Conn)(nil)
	_ strict.Conn = (*TLSConn)(nil)
)

// Taken implements strict.Conn: reading on, to see what came with the last request, begins
// none.
func (c *Conn) Taken() { c.phase = phaseTaken }

// TakenOver implements strict.Conn.
func (c *Conn) TakenOver() bool { return c.then != nil }

// Stay implements strict.Conn.
func (c *Conn) Stay() bool {
	c.head = headBounds{} // what comes next is another request's
	return !c.ln.ending() && c.ln.waiting.stay(c)
}

// Linger implements strict.Conn; see the function of that name.
func (c *Conn) Linger() { c.linger(lingerBytes) }

// Taken implements strict.Conn.
func (c *TLSConn) Taken() { c.below.Taken() }

// TakenOver implements strict.Conn.
func (c *TLSConn) TakenOver() bool { return false }

// Stay implements strict.Conn.
func (c *TLSConn) Stay() bool { return c.below.Stay() }

// Linger implements strict.Conn.
func (c *TLSConn) Linger() { c.below.Linger() }

// Serving says that the request on c, a connection of a [Listener], was read to
// its end: until it was answered nobody waits for its client. It reports whether the
// connection is open: one may have been closed for others a moment ago, and what
// the request asks for must not be done then. Call it when a handler starts, from the
// goroutine that reads c. Other connections are let be.
func Serving(c net.Conn) bool {
	if f, ok := c.(fronted); ok {
		return f.bottom().serving()
	}
	return true
}

// serving: the request was read. It reports whether the connection is open.
func (c *Conn) serving() bool {
	c.phase = phaseIdle
	c.answer.answering()
	c.reading.Store(false)
	return c.ln.waiting.release(c)
}

// Linger says that c, a connection of a [Listener], is answered before its
// request was read: its Close then waits a moment for the rest, since a socket
// closed with unread input is reset, and the client may lose the answer that
// tells it why. Other connections are let be. Any goroutine.
func Linger(c net.Conn) {
	if f, ok := c.(fronted); ok {
		f.bottom().linger(lingerBytes)
	}
}

// LingerFor is [Linger] for a client that may have n bytes yet to send and should get its
// answer all the same: few clients read it before they have sent their request. They may
// take ten seconds.
func LingerFor(c net.Conn, n int) {
	if f, ok := c.(fronted); ok {
		f.bottom().linger(int64(n) + int64(n)/16 + lingerBytes) // TLS has records and their ends
	}
}

func (c *Conn) linger(n int64) {
	for old := c.lingers.Load(); old < n; old = c.lingers.Load() {
		if c.lingers.CompareAndSwap(old, n) {
			if old == 0 {
				c.ln.lingering.Add(1) // until Close has waited
			}
			return
		}
	}
}

const (
	// lingerTime and lingerBytes are how long, and how much of what a client
	// still sends, is waited for behind an answer that came before the
	// request was read.
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 256 << 10
	// lingerMost is how long it is for a client that is to be heard out.
	lingerMost = 10 * time.Second
)

// lingering returns how long n bytes are waited for.
func lingering(n int64) time.Duration {
	if n <= lingerBytes {
		return lingerTime
	}
	return lingerMost
}
