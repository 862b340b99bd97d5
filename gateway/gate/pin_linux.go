package gate

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// state says who has a connection.
type state uint8

const (
	stateHeld    state = iota // the gate is at work on it: the door, or a worker that let go of it
	stateWaiting              // nobody
	stateServing              // the client
	stateTaken                // its descriptor was taken
	stateClosed
)

// purpose is what a descriptor is waited for.
type purpose int

const (
	forReading purpose = iota
	forWriting
)

// pin keeps the descriptor open until unpin, if the client has the connection and it was
// not cut.
func (c *Conn) pin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != stateServing || c.cut {
		return net.ErrClosed
	}
	c.pins++
	return nil
}

// try reports whether it is too late for a purpose. If not, what epoll has said of the
// socket is forgotten, for it is tried now.
func (c *Conn) try(p purpose) (late bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p == forReading {
		late = over(c.readBy)
		c.readable = c.readable && late
	} else {
		late = over(c.writeBy)
		c.writable = c.writable && late
	}
	return late
}

// unpin is the end of pin. If the connection was closed meanwhile, the descriptor is now.
func (c *Conn) unpin() {
	c.mu.Lock()
	c.pins--
	last := c.pins == 0 && c.state == stateClosed
	c.mu.Unlock()
	if last {
		c.release()
		_ = unix.Close(int(c.fd))
	}
}

// over reports whether a deadline has passed.
func over(by int64) bool { return by != 0 && clock() >= by }

// Close implements net.Conn. If the connection waits once the client has left Serve, it
// does nothing. Any goroutine.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.parks {
		c.mu.Unlock()
		return nil
	}
	if c.state != stateServing {
		c.mu.Unlock()
		return net.ErrClosed
	}
	c.close()
	return nil
}

// close closes a connection, for good once nobody uses the descriptor. The caller holds
// mu, which it gives back.
func (c *Conn) close() {
	c.state = stateClosed
	c.signal(forReading)
	c.signal(forWriting)
	last := c.pins == 0
	c.mu.Unlock()
	if last {
		c.release()
		_ = unix.Close(int(c.fd))
	}
}

// drop closes a connection that the gate is at work on.
func (c *Conn) drop() {
	c.mu.Lock()
	c.close()
	c.client.Ended()
}

// release gives back what the gate has for a connection.
func (c *Conn) release() {
	c.giveBack()
	c.door.forget(c)
}

// Cut ends a connection: one that waits is closed before Cut returns, and its client was
// told that it ended; of one that is served the peer sees the end at once, and so does
// the client, who has to close it. Any goroutine, without a lock that the client's Ended
// takes.
func (c *Conn) Cut() {
	if c.sever() {
		c.door.gate.cuts.Add(1)
	}
}

// sever is Cut, and reports whether there was anything to do.
func (c *Conn) sever() bool {
	c.mu.Lock()
	if c.cut || c.state == stateTaken || c.state == stateClosed {
		c.mu.Unlock()
		return false
	}
	c.cut = true
	switch c.state {
	case stateWaiting:
		c.close()
		c.client.Ended()
	case stateServing:
		c.signal(forReading)
		c.signal(forWriting)
		c.pins++
		c.mu.Unlock()
		_ = unix.Shutdown(int(c.fd), unix.SHUT_RDWR)
		c.unpin()
	default: // whoever is at work on it will see
		c.mu.Unlock()
	}
	return true
}

// Awaited reports whether the client is waited for, at the gate or by whoever serves the
// connection. Any goroutine.
func (c *Conn) Awaited() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == stateWaiting || c.state == stateServing && (c.waits[forReading] != nil || c.waits[forWriting] != nil)
}

// Quiet reports whether it is [Conn.Awaited], and nothing has come that nobody has seen yet, or
// it takes nothing of what is written to it. It is a system call. Any goroutine.
func (c *Conn) Quiet() bool {
	c.mu.Lock()
	reads := c.state == stateWaiting || c.state == stateServing && c.waits[forReading] != nil
	reads = reads && !c.readable
	writes := c.state == stateServing && c.waits[forWriting] != nil && !c.writable
	c.mu.Unlock()
	if !reads || writes {
		return writes
	}
	// Why without a pin: TakeFD must not meet one. If the number is somebody else's by now,
	// looking does him no harm, and the answer is of no importance.
	var one [1]byte
	n, _, _ := unix.Recvfrom(int(c.fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return n <= 0
}

// TakeFD takes the descriptor out: it is the caller's, non-blocking and in no epoll, and
// nothing that is done with the connection has an effect any more. What has come and was
// not read is gone. It reports false if the connection is closed, or about to be, or is
// used by somebody else at this moment. From whoever serves it.
func (c *Conn) TakeFD() (fd int, ok bool) {
	c.mu.Lock()
	if c.state != stateServing || c.cut || c.parks || c.pins > 0 {
		c.mu.Unlock()
		return -1, false
	}
	c.state = stateTaken
	c.mu.Unlock()
	if c.watched != 0 {
		c.door.unwatch(c)
	}
	c.release()
	return int(c.fd), true
}

// Parked reports whether the connection waits once the client has left Serve, and closing
// it does nothing.
func (c *Conn) Parked() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.parks
}

// CloseWrite tells the peer that nothing follows.
func (c *Conn) CloseWrite() error {
	if err := c.pin(); err != nil {
		return err
	}
	defer c.unpin()
	if err := unix.Shutdown(int(c.fd), unix.SHUT_WR); err != nil {
		return &net.OpError{Op: "close", Net: "tcp", Err: err}
	}
	return nil
}

// SyscallConn implements syscall.Conn, for Control only.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return rawConn{c}, nil }

// rawConn lends the descriptor.
type rawConn struct{ c *Conn }

func (r rawConn) Control(f func(fd uintptr)) error {
	if err := r.c.pin(); err != nil {
		return err
	}
	defer r.c.unpin()
	f(uintptr(r.c.fd))
	return nil
}

func (rawConn) Read(func(fd uintptr) bool) error  { return ErrUnsupported }
func (rawConn) Write(func(fd uintptr) bool) error { return ErrUnsupported }

func (c *Conn) setDeadlines(t time.Time, read, write bool) error {
	by := ticks(t)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != stateServing || c.cut {
		return net.ErrClosed
	}
	if read {
		c.readBy = by
		c.signal(forReading)
	}
	if write {
		c.writeBy = by
		c.signal(forWriting)
	}
	return nil
}
