package loop

import (
	"errors"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"sluice/gateway/loop/uring"
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

// batch is the writes that one call hands to the kernel, and whose they are. The items
// of the queues keep alive what is written.
type batch struct {
	*uring.Batch
	ops [uring.Most]batchOp
	// submitted says that the kernel has had the batch, settled how far what
	// came of it was taken in: each write twice, see Loop.settleBatch.
	submitted bool
	settled   int
}

type batchOp struct {
	ref  Ref
	want int // bytes
}

// newBatch makes what a loop needs to write in batches.
func newBatch() (*batch, error) {
	b, err := uring.NewBatch()
	if err != nil {
		return nil, err
	}
	return &batch{Batch: b}, nil
}

func (b *batch) close() {
	if b != nil {
		b.Close()
	}
}

func (b *batch) add(ref Ref, fd int, pieces []unix.Iovec, want int) {
	b.ops[b.Len()] = batchOp{ref, want}
	b.Add(fd, pieces)
}

func (b *batch) submit() (taken int) {
	b.submitted = true
	return b.Submit()
}

func (b *batch) reset() {
	b.Reset()
	b.submitted, b.settled = false, 0
}

// batchFew is for how few dirty streams a batch does not pay.
const batchFew = 3

// flushBatches is flushDirty with one system call for many streams.
func (l *Loop) flushBatches() (more bool) {
	start := l.clock()
	budget := max(turnNanos, start-l.now)
	l.resumeBatch()
	for writes := 0; len(l.dirty)-l.dirtyHead > batchFew; {
		writes += l.fillBatch()
		had, taken := l.batch.Len(), l.batch.submit()
		if taken > 0 {
			l.stats.Submits++
		}
		l.settleBatch()
		if had > 0 && taken == 0 {
			return l.flushOneByOne() // the kernel refuses: without the ring, this time
		}
		if writes >= turnWrites && budget == turnNanos || l.clock()-start > budget {
			return len(l.dirty) > 0
		}
	}
	return l.flushOneByOne()
}

// resumeBatch goes on behind a panic: what was written is settled, and what was
// only gathered is gathered again.
func (l *Loop) resumeBatch() {
	b := l.batch
	if b.Len() == 0 {
		return
	}
	if b.submitted {
		l.settleBatch()
		return
	}
	for i := range b.ops[:b.Len()] {
		ref := b.ops[i].ref
		if s := l.at(ref.Slot); s.gen == ref.Gen && s.queue != 0 {
			l.markDirty(ref.Slot)
		}
	}
	b.reset()
}

// fillBatch takes dirty streams until the batch is full. An encrypted stream is
// flushed at once, by itself: its bytes are in the loop's scratch.
func (l *Loop) fillBatch() (writes int) {
	b := l.batch
	for ; writes < uring.Most && len(l.dirty) > 0; writes++ {
		slot := l.dirty[l.dirtyHead]
		s := l.at(slot)
		if s.secure != 0 && b.Len() > 0 {
			break // what its end does must not meet writes that are only gathered
		}
		if s.queue == 0 || s.blocked || s.secure != 0 {
			l.flushNext()
			continue
		}
		l.cur = slot + 1
		want := l.gather(s, &l.queues[s.queue-1], maxWriteBytes)
		l.cur = 0
		if l.iov.n == 0 { // nothing but empty frames
			l.flushNext()
			continue
		}
		if !b.Room(l.iov.n) {
			l.iov.reset()
			break
		}
		l.popDirty()
		s.dirty = false
		b.add(Ref{slot, s.gen}, int(s.fd), l.iov.vec[:l.iov.n], want)
		l.iov.reset()
	}
	return writes
}

// settleBatch follows the writes of a batch. All queues are brought up to date
// before anything else happens, since a stream's end may touch any other
// stream. A panic costs the stream in hand and no other: see resumeBatch.
func (l *Loop) settleBatch() {
	b := l.batch
	for b.settled < 2*b.Len() {
		i := b.settled % b.Len()
		op, first, n := &b.ops[i], b.settled < b.Len(), b.Result(i)
		b.settled++
		s := l.at(op.ref.Slot)
		if s.gen != op.ref.Gen || s.state == stateFree {
			continue
		}
		l.cur = op.ref.Slot + 1
		switch {
		case !first:
			l.settleWrite(op.ref.Slot, n, op.want)
		case n > 0:
			l.stats.Writes++
			l.stats.Bytes += uint64(n)
			l.advanceQueue(op.ref.Slot, n)
		}
	}
	l.cur = 0
	b.reset()
}

// settleWrite settles what came of one write of a batch: n bytes of those wanted, or a
// negative errno.
func (l *Loop) settleWrite(slot uint32, n, want int) {
	s := l.at(slot)
	switch errno := syscall.Errno(-n); {
	case n >= 0:
		switch {
		case s.queue == 0:
			if s.state == stateClosing {
				l.finish(slot)
			}
		case n > 0 && n < want:
			l.block(slot)
		default:
			l.again(slot)
		}
	case errors.Is(errno, syscall.EAGAIN):
		l.stats.Again++
		l.block(slot)
	case errors.Is(errno, syscall.EINTR):
		l.markDirty(slot)
	default:
		l.fail(slot, errorReason(errno))
	}
}
