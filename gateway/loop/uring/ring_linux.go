package uring

import (
	"errors"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is an io_uring (io_uring_setup(2)) that carries the writes of a turn to
// the kernel in one system call each batch. Every request is non-blocking, so
// all are complete when the call returns: what it points to need not live any
// longer, and no completion is ever pending between two calls.
type ring struct {
	fd      int
	sqTail  *uint32
	cqHead  *uint32
	cqTail  *uint32
	sqMask  uint32
	cqMask  uint32
	entries []sqe
	done    []cqe
	shared  []byte // the two rings
	table   []byte // the entries
}

// sqe is struct io_uring_sqe, as far as sends use it.
type sqe struct {
	opcode   uint8
	flags    uint8
	ioprio   uint16
	fd       int32
	off      uint64
	addr     uint64
	length   uint32
	msgFlags uint32
	userData uint64
	_        [3]uint64
}

// cqe is struct io_uring_cqe.
type cqe struct {
	userData uint64
	res      int32
	flags    uint32
}

// ringParams is struct io_uring_params.
type ringParams struct {
	sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, wqFd uint32
	_                                                                      [3]uint32
	sq                                                                     struct {
		head, tail, ringMask, ringEntries, flags, dropped, array, _ uint32
		_                                                           uint64
	}
	cq struct {
		head, tail, ringMask, ringEntries, overflow, cqes, flags, _ uint32
		_                                                           uint64
	}
}

// From linux/io_uring.h.
const (
	opSendmsg      = 9
	opSend         = 26
	enterGetEvents = 1 << 0
	featSingleMmap = 1 << 0
	featNoDrop     = 1 << 1
	offSqRing      = 0
	offSqes        = 0x10000000
)

// newRing makes a ring for batches of at most n requests. It fails where the
// kernel has none, does not allow it, or cannot send with it.
func newRing(n uint32) (*ring, error) {
	var p ringParams
	fd, _, errno := syscall.Syscall(unix.SYS_IO_URING_SETUP, uintptr(n), uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, os.NewSyscallError("io_uring_setup", errno)
	}
	r := &ring{fd: int(fd)}
	unix.CloseOnExec(r.fd)
	if err := r.attach(&p); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *ring) attach(p *ringParams) (err error) {
	if p.features&featSingleMmap == 0 || p.features&featNoDrop == 0 {
		return errors.New("loop: this kernel's io_uring is too old (features)")
	}
	size := max(int(p.sq.array+p.sqEntries*4), int(p.cq.cqes+p.cqEntries*uint32(unsafe.Sizeof(cqe{}))))
	const prot, flags = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_POPULATE
	if r.shared, err = unix.Mmap(r.fd, offSqRing, size, prot, flags); err != nil {
		return os.NewSyscallError("mmap io_uring", err)
	}
	if r.table, err = unix.Mmap(r.fd, offSqes, int(p.sqEntries)*int(unsafe.Sizeof(sqe{})), prot, flags); err != nil {
		return os.NewSyscallError("mmap io_uring entries", err)
	}
	word := func(off uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.shared[off])) }
	r.sqTail, r.cqHead, r.cqTail = word(p.sq.tail), word(p.cq.head), word(p.cq.tail)
	r.sqMask, r.cqMask = *word(p.sq.ringMask), *word(p.cq.ringMask)
	r.entries = unsafe.Slice((*sqe)(unsafe.Pointer(&r.table[0])), p.sqEntries)
	r.done = unsafe.Slice((*cqe)(unsafe.Pointer(&r.shared[p.cq.cqes])), p.cqEntries)
	array := unsafe.Slice(word(p.sq.array), p.sqEntries)
	for i := range array {
		array[i] = uint32(i)
	}
	return nil
}

// close gives the ring back. Nothing may be under way.
func (r *ring) close() {
	if r == nil {
		return
	}
	if r.table != nil {
		_ = unix.Munmap(r.table)
	}
	if r.shared != nil {
		_ = unix.Munmap(r.shared)
	}
	_ = unix.Close(r.fd)
}
