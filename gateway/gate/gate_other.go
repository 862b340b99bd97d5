//go:build !linux

package gate

import (
	"context"
	"net"
	"net/netip"
	"syscall"
)

// Gate is none where there is no epoll: [New] says so, and nobody has one.
type Gate struct{}

// New returns ErrUnsupported.
func New(Options) (*Gate, error) { return nil, ErrUnsupported }

// Listen returns ErrUnsupported.
func (*Gate) Listen(net.Listener, ListenOptions) (*Listener, error) { return nil, ErrUnsupported }

// Start does nothing.
func (*Gate) Start() {}

// Drain does nothing.
func (*Gate) Drain() {}

// Close does nothing.
func (*Gate) Close() {}

// Turns has nothing to wait for.
func (*Gate) Turns(context.Context) error { return nil }

// Stats returns none.
func (*Gate) Stats() Stats { return Stats{} }

// Listener is none where there is no epoll.
type Listener struct{}

// Close does nothing.
func (*Listener) Close() error { return ErrUnsupported }

// Shed does nothing.
func (*Listener) Shed() bool { return false }

// Conn is none where there is no epoll.
type Conn struct{ net.Conn }

// First returns ErrUnsupported.
func (*Conn) First([]byte) (int, error) { return 0, ErrUnsupported }

// Parked reports false.
func (*Conn) Parked() bool { return false }

// CloseWrite returns ErrUnsupported.
func (*Conn) CloseWrite() error { return ErrUnsupported }

// Peer returns no address.
func (*Conn) Peer() netip.AddrPort { return netip.AddrPort{} }

// Cut does nothing.
func (*Conn) Cut() {}

// Awaited reports true.
func (*Conn) Awaited() bool { return true }

// Quiet reports true.
func (*Conn) Quiet() bool { return true }

// TakeFD reports that there is none.
func (*Conn) TakeFD() (fd int, ok bool) { return -1, false }

// BeginWait reports false.
func (*Conn) BeginWait() bool { return false }

// EndWait does nothing.
func (*Conn) EndWait() {}

// SyscallConn returns ErrUnsupported.
func (*Conn) SyscallConn() (syscall.RawConn, error) { return nil, ErrUnsupported }
