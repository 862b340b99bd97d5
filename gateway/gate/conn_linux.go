package gate

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// Conn is a connection of a gate: a net.Conn for the worker that serves it. One may read
// while another writes, and anybody may close it or set deadlines; two that read at once
// are one too many.
type Conn struct {
	// Immutable after accept.
	door     *door
	client   Client
	peer     netip.AddrPort
	fd       int32
	farewell bool // ListenOptions.Farewell

	// Guarded by mu.
	state              state
	watched            uint8 // what epoll looks for: watchRead, watchWrite
	readable, writable bool  // epoll has said so since it was tried last
	hungUp             bool  // epoll has said that the peer sends no more, or there is an error
	cut                bool  // is to be closed
	parks              bool  // waits for more when the worker is done
	waiting            bool  // between BeginWait and EndWait
	pins               uint16
	mu                 sync.Mutex
	worker             *worker    // who serves it, if it was taken from the queue
	waits              [2]*waiter // who waits until it can be read, and written
	readBy             int64      // deadlines of the worker, see ticks
	writeBy            int64
	remote             *net.TCPAddr // nil: nobody has asked for it

	// Guarded by door.mu.
	prev, next *Conn
	by         int64 // see ticks; 0: never
	in         kind
	slot, gen  uint32 // its place in the table, counted from 1; 0: it has none

	// Owned by whoever has it: the door, the worker.
	drained  bool  // all that had come was read, when it was looked for last
	late     bool  // what it waited for has not come in time
	ended    bool  // nothing more comes, or an error
	asked    bool  // a request has come before
	known    bool  // it was served before
	headLeft int32 // how much of the head is unread, if its end is known
	buf      *buffer
}

// First is [Conn.Read] for the beginning of a request. If nothing of one has come, or
// less than is enough to serve it, it says io.EOF, and [Conn.Parked] from then on: the
// connection waits once the client has left Serve, and closing it does nothing.
//
// A read that begins in the head ends with it.
func (c *Conn) First(p []byte) (int, error) {
	if err := c.pin(); err != nil {
		return 0, err
	}
	defer c.unpin()
	if !c.begins() {
		if !c.ended {
			c.mu.Lock()
			c.parks = true
			c.mu.Unlock()
		}
		return 0, io.EOF
	}
	c.asked = true
	c.headLeft = 0
	if c.buf != nil {
		if n := HeadEnd(c.buf.rest(), 0); n > 0 {
			c.headLeft = int32(n)
		}
	}
	return c.fromBuffer(p)
}

// begins reports whether what has come of a request is enough to serve it, or all there
// will be. It reads what there is.
func (c *Conn) begins() bool {
	for {
		if c.late || c.buf != nil && (c.ended || c.enough()) {
			return true
		}
		if c.ended || !c.more() {
			return false
		}
	}
}

// enough reports whether what has come is enough to serve it.
func (c *Conn) enough() bool {
	have := c.buf.rest()
	return len(have) >= c.door.gate.opt.HeadMax || c.client.Whole(have)
}

// more reads into the buffer, and reports whether there was anything, or the end. It does
// not try where epoll would have told. Of the end epoll tells once, maybe together with
// what stands before it: from then on a read that finds something is not the last.
func (c *Conn) more() bool {
	c.mu.Lock()
	told := c.readable || c.hungUp
	c.readable = false
	c.mu.Unlock()
	if c.drained && !told {
		return false
	}
	return c.fill() || c.ended
}

// fill reads what there is into the buffer, and reports whether there was anything.
func (c *Conn) fill() bool {
	was := int64(0)
	b := c.buf
	if b == nil {
		b = newBuffer(0)
	} else {
		was = b.size()
	}
	b, space := b.room(c.door.gate.opt.HeadMax)
	n, err := c.sysRead(space)
	if n > 0 {
		b.b = b.b[:len(b.b)+n]
	}
	c.ended = c.ended || n == 0 && err != syscall.EAGAIN
	if len(b.b) == 0 {
		b.free()
		b = nil
	}
	now := int64(0)
	if b != nil {
		now = b.size()
	}
	if c.buf = b; now != was {
		c.door.bytes.Add(now - was)
	}
	return n > 0
}

// sysRead reads, and notes whether that was all there is. A read that does not fill the
// space has read all: but for the end, which may stand behind and does not come again.
func (c *Conn) sysRead(p []byte) (int, error) {
	for {
		n, err := sysRead(int(c.fd), p)
		if err != syscall.EINTR {
			c.drained = err == syscall.EAGAIN || n > 0 && n < len(p)
			return max(n, 0), err
		}
	}
}

// fromBuffer reads what has come before; nothing if there is nothing.
func (c *Conn) fromBuffer(p []byte) (n int, err error) {
	if c.buf == nil {
		if c.late {
			return 0, os.ErrDeadlineExceeded
		}
		return 0, nil
	}
	have := c.buf.rest()
	if c.headLeft > 0 {
		have = have[:c.headLeft]
	}
	n = copy(p, have)
	c.buf.from += n
	c.headLeft = max(c.headLeft-int32(n), 0)
	if c.buf.from == len(c.buf.b) {
		c.giveBack()
	}
	return n, nil
}

// giveBack frees the buffer.
func (c *Conn) giveBack() {
	if b := c.buf; b != nil {
		c.buf = nil
		c.door.bytes.Add(-b.size())
		b.free()
	}
}

// Read implements net.Conn. Behind what came of a request that was too late it says
// os.ErrDeadlineExceeded.
func (c *Conn) Read(p []byte) (int, error) {
	for len(p) > 0 {
		if err := c.pin(); err != nil {
			return 0, err
		}
		n, err := c.fromBuffer(p)
		if n == 0 && err == nil {
			n, err = c.readOn(p)
		}
		c.unpin()
		if err != syscall.EAGAIN {
			return n, err
		}
		if err := c.await(forReading); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// readOn reads from the socket; the error is EAGAIN itself if nothing has come yet.
func (c *Conn) readOn(p []byte) (int, error) {
	if c.ended {
		return 0, io.EOF
	}
	if c.try(forReading) {
		return 0, os.ErrDeadlineExceeded
	}
	switch n, err := c.sysRead(p); err {
	case nil:
		if n == 0 {
			return 0, io.EOF
		}
		return n, nil
	case syscall.EAGAIN:
		return 0, err
	default:
		return 0, os.NewSyscallError("read", err)
	}
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (n int, err error) {
	for {
		if err := c.pin(); err != nil {
			return n, err
		}
		m := 0
		if c.try(forWriting) {
			err = os.ErrDeadlineExceeded
		} else {
			m, err = c.sysWrite(p[n:])
		}
		c.unpin()
		n += m
		if err != syscall.EAGAIN {
			return n, err
		}
		if err := c.await(forWriting); err != nil {
			return n, err
		}
	}
}

// sysWrite writes what the socket takes; the error is EAGAIN itself if it takes no more.
func (c *Conn) sysWrite(p []byte) (n int, err error) {
	for n < len(p) {
		m, err := sysWrite(int(c.fd), p[n:])
		n += max(m, 0)
		switch err {
		case nil, syscall.EINTR:
		case syscall.EAGAIN:
			return n, err
		default:
			return n, os.NewSyscallError("write", err)
		}
	}
	return n, nil
}

// Peer returns the address of the peer; the zero AddrPort on a Unix socket. Any goroutine.
func (c *Conn) Peer() netip.AddrPort { return c.peer }

// unnamed is the address of all peers on Unix sockets: the kernel knows them by none.
var unnamed net.Addr = &net.UnixAddr{Name: "@", Net: "unix"}

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr {
	if !c.peer.IsValid() {
		return unnamed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.remote == nil {
		c.remote = net.TCPAddrFromAddrPort(c.peer)
	}
	return c.remote
}

// LocalAddr implements net.Conn. It is asked for rarely, and so not kept.
func (c *Conn) LocalAddr() net.Addr {
	if err := c.pin(); err != nil {
		return &net.TCPAddr{}
	}
	defer c.unpin()
	switch sa, _ := syscall.Getsockname(int(c.fd)); sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	case *syscall.SockaddrInet6:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	case *syscall.SockaddrUnix:
		return &net.UnixAddr{Name: sa.Name, Net: "unix"}
	}
	return &net.TCPAddr{}
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadlines(t, true, true) }

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, true, false) }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, false, true) }
