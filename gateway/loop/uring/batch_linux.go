package uring

import (
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// Most bounds the writes of one batch: at about 4 µs each the call
	// takes a quarter of a turn.
	Most = 64
	// mostPieces bounds the pieces of all its writes of several pieces.
	mostPieces = 1024
)

// Batch is the writes that one call hands to the kernel. All of it is for one
// goroutine at a time.
type Batch struct {
	ring    *ring
	n       int
	results [Most]int32
	pieces  [mostPieces]unix.Iovec
	used    int // of pieces
	msgs    [Most]unix.Msghdr
}

// NewBatch makes a ring and an empty batch for it. It fails where the kernel has
// none, does not allow it, or cannot send with it.
func NewBatch() (*Batch, error) {
	r, err := newRing(Most)
	if err != nil {
		return nil, err
	}
	b := &Batch{ring: r} // not on a stack: the kernel reads it
	if err := b.try(); err != nil {
		r.close()
		return nil, err
	}
	return b, nil
}

// Close gives the ring back.
func (b *Batch) Close() { b.ring.close() }

// tryText is not on a stack, which may move.
var tryText = []byte("ok")

// try sends one byte over a pair of sockets, in both ways that are used.
func (b *Batch) try() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	defer func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) }()
	vec := []unix.Iovec{{Base: &tryText[0], Len: 1}, {Base: &tryText[1], Len: 1}}
	for pieces := 1; pieces <= 2; pieces++ {
		b.Add(pair[0], vec[:pieces])
		if b.Submit(); b.Result(0) != pieces {
			return fmt.Errorf("loop: a send over io_uring did not work: expected %d, got %d", pieces, b.Result(0))
		}
		b.Reset()
	}
	return nil
}

// Len returns how many writes the batch has.
func (b *Batch) Len() int { return b.n }

// Room reports whether one more write of that many pieces fits.
func (b *Batch) Room(pieces int) bool {
	return b.n < Most && (pieces == 1 || b.used+pieces <= mostPieces)
}

// Result returns what became of write i once Submit has returned: how many bytes it
// wrote, or a negative errno.
func (b *Batch) Result(i int) int { return int(b.results[i]) }

// Add appends a write, for which there is room. The pieces are copied, what they
// point to is not: it must live until Submit has returned.
func (b *Batch) Add(fd int, pieces []unix.Iovec) {
	i := b.n
	b.n++
	b.results[i] = 0
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
	vec := b.pieces[b.used : b.used+len(pieces)]
	b.used += copy(vec, pieces)
	m := &b.msgs[i]
	m.Iov = &vec[0]
	m.SetIovlen(len(vec))
	e.opcode = opSendmsg
	e.addr, e.length = uint64(uintptr(unsafe.Pointer(m))), 1
}

// Submit hands the batch to the kernel, waits for all of it and returns how many
// writes were taken; one that was not taken wrote nothing.
func (b *Batch) Submit() (taken int) {
	r := b.ring
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
func (b *Batch) reap() (n int) {
	r := b.ring
	head, tail := *r.cqHead, atomic.LoadUint32(r.cqTail)
	for ; head != tail; head++ {
		c := &r.done[head&r.cqMask]
		b.results[c.userData] = c.res
		n++
	}
	atomic.StoreUint32(r.cqHead, head)
	return n
}

// Reset empties the batch and forgets all addresses, so that nothing is pinned by
// them.
func (b *Batch) Reset() {
	clear(b.pieces[:b.used])
	clear(b.msgs[:b.n])
	b.n, b.used = 0, 0
}
