package loop

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// iovecs is the scratch list of one writev. The kernel reads it during the call
// only; reset forgets the addresses so that no frame is pinned by them.
type iovecs struct {
	n   int
	vec [2 * maxWriteFrames]unix.Iovec
}

func (v *iovecs) add(b []byte) {
	v.vec[v.n].Base = unsafe.SliceData(b)
	v.vec[v.n].SetLen(len(b))
	v.n++
}

// join appends all pieces to dst.
func (v *iovecs) join(dst []byte) []byte {
	for i := range v.n {
		dst = append(dst, unsafe.Slice(v.vec[i].Base, v.vec[i].Len)...)
	}
	return dst
}

func (v *iovecs) reset() {
	clear(v.vec[:v.n])
	v.n = 0
}

// write hands the gathered pieces to the kernel, with write(2) for one and
// writev(2) for several.
//
// Why syscall.Syscall and not RawSyscall: with the latter a busy loop holds its
// P for the whole call, and the accept path starves (DESIGN section 2).
func (l *Loop) write(fd, _ int) (int, error) {
	for {
		var n uintptr
		var errno syscall.Errno
		if l.iov.n == 1 {
			p := &l.iov.vec[0]
			n, _, errno = syscall.Syscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(p.Base)), uintptr(p.Len))
		} else {
			n, _, errno = syscall.Syscall(syscall.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&l.iov.vec[0])), uintptr(l.iov.n))
		}
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}
