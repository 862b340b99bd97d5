package loop

import (
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// firstTable is for how many descriptors the process has room from the start.
const firstTable = 4096

// descriptors is the table of the process.
var descriptors descriptorTable

// descriptorTable sees to it that the kernel's table of open files is larger than
// what is asked of it. The kernel makes it twice as large when it is full, and lets
// everybody wait for a grace period meanwhile who needs more of it (expand_files in
// fs/file.c: some 16 ms, whatever the size). In a storm of connects that is a
// hundred goroutines at once, each of which holds a thread, and Go keeps the threads.
// Here one waits, while the others still have room: at first whoever opens the first
// poller, before there is a stream, and later a goroutine of its own.
type descriptorTable struct {
	// Atomic.
	size atomic.Int64 // that was asked for
}

// took notes that fd was given out, the lowest that was free. Only the first call
// waits. Any goroutine.
func (t *descriptorTable) took(fd int) {
	size := t.size.Load()
	if 2*int64(fd) < size {
		return
	}
	next := max(firstTable, 2*size)
	for next <= 2*int64(fd) {
		next *= 2 // others were given out that nobody told of
	}
	switch {
	case !t.size.CompareAndSwap(size, next):
	case size == 0:
		makeRoom(next)
	default:
		go makeRoom(next)
	}
}

// makeRoom makes the table of the process one for n descriptors, or for as many as it
// may have. Without memory for it nothing changes: it grows when it must, then.
func makeRoom(n int64) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return
	}
	last := int(min(uint64(n), limit.Cur)) - 1
	// Any open descriptor does; the one that is made of it is closed at once.
	if fd, err := unix.FcntlInt(uintptr(unix.Stderr), unix.F_DUPFD_CLOEXEC, last); err == nil {
		_ = unix.Close(fd)
	}
}

// dupCloseOnExec returns a duplicate of a descriptor.
func dupCloseOnExec(fd int) (int, error) {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		descriptors.took(n)
	}
	return n, err
}

func (o SocketOptions) set(fd int) {
	if o.UserTimeout > 0 {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(o.UserTimeout/time.Millisecond))
	}
	if o.UnsentMax > 0 {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, o.UnsentMax)
	}
}

// ReusePort lets several processes listen on one port, among which the kernel
// spreads the connections (SO_REUSEPORT, socket(7)). It is the Control of a
// net.ListenConfig. Any goroutine.
func ReusePort(_, _ string, c syscall.RawConn) error {
	var err error
	if cerr := c.Control(func(fd uintptr) {
		err = os.NewSyscallError("setsockopt SO_REUSEPORT", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	}); cerr != nil {
		return cerr
	}
	return err
}

// deferred is for how long a connection is not accepted of which nothing has come.
const deferred = time.Second

// DeferAccept lets a listener accept connections when their clients have sent something,
// or after a second (TCP_DEFER_ACCEPT, tcp(7)): with its request at hand a connection need
// not wait for it. It is best effort. Any goroutine.
func DeferAccept(ln net.Listener) {
	sc, ok := ln.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, int(deferred/time.Second))
	})
}

// Unsent returns how many bytes that were written to a TCP socket its peer has not
// acknowledged, 0 if that cannot be told. Any goroutine.
func Unsent(c syscall.Conn) (n int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		if unsent, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err == nil {
			n = unsent
		}
	})
	return n
}
