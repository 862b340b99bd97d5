package loop

import (
	"syscall"

	"golang.org/x/sys/unix"
)

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
