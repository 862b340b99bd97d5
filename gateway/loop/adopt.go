package loop

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"sluice/codec"
)

// ErrUnknownConn is returned for a connection that no fd can be taken from.
var ErrUnknownConn = errors.New("loop: unknown kind of connection")

// Detach takes the socket out of a hijacked connection: the returned fd is a
// duplicate, non-blocking and close-on-exec, and belongs to the caller until a
// successful [Loop.Adopt]. The connection itself stays with the HTTP server,
// which closes its own descriptor when the hijack handler returns.
//
// userTimeout is how long sent bytes may stay unacknowledged before the kernel
// gives the peer up (TCP_USER_TIMEOUT, tcp(7)); 0 leaves the kernel's default.
// Any goroutine.
func Detach(c net.Conn, userTimeout time.Duration) (fd int, err error) {
	sc, err := rawConn(c)
	if err != nil {
		return -1, err
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("loop: cannot reach the socket: %w", err)
	}
	fd = -1
	cerr := raw.Control(func(orig uintptr) {
		fd, err = dupCloseOnExec(int(orig))
	})
	if err = errors.Join(cerr, err); err != nil {
		if fd >= 0 {
			_ = syscall.Close(fd)
		}
		return -1, os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
	}
	setUserTimeout(fd, userTimeout)
	return fd, nil
}

// rawConn unwraps what stands between a hijack handler and its socket. A TLS
// connection is refused: its bytes are not the socket's.
func rawConn(c net.Conn) (syscall.Conn, error) {
	for depth := 0; depth < 8; depth++ {
		switch v := c.(type) {
		case *net.TCPConn:
			return v, nil
		case *net.UnixConn:
			return v, nil
		case *tls.Conn:
			return nil, fmt.Errorf("%w: %T carries encrypted bytes", ErrUnknownConn, c)
		case interface{ UnsafeConn() net.Conn }: // fasthttp's hijacked connection
			c = v.UnsafeConn()
		case interface{ NetConn() net.Conn }:
			c = v.NetConn()
		default:
			return nil, fmt.Errorf("%w: %T, expected a TCP or Unix connection", ErrUnknownConn, c)
		}
	}
	return nil, fmt.Errorf("%w: wrapped too deep", ErrUnknownConn)
}

// Adopt makes a stream of a socket. On success the loop owns fd and will tell
// Handler.Closed exactly once; on error the caller still owns it, and nothing
// was told. The new stream is the one in hand, as after [Loop.Hand]. On-loop
// only.
func (l *Loop) Adopt(fd int, framing codec.Framing) (Ref, error) {
	slot := l.newSlot()
	s := l.at(slot)
	s.fd, s.state, s.framing = int32(fd), stateLive, framing
	if err := l.poller.add(fd, slot, s.gen); err != nil {
		s.state = stateFree
		l.free = append(l.free, slot)
		return Ref{}, fmt.Errorf("loop: cannot watch a socket: %w", err)
	}
	l.stats.Open++
	l.stats.Adopted++
	l.cur = slot + 1
	return Ref{slot, s.gen}, nil
}

// Discard closes a socket that no loop adopted. Any goroutine.
func Discard(fd int) { _ = syscall.Close(fd) }
