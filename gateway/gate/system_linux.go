package gate

import (
	"syscall"
	"unsafe"
)

// atOnce is how many bytes at most are read or written without the runtime being told of
// the system call. The sockets do not block, and so few bytes take no longer than what is
// done without a system call; if it is told, sysmon sees threads that are taken off their
// processor in it, and takes their Ps all the time. Measured with publishers on two
// processors: CPU x 0.90.
const atOnce = 16 << 10

func sysRead(fd int, p []byte) (int, error) {
	if len(p) == 0 || len(p) > atOnce {
		return syscall.Read(fd, p)
	}
	n, _, e := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	if e != 0 {
		return -1, e
	}
	return int(n), nil
}

func sysWrite(fd int, p []byte) (int, error) {
	if len(p) == 0 || len(p) > atOnce {
		return syscall.Write(fd, p)
	}
	n, _, e := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	if e != 0 {
		return -1, e
	}
	return int(n), nil
}
