package loop

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"sluice/codec"
)

// ErrUnknownConn is returned for a connection that no fd can be taken from.
var ErrUnknownConn = errors.New("loop: unknown kind of connection")

// Socket is a connection taken out of the HTTP server: a descriptor, and what
// encrypts its bytes. It belongs to whoever holds it until a successful
// [Loop.Adopt]; then to the loop.
type Socket struct {
	fd   int
	tls  *tls.Conn // nil on a plain connection
	wire *Wire     // below tls
	// shared: the HTTP server may have another descriptor of it for a moment.
	shared bool
}

// PlainSocket returns the Socket of a descriptor, which must be non-blocking and have no
// duplicate.
func PlainSocket(fd int) Socket {
	sockets.Add(1)
	return Socket{fd: fd}
}

// sockets is how many descriptors the sockets of the process have.
var sockets atomic.Int64

// Sockets returns how many descriptors of the process are those of streams, and of
// sockets on their way to be one. Any goroutine.
func Sockets() int { return int(sockets.Load()) }

// closeSocket closes the descriptor of a socket.
func closeSocket(fd int) {
	_ = syscall.Close(fd)
	sockets.Add(-1)
}

// SocketOptions are what the kernel is told about the socket of a stream; 0
// leaves its default. They are best effort: Unix sockets have none of them.
type SocketOptions struct {
	// UserTimeout is how long sent bytes may stay unacknowledged before the
	// kernel gives the peer up (TCP_USER_TIMEOUT, tcp(7)).
	UserTimeout time.Duration
	// UnsentMax bounds the bytes that the kernel holds and has not sent
	// (TCP_NOTSENT_LOWAT). By default it takes megabytes from a stream whose
	// client does not read; in the out-queue they would be shared frames.
	UnsentMax int
}

// Control tells the kernel the same of a listening socket, for net.ListenConfig: what it
// accepts has the options from the start (tcp(7)), which is two system calls fewer for each
// stream. Multipath TCP passes nothing on.
func (o SocketOptions) Control(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) { o.set(int(fd)) })
}

// Discard closes a socket that no loop adopted. Any goroutine.
func (s Socket) Discard() { closeSocket(s.fd) }

// taker is a connection that gives its descriptor away, as those of the gate do.
type taker interface{ TakeFD() (fd int, ok bool) }

// Detach takes the socket out of a hijacked connection: its descriptor, if the connection
// has a method TakeFD, which then has none any more. Of any other it is a duplicate,
// non-blocking and close-on-exec, and the connection itself stays with the HTTP server,
// which closes its own descriptor when the hijack handler returns. A TLS connection must
// stand on a [Wire], whose tls.Conn now belongs to the Socket.
//
// Any goroutine.
func Detach(c net.Conn, opt SocketOptions) (Socket, error) {
	sock, under, err := unwrap(c)
	if err != nil {
		return Socket{}, err
	}
	if t, ok := under.(taker); ok {
		if sock.wire != nil && !sock.wire.detach() {
			return Socket{}, errEnded
		}
		if sock.fd, ok = t.TakeFD(); !ok {
			return Socket{}, fmt.Errorf("loop: cannot take a connection over: %w", net.ErrClosed)
		}
	} else {
		if sock.fd, err = duplicate(under); err != nil {
			return Socket{}, err
		}
		if sock.wire != nil && !sock.wire.detach() {
			_ = syscall.Close(sock.fd)
			return Socket{}, errEnded
		}
		sock.shared = true
	}
	if sock.wire != nil {
		sock.wire.raw = nil // a stream keeps nothing of the HTTP server's
	}
	opt.set(sock.fd)
	sockets.Add(1)
	return sock, nil
}

var errEnded = fmt.Errorf("loop: cannot take a TLS connection over: %w", net.ErrClosed)

// duplicate returns a second descriptor of a connection's socket.
func duplicate(c net.Conn) (int, error) {
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("loop: cannot reach the socket: %w", err)
	}
	fd := -1
	cerr := raw.Control(func(orig uintptr) {
		fd, err = dupCloseOnExec(int(orig))
	})
	if err = errors.Join(cerr, err); err != nil {
		if fd >= 0 {
			_ = syscall.Close(fd)
		}
		return -1, os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
	}
	return fd, nil
}

// unwrap removes what stands between a hijack handler and its socket, and notes
// what encrypts. under is a taker, or has a descriptor to duplicate.
func unwrap(c net.Conn) (s Socket, under net.Conn, err error) {
	for depth := 0; depth < 8; depth++ {
		switch v := c.(type) {
		case taker, *net.TCPConn, *net.UnixConn:
			return s, c, nil
		case *tls.Conn:
			wire, ok := v.NetConn().(*Wire)
			if !ok || s.tls != nil {
				return s, nil, fmt.Errorf("%w: %T over %T, expected a Wire below", ErrUnknownConn, c, v.NetConn())
			}
			s.tls, s.wire, c = v, wire, wire.raw
		case interface{ UnsafeConn() net.Conn }: // fasthttp's hijacked connection
			c = v.UnsafeConn()
		case interface{ NetConn() net.Conn }:
			c = v.NetConn()
		default:
			return s, nil, fmt.Errorf("%w: %T, expected a TCP or Unix connection", ErrUnknownConn, c)
		}
	}
	return s, nil, fmt.Errorf("%w: wrapped too deep", ErrUnknownConn)
}

// Adopt makes a stream of a socket, whose body has a framing and a coding. On success the loop owns it and will tell
// Handler.Closed exactly once; on error the caller still does, and nothing
// was told. The new stream is the one in hand, as after [Loop.Hand]. On-loop
// only.
func (l *Loop) Adopt(sock Socket, framing codec.Framing, coding codec.Coding) (Ref, error) {
	slot := l.newSlot()
	s := l.at(slot)
	s.fd, s.state, s.framing = int32(sock.fd), stateLive, framing
	s.patience.set(l.unheld(), l.in.hold.all.newcomer(l.unheld()))
	if err := l.poller.add(sock.fd, slot, s.gen); err != nil {
		s.state = stateFree
		l.free = append(l.free, slot)
		return Ref{}, fmt.Errorf("loop: cannot watch a socket: %w", err)
	}
	l.shares = l.shares || sock.shared
	if sock.tls != nil {
		s.secure = l.secures.add(secure{conn: sock.tls, wire: sock.wire})
		l.stats.Secure++
	}
	if coding != codec.CodingIdentity {
		s.coded = l.bodies.add(codedBody{Body: codec.NewBody(coding, framing)})
		l.stats.Coded[coding]++
	}
	l.stats.Open++
	l.stats.Adopted++
	l.cur = slot + 1
	return Ref{slot, s.gen}, nil
}
