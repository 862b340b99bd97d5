package loop

import (
	"errors"
	"math/bits"
	"syscall"

	"sluice/codec"
)

const (
	// maxWriteBytes and maxWriteFrames bound one writev, so that one stream
	// with much to say cannot hold up the others.
	maxWriteBytes  = 256 << 10
	maxWriteFrames = 64
	// turnWrites and turnNanos are when a flush gives way to new posts, at
	// the earliest after as long as the posts before it took.
	turnWrites = 512
	turnNanos  = 1e6
)

// flushDirty writes the queues of dirty streams until none is left or the turn
// has run long enough; more says that some are.
func (l *Loop) flushDirty() (more bool) {
	if l.batch != nil {
		return l.flushBatches()
	}
	return l.flushOneByOne()
}

// flushOneByOne is flushDirty with a system call for each stream.
func (l *Loop) flushOneByOne() (more bool) {
	start := l.clock()
	// Why not less than the posts took: queues would grow, though their
	// clients read, until they are closed as slow.
	budget := max(turnNanos, start-l.now)
	for writes := 0; len(l.dirty) > 0; writes++ {
		if writes >= turnWrites && budget == turnNanos || writes&15 == 15 && l.clock()-start > budget {
			return true
		}
		l.flushNext()
	}
	return false
}

// flushNext makes one write for the stream that has been dirty for longest.
func (l *Loop) flushNext() { l.flushSlot(l.popDirty()) }

// flushSlot makes one write for a stream that was taken off a list.
func (l *Loop) flushSlot(slot uint32) {
	s := l.at(slot)
	s.dirty = false
	if s.queue == 0 || s.blocked {
		return
	}
	l.cur = slot + 1
	l.flushStream(slot)
	l.cur = 0
	if s.queue != 0 && !s.blocked {
		l.again(slot)
	}
}

// again puts a stream that took all it was offered in line for its next write:
// with the others, or, if what it has left is its opening, where nobody waits
// for it.
func (l *Loop) again(slot uint32) {
	s := l.at(slot)
	if s.dirty {
		return
	}
	if l.queues[s.queue-1].exempt > 0 {
		s.dirty = true
		l.bulk = append(l.bulk, slot)
		return
	}
	l.markDirty(slot)
}

// bulkWrites is how many streams with much to catch up on get a write between
// two windows of deliveries: what others are sent waits for no more than that.
const bulkWrites = 8

// flushBulk makes one write for some of the streams that are still being sent
// their opening; more says that there are any, or that one has something else left.
func (l *Loop) flushBulk() (more bool) {
	for n := min(bulkWrites, len(l.bulk)); n > 0; n-- {
		slot := l.bulk[0]
		l.bulk = l.bulk[:copy(l.bulk, l.bulk[1:])]
		l.flushSlot(slot)
		more = more || l.at(slot).dirty
	}
	return more || len(l.bulk) > 0
}

// popDirty takes the streams in the order in which they became dirty.
func (l *Loop) popDirty() uint32 {
	slot := l.dirty[l.dirtyHead]
	l.dirtyHead++
	if l.dirtyHead == len(l.dirty) {
		l.dirty, l.dirtyHead = l.dirty[:0], 0
	}
	return slot
}

// flushStream makes one write of what the stream has queued and settles what
// came of it: progress, EAGAIN, an error, the end of a closing stream.
func (l *Loop) flushStream(slot uint32) {
	s := l.at(slot)
	if s.secure != 0 {
		l.flushSecure(slot)
		return
	}
	q := &l.queues[s.queue-1]
	want := l.gather(s, q, maxWriteBytes)
	n, err := l.write(int(s.fd), want)
	l.iov.reset()
	switch {
	case err == nil:
		l.stats.Writes++
		l.stats.Bytes += uint64(n)
		l.advanceQueue(slot, n)
		if s.queue == 0 {
			if s.state == stateClosing {
				l.finish(slot)
			}
		} else if n < want {
			l.block(slot)
		}
	case errors.Is(err, syscall.EAGAIN):
		l.stats.Again++
		l.block(slot)
	default:
		l.fail(slot, errorReason(err))
	}
}

// Flush makes a write of what the stream has queued, at once, so that what is sent next
// leaves in another one. On-loop only.
func (l *Loop) Flush(slot uint32) {
	if s := l.at(slot); s.state == stateLive && s.queue != 0 && !s.blocked {
		l.flushStream(slot)
	}
}

// errorReason maps an error of read(2) or write(2) to what happened to the peer.
func errorReason(err error) Reason {
	switch {
	case errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		return ReasonClientGone
	case errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, syscall.EHOSTUNREACH):
		return ReasonPeerTimeout
	}
	return ReasonWriteError
}

// gather fills l.iov with the pieces of the first frames of the queue, at most
// most bytes, and returns how many they are.
func (l *Loop) gather(s *stream, q *outQueue, most int) (want int) {
	if s.coded != 0 {
		return l.gatherCoded(s, q, most)
	}
	skip := q.sent
	for i := q.head; i < len(q.items) && i-q.head < maxWriteFrames && want < most; i++ {
		if q.items[i].has(itemRun) {
			break // there is more to come before it
		}
		if q.items[i].frame == nil {
			l.notice(&q.items[i])
		}
		lines, end := q.items[i].pieces(s.framing)
		want += l.push(lines, &skip, most-want)
		want += l.push(end, &skip, most-want)
	}
	return want
}

// push adds at most room bytes of a piece to l.iov, without its first *skip
// bytes, which are written already.
func (l *Loop) push(piece []byte, skip *int, room int) int {
	if *skip >= len(piece) {
		*skip -= len(piece)
		return 0
	}
	piece = piece[*skip:]
	*skip = 0
	if len(piece) > room {
		piece = piece[:room]
	}
	if len(piece) == 0 {
		return 0
	}
	l.check.read(piece)
	l.iov.add(piece)
	return len(piece)
}

// pieces returns the bytes of the item in the framing of its stream; end may be
// empty.
func (it *item) pieces(f codec.Framing) (lines, end []byte) {
	if it.id != nil {
		return it.frame.Lines(f), it.ownID()
	}
	return it.frame.Event(f, it.has(itemShared))
}

func (it *item) size(f codec.Framing) int {
	lines, end := it.pieces(f)
	return len(lines) + len(end)
}

// wrote takes the bytes of an item off those that were sent, and reports whether they are
// all there.
func (l *Loop) wrote(s *stream, q *outQueue, it *item) bool {
	if s.coded != 0 {
		return l.wroteCoded(s, q, it)
	}
	size := it.size(s.framing)
	if q.sent < size {
		return false
	}
	q.sent -= size
	return true
}

// advanceQueue takes n written bytes off the stream's queue.
func (l *Loop) advanceQueue(slot uint32, n int) {
	s := l.at(slot)
	q := &l.queues[s.queue-1]
	q.sent += n
	changed, before := "", l.stats.Frames
	for q.head < len(q.items) {
		it := &q.items[q.head]
		if it.frame == nil || it.frame == bodyEnd {
			break // a notice, or an end, behind what was gathered: it has no text yet
		}
		if it.has(itemRun) {
			l.refill(q)
			continue
		}
		if !l.wrote(s, q, it) {
			break
		}
		if q.mid = it.has(itemMore); !q.mid {
			l.stats.Frames++
		}
		changed = max(changed, l.forget(q, it))
		q.head++
	}
	l.stats.Batches[bits.Len64(l.stats.Frames-before)]++
	if s.spent > 0 {
		l.refund(s, n)
	}
	if q.head == len(q.items) {
		l.recycle(s)
	} else {
		q.since = l.fair
	}
	l.refuseChanged(slot, changed)
}

// block waits for epoll to say that the socket takes bytes again.
func (l *Loop) block(slot uint32) {
	s := l.at(slot)
	if !s.blocked {
		l.setBlocked(slot, true)
		if err := l.poller.watchWrite(int(s.fd), slot, s.gen, true); err != nil {
			l.fail(slot, ReasonWriteError)
			return
		}
	}
	l.arm(slot)
}
