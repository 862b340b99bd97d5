package loop

import (
	"math/bits"
	"time"
)

// wheel is a hashed timing wheel: one timer for each slot, linked into the
// bucket of its tick. Setting, moving and clearing a timer is O(1) and takes
// no memory of its own beyond the two links in the stream; a timer further
// away than one revolution is met once each revolution and left where it is.
type wheel struct {
	heads    [wheelSize]uint32 // slot+1 of the first timer in the bucket
	occupied [wheelSize / 64]uint64
	tick     uint64 // the last tick that fired
	count    int
}

const (
	wheelTick = 50 * time.Millisecond
	wheelSize = 1024
)

// timer is a stream's place in the wheel.
type timer struct {
	next, prev uint32 // slot+1 of the neighbours in the bucket
	due        uint64 // tick, 0 while not set
}

func ticksAt(ns int64) uint64 { return uint64(ns) / uint64(wheelTick) }

// tickAfter returns the first tick that begins at or after ns, so that a timer
// never fires early.
func tickAfter(ns int64) uint64 {
	return (uint64(ns) + uint64(wheelTick) - 1) / uint64(wheelTick)
}

func (l *Loop) setTimer(slot uint32, due uint64) {
	w, t := &l.wheel, &l.at(slot).timer
	if t.due == due {
		return
	}
	if t.due != 0 {
		l.clearTimer(slot)
	}
	if due == 0 {
		return
	}
	if due <= w.tick {
		due = w.tick + 1
	}
	b := due % wheelSize
	t.due, t.prev, t.next = due, 0, w.heads[b]
	if t.next != 0 {
		l.at(t.next - 1).timer.prev = slot + 1
	}
	w.heads[b] = slot + 1
	w.occupied[b/64] |= 1 << (b % 64)
	w.count++
}

func (l *Loop) clearTimer(slot uint32) {
	w, t := &l.wheel, &l.at(slot).timer
	if t.due == 0 {
		return
	}
	b := t.due % wheelSize
	if t.prev != 0 {
		l.at(t.prev - 1).timer.next = t.next
	} else {
		w.heads[b] = t.next
		if t.next == 0 {
			w.occupied[b/64] &^= 1 << (b % 64)
		}
	}
	if t.next != 0 {
		l.at(t.next - 1).timer.prev = t.prev
	}
	*t = timer{}
	w.count--
}

// advance fires every timer due by now, in order of ticks.
func (l *Loop) advance() {
	w := &l.wheel
	l.fireExpired() // those that a panic left over
	for target := ticksAt(l.now); w.tick < target; {
		if w.count == 0 {
			w.tick = target
			return
		}
		w.tick++
		b := w.tick % wheelSize
		for i := w.heads[b]; i != 0; {
			slot := i - 1
			t := &l.at(slot).timer
			i = t.next
			if t.due <= w.tick {
				l.clearTimer(slot)
				l.expired = append(l.expired, Ref{slot, l.at(slot).gen})
			}
		}
		// The timers are taken out of the bucket before the first one
		// runs: what a timer does may change the list.
		l.fireExpired()
	}
}

// fireExpired runs the timers taken out of the wheel. Each leaves the list
// first, so that a panic in one does not silence the others.
func (l *Loop) fireExpired() {
	for n := len(l.expired); n > 0; n = len(l.expired) {
		ref := l.expired[n-1]
		l.expired = l.expired[:n-1]
		l.fire(ref)
		l.cur = 0
	}
}

// nextDue returns when the wheel wants to be advanced, in nanoseconds since
// the loop's start, or 0 when no timer is set. It may be early by a revolution
// for timers further away.
func (w *wheel) nextDue() int64 {
	if w.count == 0 {
		return 0
	}
	for d := uint64(1); d <= wheelSize; {
		b := (w.tick + d) % wheelSize
		if word := w.occupied[b/64] >> (b % 64); word != 0 {
			d += uint64(bits.TrailingZeros64(word))
			return int64((w.tick + d) * uint64(wheelTick))
		}
		d += 64 - b%64
	}
	return int64((w.tick + wheelSize) * uint64(wheelTick))
}
