package front

import (
	"crypto/tls"
	"errors"
	"io"
	"net"

	"sluice/gateway/loop"
)

// TLSConn is an accepted TLS connection. A loop may take it over: see
// [loop.Wire]. As for [Conn], closing is safe from any goroutine.
type TLSConn struct {
	*tls.Conn // Owned by the worker of the HTTP server, then by the loop.

	// Immutable after Accept.
	below *Conn
	wire  *loop.Wire

	// Owned by the worker of the HTTP server.
	shaken  bool // the handshake came to a good end
	failed  bool // the handshake came to no good end
	records records
	partly  uint32 // the last request of which something was read
}

// newTLS puts TLS on an accepted connection.
func newTLS(below *Conn) *TLSConn {
	wire := loop.NewWire(below)
	return &TLSConn{Conn: tls.Server(wire, below.ln.opt.TLS), below: below, wire: wire}
}

// NetConn returns the tls.Conn, below which lie the [loop.Wire] and the [Conn].
func (c *TLSConn) NetConn() net.Conn { return c.Conn }

func (c *TLSConn) bottom() *Conn { return c.below }

// BeginWait and EndWait are those of the [Conn] below.
func (c *TLSConn) BeginWait() bool { return c.below.BeginWait() }
func (c *TLSConn) EndWait()        { c.below.EndWait() }

// RemoteAddr returns the client's address as [Conn.RemoteAddr] does.
func (c *TLSConn) RemoteAddr() net.Addr { return c.below.RemoteAddr() }

// handshake runs it beside what else is to be served: it takes as long as many requests.
func (c *TLSConn) handshake() error {
	if !c.shaken && c.BeginWait() {
		defer c.EndWait()
	}
	return c.Conn.Handshake()
}

// Handshake runs the handshake. The HTTP server calls it first of all, within
// its read timeout. After a failure the connection reads as ended.
func (c *TLSConn) Handshake() error {
	err := c.handshake()
	switch {
	case c.shaken && err == nil:
		return nil // it is asked for each time that a gate has it served
	case err == nil:
		c.shaken = true
		c.below.handshaken()
		return nil
	}
	c.failed = true
	if c.below.phase != phaseRefused { // that is counted
		c.below.ln.failed.Add(1)
	}
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		c.below.linger(lingerBytes) // an alert says why
	}
	return err
}

// Read implements net.Conn.
func (c *TLSConn) Read(p []byte) (int, error) {
	if c.failed {
		return 0, io.EOF
	}
	p = c.below.space(p)
	if c.below.readsOn(len(p)); c.below.phase == phaseRefused {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p)
	return n, c.below.cut(&c.partly, n, err)
}

// Close implements net.Conn. It tells the client that nothing follows, unless a
// loop speaks on the socket: then only the server's descriptor is closed.
func (c *TLSConn) Close() error {
	if c.below.goesOn() {
		return nil
	}
	c.below.closing()
	if !c.wire.End() {
		return c.below.Close()
	}
	c.below.ln.waiting.end(c.below) // before the farewell, which may have to wait
	return c.Conn.Close()
}

// OnClose is [Conn.OnClose].
func (c *TLSConn) OnClose(f func()) { c.below.OnClose(f) }
