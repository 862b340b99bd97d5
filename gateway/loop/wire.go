package loop

import (
	"net"
	"sync/atomic"
	"time"
)

// Wire stands between a [crypto/tls.Conn] and its socket. Until the stream is
// detached it passes everything on. From then on the tls.Conn is only a cipher:
// what it writes is collected for the loop, what it reads the loop has read
// before, and nothing it does can block.
//
// Before [Detach] it may be used as any net.Conn; afterwards by the loop that
// adopted the stream alone, but for End.
type Wire struct {
	// Immutable after NewWire.
	raw net.Conn

	// Atomic.
	state atomic.Uint32

	// Owned by the turn, once adopted.
	in  []byte // read from the socket, not yet taken by the tls.Conn
	out []byte // written by the tls.Conn, not yet taken by the loop
}

// NewWire returns a Wire over the connection that carries the encrypted bytes.
func NewWire(raw net.Conn) *Wire { return &Wire{raw: raw} }

// The states of a Wire: of its two ends only one comes.
const (
	wireAttached uint32 = iota
	wireDetached        // a loop speaks on the socket
	wireEnded           // the tls.Conn is being closed, or is
)

// End says that the tls.Conn is about to be closed. If it reports false, a loop
// speaks on the socket: then the tls.Conn must be let be, and only the connection
// below ([Wire.NetConn]) closed. Any goroutine.
func (w *Wire) End() bool {
	return w.state.CompareAndSwap(wireAttached, wireEnded) || w.state.Load() == wireEnded
}

// detach reports whether the tls.Conn is the loop's from now on.
func (w *Wire) detach() bool { return w.state.CompareAndSwap(wireAttached, wireDetached) }

func (w *Wire) detached() bool { return w.state.Load() == wireDetached }

// NetConn returns the connection below.
func (w *Wire) NetConn() net.Conn { return w.raw }

// errNoInput says that the loop has read nothing more. A tls.Conn takes a
// temporary error as no end: its next read goes on where this one stopped.
var errNoInput net.Error = noInput{}

type noInput struct{}

func (noInput) Error() string   { return "loop: no input is waiting" }
func (noInput) Timeout() bool   { return true }
func (noInput) Temporary() bool { return true }

// Read implements net.Conn.
func (w *Wire) Read(p []byte) (int, error) {
	if !w.detached() {
		return w.raw.Read(p)
	}
	if len(w.in) == 0 {
		return 0, errNoInput
	}
	n := copy(p, w.in)
	w.in = w.in[n:]
	return n, nil
}

// Write implements net.Conn.
func (w *Wire) Write(p []byte) (int, error) {
	if !w.detached() {
		return w.raw.Write(p)
	}
	w.out = append(w.out, p...)
	return len(p), nil
}

// Close implements net.Conn.
func (w *Wire) Close() error { return w.raw.Close() }

// LocalAddr implements net.Conn.
func (w *Wire) LocalAddr() net.Addr { return w.raw.LocalAddr() }

// RemoteAddr implements net.Conn.
func (w *Wire) RemoteAddr() net.Addr { return w.raw.RemoteAddr() }

// SetDeadline implements net.Conn; a detached wire never waits.
func (w *Wire) SetDeadline(t time.Time) error { return w.deadline(t, w.raw.SetDeadline) }

// SetReadDeadline implements net.Conn, as SetDeadline does.
func (w *Wire) SetReadDeadline(t time.Time) error { return w.deadline(t, w.raw.SetReadDeadline) }

// SetWriteDeadline implements net.Conn, as SetDeadline does.
func (w *Wire) SetWriteDeadline(t time.Time) error { return w.deadline(t, w.raw.SetWriteDeadline) }

func (w *Wire) deadline(t time.Time, set func(time.Time) error) error {
	if w.detached() {
		return nil
	}
	return set(t)
}
