package loop

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
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

// tryText is not on a stack, which may move.
var tryText = []byte("ok")

// try sends one byte over a pair of sockets, in both ways that are used.
func (b *batch) try() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	defer func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) }()
	vec := []unix.Iovec{{Base: &tryText[0], Len: 1}, {Base: &tryText[1], Len: 1}}
	for pieces := 1; pieces <= 2; pieces++ {
		b.add(Ref{}, pair[0], vec[:pieces], pieces)
		if b.submit(); b.ops[0].res != int32(pieces) {
			return fmt.Errorf("loop: a send over io_uring did not work: expected %d, got %d", pieces, b.ops[0].res)
		}
		b.reset()
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

const (
	// batchOps bounds the writes of one batch: at about 4 µs each the call
	// takes a quarter of a turn.
	batchOps = 64
	// batchVecs bounds the pieces of all its writes of several pieces.
	batchVecs = 1024
)

// batch is the writes that one call hands to the kernel.
type batch struct {
	ring *ring
	n    int
	ops  [batchOps]batchOp
	vecs [batchVecs]unix.Iovec
	used int // of vecs
	msgs [batchOps]unix.Msghdr
	// submitted says that the kernel has had the batch, settled how far what
	// came of it was taken in: each write twice, see Loop.settleBatch.
	submitted bool
	settled   int
}

type batchOp struct {
	ref  Ref
	want int
	res  int32 // bytes written, or a negative errno
}

// room reports whether one more write of that many pieces fits.
func (b *batch) room(pieces int) bool {
	return b.n < batchOps && (pieces == 1 || b.used+pieces <= batchVecs)
}

// add appends a write. The pieces are copied, what they point to is not.
func (b *batch) add(ref Ref, fd int, pieces []unix.Iovec, want int) {
	i := b.n
	b.n++
	b.ops[i] = batchOp{ref: ref, want: want}
	r := b.ring
	e := &r.entries[(*r.sqTail+uint32(i))&r.sqMask]
	// Why a flag though the socket is non-blocking: without it the kernel
	// would wait for room on its own account.
	*e = sqe{fd: int32(fd), msgFlags: unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL, userData: uint64(i)}
	if len(pieces) == 1 {
		e.opcode = opSend
		e.addr, e.length = uint64(uintptr(unsafe.Pointer(pieces[0].Base))), uint32(pieces[0].Len)
		return
	}
	vec := b.vecs[b.used : b.used+len(pieces)]
	b.used += copy(vec, pieces)
	m := &b.msgs[i]
	m.Iov = &vec[0]
	m.SetIovlen(len(vec))
	e.opcode = opSendmsg
	e.addr, e.length = uint64(uintptr(unsafe.Pointer(m))), 1
}

// submit hands the batch to the kernel, waits for all of it and returns how many
// writes were taken. What became of each is in ops; one that was not taken wrote
// nothing. The items of the queues keep alive what is written.
func (b *batch) submit() (taken int) {
	r := b.ring
	b.submitted = true
	if b.n == 0 {
		return 0
	}
	atomic.StoreUint32(r.sqTail, *r.sqTail+uint32(b.n))
	reaped := 0
	for reaped < b.n {
		n, _, errno := syscall.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd),
			uintptr(b.n-taken), uintptr(b.n-reaped), enterGetEvents, 0, 0)
		if errno == 0 {
			taken += int(n)
		}
		reaped += b.reap()
		if errno != 0 && errno != syscall.EINTR {
			break
		}
	}
	if taken < b.n {
		// Take back what the kernel did not: they are the last ones.
		atomic.StoreUint32(r.sqTail, *r.sqTail-uint32(b.n-taken))
		for reaped < taken {
			_, _, _ = syscall.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 0, uintptr(taken-reaped), enterGetEvents, 0, 0)
			reaped += b.reap()
		}
	}
	return taken
}

// reap takes what is complete.
func (b *batch) reap() (n int) {
	r := b.ring
	head, tail := *r.cqHead, atomic.LoadUint32(r.cqTail)
	for ; head != tail; head++ {
		c := &r.done[head&r.cqMask]
		b.ops[c.userData].res = c.res
		n++
	}
	atomic.StoreUint32(r.cqHead, head)
	return n
}

// reset forgets all addresses, so that no frame is pinned by them.
func (b *batch) reset() {
	clear(b.vecs[:b.used])
	clear(b.msgs[:b.n])
	b.n, b.used, b.submitted, b.settled = 0, 0, false, 0
}
