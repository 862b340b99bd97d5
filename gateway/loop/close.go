package loop

import (
	"syscall"
	"time"

	"sluice/codec"
)

// The end of a stream, in order:
//
//	Close:  no more frames are taken and Handler.Closed is told; what is
//	        queued, the last frame and the terminator are written
//	finish: our half of the connection is shut down; input is dropped until
//	        the client ends its half
//	cut:    the socket is closed and the slot is free
//
// Each step but the last has a deadline, after which the stream is cut.
const (
	// lingerTime is how long a client may take to end its half.
	lingerTime = time.Second
	// slowTime is how long a slow client may take to be told so.
	slowTime = time.Second
)

// Close ends a stream in good order: what is queued goes out, then last (nil
// for none) and the terminator of the framing, then the connection. What is
// not written within the given time is cut off. Closing a stream twice does
// nothing. On-loop only.
func (l *Loop) Close(ref Ref, reason Reason, last *codec.Frame, within time.Duration) {
	if l.live(ref) == nil {
		return
	}
	l.detach(ref.Slot, reason)
	l.end(ref.Slot, last, within)
}

// end gives a detached stream its last frames and its deadline.
func (l *Loop) end(slot uint32, last *codec.Frame, within time.Duration) {
	if last != nil {
		l.enqueue(slot, item{frame: last, bits: itemShared})
	}
	if l.at(slot).coded != 0 {
		l.enqueue(slot, item{frame: bodyEnd})
	} else if end := terminators[l.at(slot).framing]; end != nil {
		l.enqueue(slot, item{frame: end})
	}
	l.closing(slot, within)
}

// CloseBare is [Loop.Close] for a stream whose queue ends the body already.
// On-loop only.
func (l *Loop) CloseBare(ref Ref, reason Reason, within time.Duration) {
	if l.live(ref) == nil {
		return
	}
	l.detach(ref.Slot, reason)
	l.closing(ref.Slot, within)
}

// closing gives a detached stream its deadline.
func (l *Loop) closing(slot uint32, within time.Duration) {
	s := l.at(slot)
	s.acts = tickAfter(l.now + int64(max(within, 0)))
	l.arm(slot)
	if !l.waits(s) {
		l.finish(slot)
	}
}

var terminators = [...]*codec.Frame{
	codec.FramingChunked: codec.RawFrame(codec.FramingChunked.Terminator()),
	codec.FramingClose:   nil,
}

// Cut ends a stream at once, in the middle of a frame if need be. On-loop only.
func (l *Loop) Cut(ref Ref, reason Reason) {
	if s := l.live(ref); s != nil {
		l.fail(ref.Slot, reason)
	}
}

// detach makes a live stream a closing one: the handler learns of it now, once.
func (l *Loop) detach(slot uint32, reason Reason) {
	s := l.at(slot)
	l.gone(s)
	s.state, s.acts = stateClosing, 0
	l.stats.Closes[reason]++
	if s.blocked {
		l.in.hold.freed++ // nobody waits for it any more
	}
	// If the handler panics this stream is cut, whichever was in hand before:
	// it would be left without a deadline.
	cur := l.cur
	l.cur = slot + 1
	l.handler.Closed(Ref{slot, s.gen}, reason)
	l.cur = cur
}

// slow ends a stream whose client does not keep up: whole unsent frames are
// dropped, the one in flight is completed, and if the rest goes out in time
// the client is told.
func (l *Loop) slow(slot uint32, reason Reason) {
	if l.at(slot).state != stateLive {
		return
	}
	l.slowFrame = l.opt.SlowFrame
	l.detach(slot, reason) // while it is still known what windows wait for
	l.stats.Dropped += uint64(l.dropUnsent(slot))
	l.end(slot, l.slowFrame, slowTime)
	l.slowFrame = nil
}

// SlowFrame has a stream that ends as slow be told this, and not Options.SlowFrame. Within
// Handler.Closed only; for streams that end otherwise it means nothing.
func (l *Loop) SlowFrame(f *codec.Frame) { l.slowFrame = f }

// fail ends a stream that cannot be written to, or should not be.
func (l *Loop) fail(slot uint32, reason Reason) {
	s := l.at(slot)
	if s.state == stateLive {
		l.detach(slot, reason)
	}
	l.cut(slot)
}

// finish follows the last byte of a closing stream.
func (l *Loop) finish(slot uint32) {
	s := l.at(slot)
	if s.secure != 0 && !l.farewell(slot) {
		return
	}
	if err := syscall.Shutdown(int(s.fd), syscall.SHUT_WR); err != nil {
		l.cut(slot)
		return
	}
	s.state = stateLinger
	s.acts = tickAfter(l.now + int64(lingerTime))
	l.arm(slot)
	l.readInput(slot) // the client may have ended its half already
}

// cut closes the socket and frees the slot.
func (l *Loop) cut(slot uint32) {
	s := l.at(slot)
	if s.state == stateFree {
		return
	}
	l.setBlocked(slot, false)
	fd := int(s.fd)
	if l.shares || !closeForgets {
		l.poller.forget(fd)
	}
	l.freeSlot(slot)
	// After the slot is free, so that no path finds the number again.
	closeSocket(fd)
}

const (
	// StrayInput is how many line ends a client may send behind its request:
	// old ones end a body with one (RFC 9112 section 2.2).
	StrayInput = 4
	// lingerInput is how much input of an ending stream is dropped: its
	// client may not know yet.
	lingerInput = 64 << 10
)

// Stray reports whether input behind a request is nothing but line ends, and no
// more of them than StrayInput. Any goroutine.
func Stray(input []byte) bool {
	for _, ch := range input {
		if ch != '\r' && ch != '\n' {
			return false
		}
	}
	return len(input) <= StrayInput
}

// took judges bytes that a client sent behind its request, and ends the
// stream if they are more than stray line ends: there can be no answer to a
// second request. It reports whether more may be read.
func (l *Loop) took(slot uint32, input []byte) bool {
	s := l.at(slot)
	s.input += uint32(len(input))
	limit := uint32(lingerInput)
	if s.state == stateLive {
		limit = StrayInput
	}
	if s.input > limit || s.state == stateLive && !Stray(input) {
		l.fail(slot, ReasonInput)
		return false
	}
	return true
}

// readInput reads what the client sent: the end of its half, or what
// [Loop.took] judges.
func (l *Loop) readInput(slot uint32) {
	s := l.at(slot)
	for {
		n, err := syscall.Read(int(s.fd), l.sink)
		switch {
		case n > 0:
			take := (*Loop).took
			if s.secure != 0 {
				take = (*Loop).open
			}
			if !take(l, slot, l.sink[:n]) || n < len(l.sink) {
				return
			}
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return
		case err != nil:
			l.fail(slot, errorReason(err))
			return
		default: // end of file
			l.fail(slot, ReasonClientGone)
			return
		}
	}
}
