package loop

import (
	"errors"
	"syscall"
)

// newBatch makes what a loop needs to write in batches.
func newBatch() (*batch, error) {
	r, err := newRing(batchOps)
	if err != nil {
		return nil, err
	}
	b := &batch{ring: r} // not on a stack: the kernel reads it
	if err := b.try(); err != nil {
		r.close()
		return nil, err
	}
	return b, nil
}

func (b *batch) close() {
	if b != nil {
		b.ring.close()
	}
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
		had, taken := l.batch.n, l.batch.submit()
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
	if b.n == 0 {
		return
	}
	if b.submitted {
		l.settleBatch()
		return
	}
	for i := range b.ops[:b.n] {
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
	for ; writes < batchOps && len(l.dirty) > 0; writes++ {
		slot := l.dirty[l.dirtyHead]
		s := l.at(slot)
		if s.secure != 0 && b.n > 0 {
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
		if !b.room(l.iov.n) {
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
	for b.settled < 2*b.n {
		i := b.settled % b.n
		op, first := &b.ops[i], b.settled < b.n
		b.settled++
		s := l.at(op.ref.Slot)
		if s.gen != op.ref.Gen || s.state == stateFree {
			continue
		}
		l.cur = op.ref.Slot + 1
		switch {
		case !first:
			l.settleWrite(op.ref.Slot, op)
		case op.res > 0:
			l.stats.Writes++
			l.stats.Bytes += uint64(op.res)
			l.advanceQueue(op.ref.Slot, int(op.res))
		}
	}
	l.cur = 0
	b.reset()
}

// settleWrite settles what came of one write of a batch.
func (l *Loop) settleWrite(slot uint32, op *batchOp) {
	s := l.at(slot)
	switch {
	case op.res >= 0:
		switch {
		case s.queue == 0:
			if s.state == stateClosing {
				l.finish(slot)
			}
		case op.res > 0 && int(op.res) < op.want:
			l.block(slot)
		default:
			l.again(slot)
		}
	case errors.Is(syscall.Errno(-op.res), syscall.EAGAIN):
		l.stats.Again++
		l.block(slot)
	case errors.Is(syscall.Errno(-op.res), syscall.EINTR):
		l.markDirty(slot)
	default:
		l.fail(slot, errorReason(syscall.Errno(-op.res)))
	}
}
