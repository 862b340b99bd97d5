//go:build linux

package proc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// SocketMemory is what the kernel holds for the connected sockets of a server.
type SocketMemory struct {
	Sockets int   // whose peer is there
	Left    int   // whose peer has left, which the server has not noticed
	Bytes   int64 // as the kernel counts it, bookkeeping included
	Queued  int64 // bytes that were written and not yet acknowledged
}

// Sub returns what m has more than o.
func (m SocketMemory) Sub(o SocketMemory) SocketMemory {
	return SocketMemory{Sockets: m.Sockets - o.Sockets, Left: m.Left - o.Left, Bytes: m.Bytes - o.Bytes, Queued: m.Queued - o.Queued}
}

// The request and the answers of sock_diag(7), inet_diag part: sizes, and where
// the fields are that are read.
const (
	sockDiagByFamily = 20
	diagRequestSize  = 56
	diagMessageSize  = 72
	diagMemInfoExt   = 7     // INET_DIAG_SKMEMINFO
	allTCPStates     = 0xfff // every bit that TCP uses
	established      = 1
	closeWait        = 8
	memWmemQueued    = 5 // index of SK_MEMINFO_WMEM_QUEUED
	memRmemAlloc     = 0 // SK_MEMINFO_RMEM_ALLOC
	memFwdAlloc      = 4 // SK_MEMINFO_FWD_ALLOC
)

// ReadSocketMemory adds up the IPv4 sockets whose local port is port and which
// have or had a peer.
func ReadSocketMemory(port uint16) (m SocketMemory, err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return m, fmt.Errorf("bench: sock_diag: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, diagRequest(port), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return m, fmt.Errorf("bench: sock_diag: %w", err)
	}
	buf := make([]byte, 1<<20)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return m, fmt.Errorf("bench: sock_diag: %w", err)
		}
		done, err := m.take(buf[:n], port)
		if done || err != nil {
			return m, err
		}
	}
}

// otherConnections is how many connections of a server are neither streams nor
// publishers: questions for its figures.
const otherConnections = 4

// AwaitSockets waits until the server at port has noticed that clients are gone
// and has at most so many connections left, and a few others.
func AwaitSockets(ctx context.Context, port uint16, most int, limit time.Duration) error {
	begin := time.Now()
	for {
		m, err := ReadSocketMemory(port)
		if err != nil || m.Sockets+m.Left <= most+otherConnections {
			return err
		}
		if time.Since(begin) > limit {
			return fmt.Errorf("bench: streams were closed, and after %v the server still has %d connections instead of %d", limit, m.Sockets+m.Left, most)
		}
		if err := Pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// diagRequest asks for all TCP sockets with their memory. The kernel may leave
// ports to us.
func diagRequest(port uint16) []byte {
	b := make([]byte, unix.SizeofNlMsghdr+diagRequestSize)
	native := binary.NativeEndian
	native.PutUint32(b[0:], uint32(len(b)))
	native.PutUint16(b[4:], sockDiagByFamily)
	native.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	r := b[unix.SizeofNlMsghdr:]
	r[0], r[1], r[2] = unix.AF_INET, unix.IPPROTO_TCP, 1<<(diagMemInfoExt-1)
	native.PutUint32(r[4:], allTCPStates)
	binary.BigEndian.PutUint16(r[8:], port) // source port
	return b
}

// take reads one datagram of answers.
func (m *SocketMemory) take(b []byte, port uint16) (done bool, err error) {
	native := binary.NativeEndian
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(native.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return true, fmt.Errorf("bench: sock_diag: a message of %d bytes in %d", size, len(b))
		}
		body := b[unix.SizeofNlMsghdr:size]
		switch native.Uint16(b[4:]) {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			code := int32(0)
			if len(body) >= 4 {
				code = int32(native.Uint32(body))
			}
			return true, fmt.Errorf("bench: sock_diag: %w", unix.Errno(-code))
		default:
			m.takeSocket(body, port)
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	return false, nil
}

// takeSocket reads one socket.
func (m *SocketMemory) takeSocket(b []byte, port uint16) {
	if len(b) < diagMessageSize || binary.BigEndian.Uint16(b[4:]) != port || b[1] != established && b[1] != closeWait {
		return
	}
	native := binary.NativeEndian
	if b[1] == established {
		m.Sockets++
	} else {
		m.Left++
	}
	m.Queued += int64(native.Uint32(b[60:])) // idiag_wqueue
	for b = b[diagMessageSize:]; len(b) >= unix.SizeofRtAttr; {
		size := int(native.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return
		}
		if native.Uint16(b[2:]) == diagMemInfoExt {
			value := b[unix.SizeofRtAttr:size]
			for _, i := range []int{memRmemAlloc, memFwdAlloc, memWmemQueued} {
				if len(value) >= 4*(i+1) {
					m.Bytes += int64(native.Uint32(value[4*i:]))
				}
			}
		}
		b = b[min(len(b), (size+3)&^3):]
	}
}
