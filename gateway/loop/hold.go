package loop

import (
	"math"
	"time"
)

// A hold is a wait of the next window. A socket that is full belongs to a client that
// stalls, or to one that reads as fast as it can while we write faster. At the moment
// nobody can tell them apart, so windows wait for streams that are behind:
//
//   - as long as most of those that deliveries go to are behind and take something
//     now and then, but for no longer than majorityMax;
//   - for every stream, some times as long as most took (intake.free);
//   - and from then on for each as long as its own patience lasts. It is used up by
//     the waits, and given back by time and by the bytes that the stream takes: so who
//     takes a lot now and then is waited for again and again, and who trickles is not.
//     It is short where windows have waited most of the time, unless for most in turn.
//     A new stream has as much as is left of what all waits of the loop have together,
//     and a little if nothing is left. Those that do not catch up take most of it, and
//     may owe it: clients that trickle can come again and again.
//
// A stream whose patience is used up is late: it keeps its queue, and one limit for all in
// it, but no window waits for it until it has caught up once. If most streams take nothing for
// long, none waits for those until they take something. So a stalled client holds the
// others up once, clients that trickle make a burst longer by a part, and none of them
// uses up what is meant for those who read.
//
// All times but askAt and wakeAt are on the fair clock: a standstill of the process is no
// wait, and neither is what a look comes too late. What the numbers below do is shown by TestAFewThatTrickleDoNotStopABurst, and
// measured by go run ./bench open, with -stalled and with -trickle.
type hold struct {
	on      bool
	since   int64     // when it began
	size    int       // what a stream should have room for, in bytes
	tight   bool      // all streams hold too much: whoever is blocked is behind
	behind  int       // how many streams were behind at the last look
	most    int64     // when most streams were last behind
	wakeAt  int64     // when the next look is due, 0 without a hold
	freed   int       // streams that were unblocked, or closed, since the last count
	enough  int       // how many of them make another count worthwhile
	asked   []uint32  // scratch of ask
	askAt   int64     // when it is due again
	beyond  int64     // how long windows have waited at somebody's cost, in all
	all     allowance // what is left for all streams together
	drained int64     // when there was nothing left of the pool: see shorten
	lost    int64     // the most that one has used up that did not catch up, in this wait
	active  [2]int    // streams that deliveries went to, in this span and the one before
	waited  [2]int    // those of them that windows waited for at their cost
	span    uint32    // number of that span
	spanned int64     // when it began
}

const (
	// behindItems is how many frames make a blocked stream one that is behind,
	// however small they are.
	behindItems = 32
	// freeFactor is how many times as long as most streams took for a window it
	// waits for those that need longer, and freeMax the most that this adds.
	freeFactor = 4
	freeMax    = int64(time.Second)
	// freeRate is with how many bytes in a second a stream pays for what windows
	// wait for it. Why: where one process reads for many streams, each of them has
	// to wait for the others in turn, and takes a lot when it is on.
	freeRate = 5 << 20
	// patienceMax is the most patience that a stream, or all together, can have, and
	// the most that all can owe. patienceLeast is what a new stream has if nothing is
	// left, and less the more is owed. patienceGrows says by how much it grows: one in
	// so many, of the time in which no window waits at somebody's cost. So who pauses
	// only to hold others up makes a burst longer by no more than that.
	patienceMax   = int64(time.Second)
	patienceLeast = patienceMax / 10
	patienceGrows = 4
	// poolMax is how long windows may wait at somebody's cost, in all, before everybody's
	// patience is at its shortest, poolLeast of poolMax. As much comes back as they do not.
	// Why no less: readers in one process that is short of CPU time pause for a second and
	// more. With a tenth, 20 stalled streams beside 200 readers of JSON on two busy cores
	// had 31 to 53 of those closed, with half 1 to 12, at the same pace.
	poolMax   = int64(3 * time.Second)
	poolLeast = poolMax / 2
	// majorityMax is for how long a window waits only because most streams are
	// behind. From then on they are waited for as few are, and late in the end: or
	// those who open most streams of a loop could set the pace of all.
	majorityMax = int64(3 * time.Second)
	// stretchEach is how many streams that are behind at once double their patience,
	// stretchMax how often, and stretchActive how many active ones are as one.
	stretchEach   = 40
	stretchMax    = 3
	stretchActive = 50
	// stallMin is for how long most streams may take nothing and still set the pace,
	// and stallMore for how much longer with each one that is behind; up to stallMax,
	// or a tenth of Options.QueueMaxAge if that is less.
	stallMin  = int64(500 * time.Millisecond)
	stallMore = int64(20 * time.Millisecond)
	stallMax  = int64(3 * time.Second)
	// askEvery is how often streams are asked whether they take something, and
	// askEach how much less often for each of them: a few system calls.
	askEvery = int64(10 * time.Millisecond)
	askEach  = int64(20 * time.Microsecond)
	// activeSpan is over what time streams count as those that deliveries go to.
	activeSpan = int64(time.Second)
)

// mayTake reports whether the next window need not wait for streams that are behind, or
// not any longer. It is where a wait begins and ends, and does what is due in it: sockets
// are asked, and streams become late.
func (l *Loop) mayTake() bool {
	in := &l.in
	h, size := &in.hold, in.batch[in.next].Size()
	if !h.on {
		l.countActive()
	}
	if l.catchingUp(size) {
		if h.on {
			h.wakeAt = l.now
		}
		return false // they are not blocked: we have not tried
	}
	if len(l.blocked) == 0 {
		l.endHold()
		return true
	}
	if h.on && h.freed < h.enough && l.now < h.wakeAt {
		return false // the answer would be the same
	}
	h.size, h.tight = max(size, l.windowSize()), l.overTotal()
	behind := l.countBehind(never)
	if behind == 0 {
		l.endHold()
		return true
	}
	if !h.on {
		h.on, h.since, h.most, h.askAt = true, l.fair, l.fair, 0
		l.stats.Holds++
	}
	h.freed, h.enough, h.behind = 0, max(behind/8, 1), behind
	h.wakeAt = l.now // this is the look that was due; the next is at once, unless it says when
	reading, stalled := behind, never
	if l.areMost(behind) {
		stalled = l.stalled(behind)
		reading = l.countBehind(stalled)
	}
	if l.areMost(reading) && l.fair-h.since < min(majorityMax, int64(l.opt.QueueMaxAge)) {
		h.most = l.fair
		h.wakeAt = l.now + int64(wheelTick)
		return false
	}
	h.wakeAt = h.askAt
	if reading > 0 {
		h.wakeAt = max(h.wakeAt, l.now+in.free()-l.fair)
	}
	if h.tight {
		h.wakeAt = min(h.wakeAt, l.now+int64(wheelTick)) // other loops may have made room
	}
	if l.now < h.wakeAt {
		return false
	}
	if l.ask(); len(l.dirty) > 0 {
		return false // they take more
	}
	if until := l.judge(stalled); until != 0 {
		h.wakeAt = min(until, h.askAt)
		return false
	}
	l.endHold()
	return true
}

// ask offers those that are waited for what they have queued. Why, though the kernel
// tells when a socket takes bytes again: it does so only when a good part of its buffer
// is free (sk_stream_is_writeable of Linux: a third), which can be several windows.
func (l *Loop) ask() {
	h := &l.in.hold
	h.asked = h.asked[:0]
	for _, slot := range l.blocked {
		if l.behind(l.at(slot)) {
			h.asked = append(h.asked, slot)
		}
	}
	h.askAt = l.now + askEvery + askEach*int64(len(h.asked))
	for _, slot := range h.asked {
		// The end of one may touch any other.
		if s := l.at(slot); s.blocked && l.waits(s) {
			l.cur = slot + 1
			l.flushWritable(slot)
		}
	}
	l.cur = 0
}

// areMost reports whether so many streams are most of those that deliveries go to; most
// of all, where there were no deliveries of late.
func (l *Loop) areMost(streams int) bool {
	most := max(l.in.hold.active[0], l.in.hold.active[1])
	if most == 0 {
		most = l.stats.Open
	}
	return 2*streams > most
}

// free returns until when the window waits for every stream that is behind, for nothing.
func (in *intake) free() int64 {
	h := &in.hold
	return h.most + min((freeFactor-1)*(in.wrote+h.most-h.since), freeMax)
}

// judge stops waiting for streams whose patience is used up: for good, or, if they took
// nothing for longer than stalled, until they take something. It returns when that of the
// next one that is behind will be, 0 if none is left.
func (l *Loop) judge(stalled int64) (until int64) {
	for _, slot := range l.blocked {
		s := l.at(slot)
		if !l.behind(s) {
			continue
		}
		// Who is one of most that take nothing is not late: they set the pace again
		// when they go on.
		waited, left := l.waited(s), s.patience.left(l.unheld())
		stalls := l.age(s) > stalled
		if stalls {
			waited = l.age(s)
		} else {
			left = l.shorten(l.in.hold.stretch(left))
		}
		if waited < left {
			if at := l.now + left - waited; until == 0 || at < until {
				until = at
			}
			continue
		}
		l.stats.GivenUp++
		if stalls {
			l.pay(s)
			s.stalled = true
		} else {
			l.gone(s)
			s.late = true
		}
	}
	return until
}

// endHold ends a wait, if there was one.
func (l *Loop) endHold() {
	in := &l.in
	h := &in.hold
	h.wakeAt = 0
	if !h.on {
		return
	}
	l.stats.Held += time.Duration(l.fair - h.since)
	beyond := max(l.fair-max(in.free(), h.since), 0)
	if beyond > 0 {
		for _, slot := range l.blocked {
			l.pay(l.at(slot))
		}
	}
	h.all.owe(l.unheld(), max(beyond/patienceGrows, h.lost))
	h.drained = min(max(h.drained, l.unheld()-poolMax)+beyond, l.unheld())
	h.beyond += beyond
	h.spanned += l.fair - h.since // nothing was delivered meanwhile
	h.on, h.lost = false, 0
}

// catchingUp reports whether a stream that is still being sent its opening, and is
// not blocked, has so much behind it that the window should wait: that it has not
// been written is our own lateness, so it must not bring the stream near its limit.
func (l *Loop) catchingUp(size int) bool {
	size = max(size, l.windowSize())
	for _, slot := range l.bulk {
		if s := l.at(slot); s.state == stateLive && s.queue != 0 && !s.blocked {
			if n := l.queues[s.queue-1].bytes; n > 0 && n+size > l.opt.QueueMaxSize/2 {
				return true
			}
		}
	}
	return false
}

// stalled returns for how long so many streams that are behind may take nothing.
func (l *Loop) stalled(behind int) int64 {
	return min(stallMin+stallMore*int64(behind), stallMax, max(int64(l.opt.QueueMaxAge)/10, stallMin))
}

// never is an age that no stream has.
const never = int64(math.MaxInt64)

// countBehind counts the streams that are behind and took something within the
// last most nanoseconds.
func (l *Loop) countBehind(most int64) (n int) {
	for _, slot := range l.blocked {
		if s := l.at(slot); l.behind(s) && l.age(s) <= most {
			n++
		}
	}
	return n
}

// behind reports whether a blocked stream that windows wait for could not be given the
// next window, or holds many frames already; or anything while memory is tight.
func (l *Loop) behind(s *stream) bool {
	if s.late || s.stalled || s.state != stateLive || s.queue == 0 {
		return false
	}
	q := &l.queues[s.queue-1]
	if q.bytes == 0 || l.in.hold.tight {
		return l.in.hold.tight
	}
	n := l.waiting(s, false)
	return n > 0 && (n+l.in.hold.size > l.opt.QueueMaxSize/2 || len(q.items)-q.head >= behindItems)
}
