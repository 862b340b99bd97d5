package front

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"sluice/gateway/front/client"
	"sluice/gateway/gate"
)

// phase is where a connection is in the life of its requests.
type phase uint8

const (
	phaseFresh   phase = iota // nothing was read
	phaseRequest              // a handshake or a request is being read
	phaseIdle                 // the last request was read
	phaseTaken                // it becomes a stream: what is read is no request
	phaseRefused              // closed by us; reading gives the end
)

// instant is a time, in ns from a little before the process began, so that what happens is
// more than 0: an idle connection is not to have more bytes than it needs.
type instant int64

var base = time.Now().Add(-time.Hour)

func now() instant                  { return instantOf(time.Now()) }
func instantOf(t time.Time) instant { return instant(t.Sub(base)) }
func (i instant) time() time.Time   { return base.Add(time.Duration(i)) }

// deadline is the instant of a deadline, 0 for none; by is the deadline of an instant.
func deadline(t time.Time) instant {
	if t.IsZero() {
		return 0
	}
	return instantOf(t)
}

func (i instant) by() time.Time {
	if i == 0 {
		return time.Time{}
	}
	return i.time()
}

// Conn is an accepted connection: what the HTTP server reads from, or what
// carries the encrypted bytes of a [TLSConn]. Closing is safe from any
// goroutine; the rest is for the one that serves the connection.
type Conn struct {
	net.Conn // the accepted connection

	// Immutable after Accept.
	ln    *Listener
	gated *gate.Conn // the same, if a gate accepted it; otherwise nil

	// Owned by the worker of the HTTP server, and by the door of the gate while it waits
	// there.
	secure  bool // it carries a TLSConn; immutable
	phase   phase
	trusted bool       // the client, as far as it is known, is a trusted proxy
	header  bool       // a PROXY header is due
	unset   bool       // readBy is for the next read that may wait, and not set yet; only at a gate
	aside   bool       // what BeginWait said when held was taken
	request uint32     // counts them
	partly  uint32     // the last of which something was read; of TLS what carries it
	head    headBounds // of a request that came by the gate
	over    *TLSConn   // what it carries, if a gate accepted it; made when it is served first
	then    func(net.Conn)
	first   *firstBytes // what was read before it was asked for; nil: nothing, ever
	named   net.Addr    // the client that the header named; nil: the peer
	began   instant     // of the request that is being read
	got     instant     // when something of it was read last
	readBy  instant     // the read deadline that was asked for, 0: none
	answer  progress
	held    holding // what the request holds while its handler waits, see Hold

	// Atomic.
	reading atomic.Bool            // the phase is phaseRequest
	broken  atomic.Bool            // something was not written, and nobody knows
	lingers atomic.Int64           // bytes that Close waits for
	onClose atomic.Pointer[func()] // see OnClose
	place   place
}

// NetConn returns the connection below, for taking the socket out of it.
func (c *Conn) NetConn() net.Conn {
	if c.gated != nil {
		return (*takes)(c)
	}
	return c.Conn
}

// addr returns the address of the client, as far as it is known.
func (c *Conn) addr() netip.Addr {
	if c.gated != nil && c.named == nil {
		return client.Plain(c.gated.Peer().Addr())
	}
	return addrOf(c.RemoteAddr())
}

// RemoteAddr returns the address that a PROXY header named, or that of the
// peer: before the first Read, without a header, and where the proxy speaks for
// itself (LOCAL, UNKNOWN).
func (c *Conn) RemoteAddr() net.Addr {
	if c.named != nil {
		return c.named
	}
	return c.Conn.RemoteAddr()
}

// Read implements net.Conn. The first one reads the PROXY header, if one is
// due. A connection that is refused is closed at once and reads as ended.
func (c *Conn) Read(p []byte) (int, error) {
	if c.phase == phaseFresh && (!c.readHeader() || !c.begin()) {
		c.refuse()
	}
	if !c.secure {
		p = c.space(p)
		c.readsOn(len(p))
	}
	if c.phase == phaseIdle && c.gated == nil {
		c.ln.waiting.waits(c)
	}
	if c.phase == phaseRefused {
		return 0, io.EOF
	}
	if c.unset && !c.atOnce() {
		if err := c.setReadDeadline(c.readBy.by()); err != nil {
			return 0, err
		}
	}
	if c.gated == nil && !c.first.has() {
		c.ln.waiting.awaits(c)
	}
	n, err := c.read(p)
	if n > 0 && c.phase == phaseIdle && !c.begin() {
		c.refuse()
		return 0, io.EOF
	}
	if n > 0 && c.gated == nil {
		c.ln.waiting.came(c) // a gate knows who is at work, see hasCome
	}
	if c.phase == phaseRequest && (c.gated == nil || c.secure || c.head.given > c.head.have) {
		c.got = now() // otherwise it came before it was served
	}
	return n, c.cut(&c.partly, n, err)
}

// readsOn is told how much the HTTP server asks for. It asks for one byte where it
// waits for the next request; where it wants more it holds its buffers, and has a part
// of the request, maybe one that came with the request before.
func (c *Conn) readsOn(n int) {
	if n <= 1 || c.first.has() || c.head.given < c.head.have {
		return
	}
	if c.phase == phaseIdle {
		if c.head.midst = true; !c.begin() {
			c.refuse()
		}
	}
	if c.phase == phaseRequest {
		if c.gated != nil { // otherwise Read says so where it waits
			c.ln.waiting.awaits(c)
		}
		c.ln.waiting.burden(c)
	}
}

// space is what is read into where the HTTP server asks for p: never all of its buffer.
// Otherwise that could be full but for one byte when the next request begins in it, behind a
// body, and what the server asks for then would look like the wait for that request.
func (c *Conn) space(p []byte) []byte {
	if most := c.ln.waiting.opt.Head; most > 1 && len(p) >= most {
		return p[:most-1]
	}
	return p
}

// cut returns err, but another error for the end of the stream in the midst of a request.
// partly is the last request of which something was read. Why: the HTTP server takes the
// end for nothing where it stands between two chunks of a body, and says nothing of it to
// its handlers.
func (c *Conn) cut(partly *uint32, n int, err error) error {
	switch {
	case c.phase != phaseRequest:
	case n > 0:
		*partly = c.request
	case err == io.EOF && *partly == c.request:
		return io.ErrUnexpectedEOF
	}
	return err
}

func (c *Conn) read(p []byte) (int, error) {
	switch {
	case c.first.has():
		return c.first.take(p), nil
	case c.gated != nil:
		return c.readGated(p)
	case len(p) == 1:
		return c.readFirst(p)
	}
	return c.Conn.Read(p)
}

// begin counts the connection as half-open, and gives the request its time. It
// reports whether its address has room for it.
func (c *Conn) begin() bool {
	if !c.count() {
		return false
	}
	c.renew()
	if by := c.within(c.readBy); by != c.readBy {
		c.readBy = by
		return c.Conn.SetReadDeadline(by.by()) == nil
	}
	return true
}

// count is begin without the time.
func (c *Conn) count() bool {
	now := time.Now()
	if !c.ln.waiting.begin(c, now) {
		if c.place.state.Load() != placeEnded {
			c.ln.halfRefused.Add(1)
		}
		return false
	}
	c.phase, c.began = phaseRequest, instantOf(now)
	c.reading.Store(true)
	c.got = c.began
	c.request++
	return true
}

// refuse ends the connection here; whoever reads it will close it, too.
func (c *Conn) refuse() {
	c.phase = phaseRefused
	c.reading.Store(false)
	c.ln.waiting.end(c)
	_ = c.Conn.Close()
}

// handshaken: what follows is a request, with its own time.
func (c *Conn) handshaken() {
	c.began = now()
	c.got = c.began
	c.renew()
}

// answerTime is what is left for an answer when the time of a request is over.
const answerTime = 10 * time.Second

// renew replaces the write deadline of the handshake, or of the answer before: it
// may be over, and the HTTP server sets one only for what handlers answer, not
// for "100 Continue" and what it says to bad requests. Over TLS a late write
// would spoil the farewell, too.
func (c *Conn) renew() {
	var by time.Time
	if limit := c.ln.opt.RequestTimeout; limit > 0 {
		by = c.began.time().Add(limit + answerTime)
	}
	_ = c.Conn.SetWriteDeadline(by) // if the connection is closed, reading tells
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	asked := deadline(t)
	c.readBy, c.unset = c.within(asked), false
	if c.readBy == asked {
		return c.Conn.SetDeadline(t)
	}
	return errors.Join(c.Conn.SetReadDeadline(c.readBy.by()), c.Conn.SetWriteDeadline(t))
}

// Write implements net.Conn. While a request is being read nothing is written but "100
// Continue", and that something is wrong with it: a client that is gone by then is found out
// by reading, or by the answer, and not before. Why: where the HTTP server cannot write that,
// it says nothing to its handlers.
func (c *Conn) Write(p []byte) (n int, err error) {
	if c.then != nil {
		return 0, errTaken
	}
	if err = net.ErrClosed; !c.broken.Load() {
		if c.reading.Load() {
			n, err = c.Conn.Write(p)
		} else {
			n, err = c.writeOn(p)
		}
	}
	if err != nil && c.reading.Load() {
		c.broken.Store(true)
		return len(p), nil
	}
	return n, err
}

// ourLateness is from which time on what the server did with the head of a request, before
// it reads on, does not count against the client.
const ourLateness = 100 * time.Millisecond

// SetReadDeadline implements net.Conn. While a request is being read, no
// deadline lies behind Options.RequestTimeout after its beginning; the time in
// which the server did not read, until now, comes on top.
//
// At a gate it is set by the next read that may wait: most requests are there when they
// are served, and the HTTP server sets four deadlines for each.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if c.gated != nil {
		c.readBy, c.unset = deadline(t), true
		return nil
	}
	return c.setReadDeadline(t)
}

// atOnce reports whether the next read waits for nothing: a request begins, see readGated,
// or the rest of it has come.
func (c *Conn) atOnce() bool {
	h := &c.head
	begins := h.given == 0 && !h.midst && (c.phase == phaseIdle || c.phase == phaseRequest)
	return !c.secure && (begins || h.given < h.have)
}

func (c *Conn) setReadDeadline(t time.Time) error {
	if c.phase == phaseRequest {
		if now := now(); now-c.got >= instant(ourLateness) {
			c.began, c.got = c.began+now-c.got, now
			c.renew()
		}
	}
	asked := deadline(t)
	if c.readBy, c.unset = c.within(asked), false; c.readBy != asked {
		t = c.readBy.by()
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *Conn) within(t instant) instant {
	limit := c.ln.opt.RequestTimeout
	if limit <= 0 || c.phase != phaseRequest {
		return t
	}
	if last := c.began + instant(limit); t == 0 || t > last {
		return last
	}
	return t
}

// OnClose makes the first Close from here on call f, before anything else:
// whoever leaves something to a hijack handler learns that there was none. The
// HTTP server forgets the handler if an answer before it cannot be written. Any
// goroutine.
func (c *Conn) OnClose(f func()) { c.onClose.Store(&f) }

func (c *Conn) closing() {
	if f := c.onClose.Swap(nil); f != nil {
		(*f)()
	}
}

// SetWriteDeadline implements net.Conn. It fails once the connection was taken over: so
// the HTTP server ends without an answer.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if c.then != nil {
		return errTaken
	}
	return c.Conn.SetWriteDeadline(t)
}

// Close implements net.Conn; see [Linger]. Any goroutine; of one that a gate accepted
// only the one that serves it. It does nothing where the connection goes on: it was taken
// over, or waits at the gate for a further request.
func (c *Conn) Close() error {
	if c.goesOn() {
		return nil
	}
	c.closing()
	c.ln.waiting.end(c)
	defer c.ln.waiting.leave(c)
	if n := c.lingers.Swap(0); n > 0 {
		defer c.ln.lingering.Add(-1)
		h, ok := c.Conn.(interface{ CloseWrite() error })
		if ok && !c.ln.waiting.scarce() && h.CloseWrite() == nil {
			_ = c.Conn.SetReadDeadline(time.Now().Add(lingering(n)))
			_, _ = io.CopyN(io.Discard, c.Conn, n)
		}
	}
	return c.Conn.Close()
}

// addrOf returns the IP address in a network address; the zero Addr if it has
// none.
func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return client.Plain(t.AddrPort().Addr())
	}
	return netip.Addr{}
}
