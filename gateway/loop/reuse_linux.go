package loop

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

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
