package loop

import (
	"cmp"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Flow control. Deliveries have an inbox of their own, behind tasks. They are
// taken in windows: some are queued for their streams, then every stream gets
// its writes, and only when none is left that is neither empty nor refused by
// its socket, the next window is taken. So the queue of a client that reads
// never holds more than a window. When a window was offered to all, its
// deliveries are told (Delivery.Offered): that is what publishers are paced by.
//
// A socket that is full belongs to a client that stalls, or to one that reads as
// fast as it can while we write faster. At the moment nobody can tell them apart,
// so the next window waits for streams that are behind, for a bounded time:
//
//   - as long as most streams of the loop are behind and take something now and
//     then, but for no longer than majorityMax;
//   - for the rest, some times as long as blocked streams of late took to take
//     something again, and some times as long as the window took to be written to
//     the others, and a little more from an allowance that grows with time, for
//     when nothing is known yet;
//   - and no longer, nor for longer than Options.QueueMaxAge in all: a stream that
//     is behind then is late, one that took nothing meanwhile at once, one that
//     reads on after the same time again, or an allowance of its own. It keeps its queue and its limits, but
//     no window waits for it until it has caught up once.
//
// So a stalled client holds the others up once, a client that trickles makes a
// burst longer by a factor and no more, and who reads is not closed for our speed.

// Delivery is a task for many streams at once. It is what publishers wait for:
// see [Loop.Deliver].
type Delivery interface {
	Task
	// Size is about how many bytes it queues for a stream; 0 if it queues
	// nothing.
	Size() int
	// Offered is called, on-loop, when every stream that it was queued for has
	// been offered it, or has a full socket and holds nobody up.
	Offered(l *Loop)
}

const (
	// maxWindow and windowBytes bound what is queued for a stream between two
	// rounds of writes; one delivery is always taken. Why so few: a burst gives
	// each stream so many items at once (BenchmarkBurst).
	maxWindow   = 64
	windowBytes = 256 << 10
	// crowdWindow is maxWindow for a loop with more than manyStreams: places
	// for 64 frames are 1.5 KiB for each of them. The writes that it takes more
	// are lost in what a write costs that finds its socket cold.
	crowdWindow = 32
	manyStreams = 2048
	// behindItems is how many frames make a blocked stream one that is behind,
	// however small they are.
	behindItems = 32
	// writeFactor and drainFactor are how many times as long as the window took to
	// be written, and as blocked streams take on average, the next one waits for
	// those that need longer.
	writeFactor = 4
	drainFactor = 8
	// drainWeight is the weight of one more stream in that average, and
	// undrainedShare by how much less one counts that was not blocked: it need not
	// have read, there was room in its socket.
	drainWeight    = 1.0 / 64
	undrainedShare = 4
	// slackMax and slackShare are the allowance for waits beyond that.
	slackMax   = int64(500 * time.Millisecond)
	slackShare = 4 // a quarter of all time
	// graceMax is the allowance for those who took something while a window waited,
	// beside the other: a busy machine lets a reader wait for its turn for long.
	graceMax = int64(2 * time.Second)
	// majorityMax is for how long a window waits only because most streams are
	// behind. From then on they are waited for as few are, and late in the end: or
	// those who open most streams of a loop could set the pace of all.
	majorityMax = int64(3 * time.Second)
	// stallMin is for how long a stream that takes nothing may still be waited
	// for, and stallMore for how much longer with each one that is behind, up to
	// stallMax, or a tenth of Options.QueueMaxAge if that is less. Why: many
	// clients of a busy machine may have to wait long for their turn to read;
	// few that do not read must not hold publishers up for longer than these wait.
	stallMin  = int64(500 * time.Millisecond)
	stallMore = int64(20 * time.Millisecond)
	stallMax  = int64(3 * time.Second)
)

// intake is the deliveries of a loop.
type intake struct {
	// Guarded by mu.
	mu    sync.Mutex
	inbox []Delivery

	// Atomic.
	depth atomic.Int64 // in inbox and batch

	// Owned by the turn.
	batch   []Delivery // taken from inbox; those before next are queued
	next    int
	spare   []Delivery
	ahead   int        // how many of them a stream may get in this window
	limit   int        // how many the window may have
	share   int        // how many a stream got in the last one, on average
	sent    int        // items queued in this window
	opened  int        // queues that began in it
	running bool       // the one at next panicked
	panics  int        // how often
	filling bool       // the window has room
	window  []Delivery // queued and not yet offered
	told    int        // how many of them know that they were
	bytes   int        // of the window, for a stream
	began   int64      // when the window was begun

	// Of a wait for streams that are behind.
	holding bool
	held    int64   // since when
	most    int64   // when most streams were last behind
	drain   float64 // how long blocked streams take to take something, on average
	again   int64   // when those who read on are not waited for either, 0 before
	gave    int64   // since when only those who read on are waited for
	grace   int64   // the allowance for that
	graceAt int64   // when it was worked out
	wakeAt  int64   // when the wait is over, 0 without one
	freed   int     // streams that were unblocked, or closed, since the last count
	enough  int     // how many of them make another count worthwhile
	slack   int64   // what is left of the allowance
	slackAt int64   // when that was worked out
}

// Deliver gives the loop a delivery. It never blocks and never fails; those of
// one goroutine are taken in order. Any goroutine.
func (l *Loop) Deliver(d Delivery) {
	in := &l.in
	in.depth.Add(1)
	in.mu.Lock()
	in.inbox = append(in.inbox, d)
	in.mu.Unlock()
	l.actor.Wake()
}

// Deliveries returns how many deliveries have yet to be queued. Any goroutine.
func (l *Loop) Deliveries() int { return int(l.in.depth.Load()) }

// inOrder is a function that runs in the place of a delivery.
type inOrder func(l *Loop)

// Run implements Task.
func (f inOrder) Run(l *Loop, again bool) {
	if !again {
		f(l)
	}
}

// Size implements Delivery.
func (f inOrder) Size() int { return 0 }

// Offered implements Delivery.
func (f inOrder) Offered(*Loop) {}

// take queues the next window, if its time has come. It is called when every
// stream that is not blocked was offered all it has; more asks for another pass.
func (l *Loop) take() (more bool) {
	in := &l.in
	if !in.filling {
		l.offered()
		if !in.refill() || !l.mayTake() {
			return false
		}
		in.filling, in.bytes, in.began = true, 0, l.clock()
		l.beginWindow()
	}
	for began := l.clock(); l.takeOne(); {
		if l.clock()-began > turnNanos {
			return true // tasks first; the window stays open
		}
	}
	in.filling, in.ahead = false, 0
	return true
}

// takeOne queues one delivery, if the window has room for it.
func (l *Loop) takeOne() bool {
	in := &l.in
	if len(in.window) >= in.limit || !in.refill() {
		return false
	}
	d := in.batch[in.next]
	size := d.Size()
	if len(in.window) > 0 && in.bytes+size > l.windowSize() && !in.running {
		return false
	}
	again := in.running
	if again {
		in.panics++
	}
	if in.panics < l.maxPanics() {
		in.running = true
		d.Run(l, again)
	}
	l.cur = 0
	in.running, in.panics = false, 0
	in.batch[in.next] = nil
	in.next++
	in.depth.Add(-1)
	in.bytes += size
	in.window = append(in.window, d)
	return true
}

// maxPanics is how often one delivery may panic before it is given up: once for
// each stream, and some.
func (l *Loop) maxPanics() int { return len(l.slabs)<<slabBits + 64 }

// refill makes the next delivery that waits the one at next, and reports whether
// there is one.
func (in *intake) refill() bool {
	if in.next == len(in.batch) {
		if cap(in.batch) <= maxSpare {
			in.spare = in.batch[:0]
		}
		in.mu.Lock()
		in.batch, in.inbox = in.inbox, in.spare
		in.mu.Unlock()
		in.spare, in.next = nil, 0
	}
	return in.next < len(in.batch)
}

// beginWindow works out how large the window may be, and how many places a new
// queue gets at once in it: as many as deliveries wait, but for those of other
// streams, of which there are as many as in the window before.
func (l *Loop) beginWindow() {
	in := &l.in
	in.limit = maxWindow
	if l.stats.Open > manyStreams {
		in.limit = crowdWindow
	}
	if in.opened > 0 {
		in.share = (in.sent + in.opened - 1) / in.opened
	}
	in.sent, in.opened = 0, 0
	in.ahead = min(len(in.batch)-in.next, in.limit, max(in.share, firstShare))
}

// firstShare is how many places a new queue gets at once if so many deliveries
// wait, before anything is known of whom they are for.
const firstShare = 16

// maxSpare is the largest inbox that is kept for reuse after a burst.
const maxSpare = 1 << 10

// windowSize is how many bytes a window may have.
func (l *Loop) windowSize() int { return min(windowBytes, l.opt.QueueMaxSize/4) }

// offered tells the deliveries of the last window that all streams were offered
// it.
func (l *Loop) offered() {
	in := &l.in
	if len(in.window) == 0 {
		return
	}
	if l.flushed != nil {
		l.flushed()
	}
	for in.told < len(in.window) {
		d := in.window[in.told]
		in.window[in.told] = nil
		in.told++ // before it may panic
		d.Offered(l)
	}
	in.window, in.told = in.window[:0], 0
	in.undrained(l.stats.Open - len(l.blocked))
}

// mayTake reports whether the next window need not wait for streams that are
// behind.
func (l *Loop) mayTake() bool {
	in := &l.in
	if l.catchingUp(in.batch[in.next].Size()) {
		return false // they are not blocked: we have not tried
	}
	if len(l.blocked) == 0 {
		l.endHold()
		return true
	}
	if in.holding && in.freed < in.enough && l.now < in.wakeAt {
		return false // the answer would be the same
	}
	n := l.behind(in.batch[in.next].Size())
	if n == 0 {
		l.endHold()
		return true
	}
	if !in.holding {
		in.holding, in.held, in.most = true, l.now, l.now
		l.stats.Holds++
	}
	in.freed, in.enough = 0, max(n/8, 1)
	end := l.now + int64(wheelTick)
	if 2*n > l.stats.Open && l.now-in.began < majorityMax {
		in.most = l.now
	} else {
		end = min(end, cmp.Or(in.again, l.patience()))
	}
	last := in.began + int64(l.opt.QueueMaxAge)
	if end = min(end, last); l.now < end {
		in.wakeAt = end
		return false
	}
	if !l.giveUp(l.now >= last) {
		in.wakeAt = l.now + int64(wheelTick)
		return false
	}
	l.endHold()
	return true
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

// giveUp makes streams late that a window has waited for long enough, and reports
// whether it was all that are behind. At first it is those that took nothing
// while it waited: whoever reads on was not what it waited for, and gets the time
// that blocked streams take once more, unless this is the last time.
func (l *Loop) giveUp(last bool) (all bool) {
	in := &l.in
	least := int64(0)
	if in.again == 0 && !last {
		least = l.now - in.held
		in.grace = min(in.grace+(l.now-in.graceAt)/slackShare, graceMax)
		in.graceAt, in.gave = l.now, l.now
		in.again = l.now + int64(wheelTick) + max(drainFactor*int64(in.drain), in.grace)
	}
	size := in.batch[in.next].Size()
	l.stats.GivenUp += uint64(l.countBehind(size, never, least))
	return l.behind(size) == 0
}

// patience returns until when a window waits for the streams that are behind
// when most are not.
func (l *Loop) patience() int64 {
	in := &l.in
	in.slack = min(in.slack+(l.now-in.slackAt)/slackShare, slackMax)
	in.slackAt = l.now
	return in.fairWait() + in.slack
}

// fairWait is patience without the allowance.
func (in *intake) fairWait() int64 {
	return max(in.began+writeFactor*(in.most-in.began), in.most+drainFactor*int64(in.drain))
}

// drained notes that a blocked stream takes something again, and how long that
// took: less than nothing, if meanwhile it turned out that we had stood still.
func (in *intake) drained(took int64) {
	in.drain += (float64(min(max(took, 0), stallMax)) - in.drain) * drainWeight
}

// undrained notes that so many streams took a whole window without being blocked:
// without them the average would be of the slow ones alone, who would set the pace.
func (in *intake) undrained(streams int) {
	if in.drain != 0 && streams > 0 {
		in.drain *= math.Pow(1-drainWeight, float64(streams)/undrainedShare)
	}
}

// endHold ends a wait, if there was one, and takes what it took beyond its time
// from the allowance.
func (l *Loop) endHold() {
	in := &l.in
	in.wakeAt = 0
	if !in.holding {
		return
	}
	if in.again != 0 {
		in.grace = max(in.grace-(l.now-in.gave), 0)
	}
	in.holding, in.again = false, 0
	l.stats.Held += time.Duration(l.now - in.held)
	if beyond := l.now - in.fairWait(); beyond > 0 {
		in.slack = max(in.slack-beyond, 0)
	}
}

// behind counts the blocked streams that the next window should wait for: those
// that could not be given size bytes, or hold many frames already, and took
// something lately.
func (l *Loop) behind(size int) int {
	stalled := min(int64(l.opt.QueueMaxAge)/10, stallMax)
	if stalled > stallMin {
		stalled = min(stalled, stallMin+stallMore*int64(l.countBehind(size, stalled, never)))
	}
	return l.countBehind(size, stalled, never)
}

// never is an age that no stream has.
const never = math.MaxInt64

// countBehind counts the streams that are behind and took something within the
// last most nanoseconds; those of them that took nothing for the last late ones
// become late, and only they are counted then.
func (l *Loop) countBehind(size int, most, late int64) (n int) {
	size = max(size, l.windowSize())
	for _, slot := range l.blocked {
		s := l.at(slot)
		if s.late || s.state != stateLive || s.queue == 0 {
			continue
		}
		q := &l.queues[s.queue-1]
		if q.bytes == 0 || q.bytes+size <= l.opt.QueueMaxSize/2 && len(q.items)-q.head < behindItems {
			continue
		}
		age := l.age(s)
		if age > most || late != never && age < late {
			continue
		}
		n++
		s.late = late != never
	}
	return n
}

// Pending calls f with each delivery that has yet to be queued for its streams, in
// order. f must not deliver. On-loop only.
func (l *Loop) Pending(f func(d Delivery)) {
	in := &l.in
	in.mu.Lock()
	in.batch = append(in.batch, in.inbox...)
	clear(in.inbox)
	in.inbox = in.inbox[:0]
	in.mu.Unlock()
	from := in.next
	if in.running {
		from++ // it panicked for one stream: whom it has been queued for is not known
	}
	for _, d := range in.batch[min(from, len(in.batch)):] {
		f(d)
	}
}
