package loop

import (
	"sync"
	"sync/atomic"
)

// Flow control. Deliveries have an inbox of their own, behind tasks. They are
// taken in windows: some are queued for their streams, then every stream gets
// its writes, and only when none is left that is neither empty nor refused by
// its socket, the next window is taken, once those that are behind had their time
// (see mayTake). So the queue of a client that reads never holds more than a
// window. When a window was offered to all, its deliveries are told
// (Delivery.Offered): that is what publishers are paced by.

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
	sent    int        // items queued by the deliveries of this window
	opened  int        // queues that began with them
	queuing bool       // the one at next is being queued
	filling bool       // the window has room
	window  []Delivery // queued and not yet offered
	bytes   int        // of the window, for a stream
	began   int64      // when the window was begun
	wrote   int64      // how long it took to write it to all

	hold hold
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

// take queues the next window, if its time has come. It is called when every
// stream that is not blocked was offered all it has; more asks for another pass.
func (l *Loop) take() (more bool) {
	in := &l.in
	if !in.filling {
		l.offered()
		if !in.refill() {
			return false
		}
		if !l.mayTake() {
			return len(l.dirty) > 0 // those that were asked, and took something
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
	if len(in.window) > 0 && in.bytes+size > l.windowSize() {
		return false
	}
	in.queuing = true
	l.actor.Try(func() { d.Run(l) })
	in.queuing, l.cur = false, 0
	in.batch[in.next] = nil
	in.next++
	in.depth.Add(-1)
	in.bytes += size
	in.window = append(in.window, d)
	return true
}

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
	in.wrote = l.now - in.began
	if l.flushed != nil {
		l.flushed()
	}
	var w Walk
	l.Walk(&w, func() {
		for w.Next(len(in.window)) {
			in.window[w.Step()].Offered(l)
		}
	})
	clear(in.window)
	in.window = in.window[:0]
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
	for _, d := range in.batch[in.next:] {
		f(d)
	}
}
