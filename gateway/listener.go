package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// listener is a TCP listener whose Accept does not fail when the process or the
// system runs out of something: the HTTP server would stop for good on such an
// error. It waits and tries again instead. One descriptor is kept in reserve,
// so that a connection that cannot be served is closed rather than left waiting
// in the backlog.
type listener struct {
	net.Listener
	log *slog.Logger

	// Owned by Accept.
	reserve *os.File

	// Closed once by Close.
	closed chan struct{}
	once   sync.Once

	// Atomic.
	retries atomic.Uint64 // failures of accept that were waited out
	shed    atomic.Uint64 // connections closed for want of a descriptor
}

// listen opens a listener on host:port, for IPv4 and IPv6 where host is empty.
// Keep-alive is off: pings find dead peers.
func listen(addr string, log *slog.Logger) (*listener, error) {
	lc := net.ListenConfig{KeepAlive: -1}
	ln, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("gateway: cannot listen on %q: %w", addr, err)
	}
	return newListener(ln, log), nil
}

func newListener(ln net.Listener, log *slog.Logger) *listener {
	l := &listener{Listener: ln, log: log, closed: make(chan struct{})}
	l.hold()
	return l
}

// hold opens the reserve descriptor.
func (l *listener) hold() {
	if l.reserve == nil {
		l.reserve, _ = os.Open(os.DevNull)
	}
}

// letGo closes the reserve descriptor: nothing more is accepted.
func (l *listener) letGo() {
	if l.reserve != nil {
		_ = l.reserve.Close()
		l.reserve = nil
	}
}

// Backoff of accept.
const (
	firstBackoff = 5 * time.Millisecond
	lastBackoff  = time.Second
)

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for wait := firstBackoff; ; wait = min(2*wait, lastBackoff) {
		c, err := l.Listener.Accept()
		if err == nil {
			l.hold()
			return &conn{Conn: c}, nil
		}
		if !passing(err) {
			l.letGo()
			return nil, err
		}
		if n := l.retries.Add(1); n&(n-1) == 0 { // at powers of two: not per failure
			l.log.Warn("accept failed, trying again", "error", err, "failures", n)
		}
		if outOfDescriptors(err) {
			l.shedOne()
		}
		select {
		case <-l.closed:
			l.letGo()
			return nil, net.ErrClosed
		case <-time.After(wait):
		}
	}
}

// shedOne closes one waiting connection with the help of the reserve.
func (l *listener) shedOne() {
	if l.reserve == nil {
		return
	}
	_ = l.reserve.Close()
	l.reserve = nil
	if d, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		// Another process may have taken the connection meanwhile.
		_ = d.SetDeadline(time.Now().Add(firstBackoff))
		defer func() { _ = d.SetDeadline(time.Time{}) }()
	}
	if c, err := l.Listener.Accept(); err == nil {
		l.shed.Add(1)
		_ = c.Close()
	}
	l.hold()
}

// passing reports whether accept may work again later.
func passing(err error) bool {
	return outOfDescriptors(err) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM) ||
		errors.Is(err, syscall.ECONNABORTED)
}

func outOfDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// conn is an accepted connection. The loop unwraps it by NetConn.
type conn struct {
	net.Conn

	// Owned by the HTTP server's worker.
	lingers bool
}

// NetConn returns the connection below.
func (c *conn) NetConn() net.Conn { return c.Conn }

const (
	// lingerTime and lingerBytes are how long, and how much of what a client
	// still sends, is waited for behind an answer that came before the
	// request was read.
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 256 << 10
)

// Close implements net.Conn. Closing a socket with unread input resets it, and
// the client may lose the answer that tells it why; so behind such an answer
// only our half is closed at first.
func (c *conn) Close() error {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.lingers && h.CloseWrite() == nil {
		_ = c.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
	}
	return c.Conn.Close()
}
