package loop

import (
	"io"
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
	// Owned by whoever reads, until detached: then nil, for nothing below it is needed.
	raw   net.Conn
	hello hello

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

// NetConn returns the connection below; nil once detached.
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
		return w.hello.read(w.raw, p)
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

// LocalAddr implements net.Conn; nil once detached.
func (w *Wire) LocalAddr() net.Addr {
	if w.raw == nil {
		return nil
	}
	return w.raw.LocalAddr()
}

// RemoteAddr implements net.Conn, as LocalAddr does.
func (w *Wire) RemoteAddr() net.Addr {
	if w.raw == nil {
		return nil
	}
	return w.raw.RemoteAddr()
}

// SetDeadline implements net.Conn; a detached wire never waits.
func (w *Wire) SetDeadline(t time.Time) error { return w.deadline(t, net.Conn.SetDeadline) }

// SetReadDeadline implements net.Conn, as SetDeadline does.
func (w *Wire) SetReadDeadline(t time.Time) error { return w.deadline(t, net.Conn.SetReadDeadline) }

// SetWriteDeadline implements net.Conn, as SetDeadline does.
func (w *Wire) SetWriteDeadline(t time.Time) error { return w.deadline(t, net.Conn.SetWriteDeadline) }

func (w *Wire) deadline(t time.Time, set func(net.Conn, time.Time) error) error {
	if w.detached() {
		return nil
	}
	return set(w.raw, t)
}

// hello passes on what a client sends first, its first record as four. A tls.Conn keeps
// for life the largest buffer that a record took, with 512 bytes of room: the hello of a
// client with post-quantum keys, 1.5 KiB, costs each stream as much again as its request.
// A message may come in as many records as the sender likes, and before there are keys
// nothing vouches for their lengths (RFC 8446 section 5.1). Why four: the buffer in which
// the message is put together doubles as it grows, and ends at what it needs.
//
// The zero value is at the beginning of a connection.
type hello struct {
	head   [recordHead]byte // of the client's record, then with lengths of ours
	have   uint8            // bytes of head that came
	told   uint8            // bytes of head that were passed on
	each   uint16           // payload of our records; 0: everything passes as it comes
	record uint16           // payload of ours that has yet to pass
	left   uint16           // payload of the client's behind that one
}

const (
	recordHead    = 5  // type, version, length (RFC 8446 section 5.1)
	typeHandshake = 22 // the type
	helloRecords  = 4
	helloLeast    = 512 // shorter ones cost nothing that the request would not
	// helloMost is the most that a record may hold. Longer ones are refused above.
	helloMost = 16 << 10
)

// read reads from raw into p, which is not empty.
func (h *hello) read(raw io.Reader, p []byte) (int, error) {
	for h.have < recordHead {
		n, err := raw.Read(h.head[h.have:])
		h.have += uint8(n)
		switch {
		case h.have == recordHead:
			h.begin()
		case err != nil:
			if n = h.tell(p); h.told < h.have {
				err = nil // it comes again
			}
			return n, err
		}
	}
	n := h.tell(p)
	if n == len(p) || n > 0 && h.each == 0 {
		return n, nil
	}
	if h.each == 0 {
		return raw.Read(p)
	}
	m, err := raw.Read(p[n:min(len(p), n+int(h.record))])
	if h.record -= uint16(m); h.record == 0 {
		h.next()
	}
	return n + m, err
}

// tell passes on what has come of the head.
func (h *hello) tell(p []byte) int {
	n := copy(p, h.head[h.told:h.have])
	h.told += uint8(n)
	return n
}

// begin looks at a head that is complete.
func (h *hello) begin() {
	n := uint16(h.head[3])<<8 | uint16(h.head[4])
	if h.head[0] != typeHandshake || n < helloLeast || n > helloMost {
		return
	}
	h.each, h.left = (n+helloRecords-1)/helloRecords, n
	h.next()
}

// next begins a record of ours, or ends what hello does.
func (h *hello) next() {
	if h.left == 0 {
		h.each = 0
		return
	}
	h.record = min(h.each, h.left)
	h.left -= h.record
	h.head[3], h.head[4] = byte(h.record>>8), byte(h.record)
	h.told = 0
}
