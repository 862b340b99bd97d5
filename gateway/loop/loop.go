package loop

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"sluice/codec"
	"sluice/gateway/actor"
)

// Task is work for a loop's turn, posted from outside.
type Task interface {
	// Run does it, on-loop. A task for many streams does its work in a
	// [Loop.Walk], so that a panic costs one of them.
	Run(l *Loop)
}

// Handler is what stands above a loop: it is told of timers and ends. All its
// methods are called on-loop and must not block.
type Handler interface {
	// Timer is called once for each [Loop.SetTimer].
	Timer(ref Ref)
	// Closed is called exactly once for each adopted stream, when it takes
	// no more frames; its slot is used anew only later.
	Closed(ref Ref, reason Reason)
	// Spent is called when a stream was sent the last frame that [Loop.Limit]
	// allows it. Unless it ends the stream, there is no limit from here on.
	Spent(ref Ref)
}

// Options of a [Loop]. Zero fields mean the defaults named.
type Options struct {
	QueueMaxSize   int           // bytes a stream may have queued; 1 MiB
	QueueMaxAge    time.Duration // how long a blocked stream may take no byte; 30 s
	QueuesMaxTotal int64         // bytes held by all loops of a group, see Stats.HeldBytes; 1 GiB
	// SlowFrame is sent last to a stream that was too slow; nil for none.
	SlowFrame *codec.Frame
	// Ring writes for many streams with one system call, over io_uring, where
	// the kernel allows it; see Group.RingError.
	Ring bool
	// OnPanic learns of panics in turns, for the log; may be nil.
	OnPanic func(v any, stack []byte)
	// Verify reads every byte handed to the kernel and checks that frames do
	// not change while queued. For tests: the race detector does not see raw
	// system calls.
	Verify bool
}

func (o Options) withDefaults() Options {
	if o.QueueMaxSize <= 0 {
		o.QueueMaxSize = 1 << 20
	}
	if o.QueueMaxAge <= 0 {
		o.QueueMaxAge = 30 * time.Second
	}
	if o.QueuesMaxTotal <= 0 {
		o.QueuesMaxTotal = 1 << 30
	}
	return o
}

// Loop owns the streams of one epoll instance. Make it with [NewGroup].
type Loop struct {
	// Immutable after New.
	id      int
	opt     Options
	poller  *poller
	actor   *actor.Actor[Task]
	handler Handler
	flushed func() // see OnFlush; may be nil
	start   time.Time
	group   *Group
	total   *atomic.Int64 // bytes held by all loops of the group

	// Owned by the turn.
	now           int64 // nanoseconds since start, read once each pass
	fair          int64 // now, less the time in which the process stood still
	in            intake
	slabs         [][]stream
	shares        bool // it has had a socket that may have a duplicate, see Socket.shared
	free          []uint32
	queues        []outQueue
	spare         []uint32 // free entries of queues, each index+1
	dirty         []uint32
	dirtyHead     int
	bulk          []uint32 // streams with a part of their opening left, when dirty is done
	blocked       []uint32 // streams whose socket is full, see stream.place
	lossies       table[lossy]
	order         uint64 // of the last lossy frame that was sent
	trim          trimming
	shed          shedding
	wheel         wheel
	expired       []Ref
	iov           iovecs
	batch         *batch // nil: one system call for each write
	secures       table[secure]
	bodies        table[codedBody]
	plain, cipher []byte // scratch of one record
	plainSink     [1024]byte
	sink          []byte
	cur           uint32       // slot+1 of the stream in hand, for panics
	slowFrame     *codec.Frame // see SlowFrame
	opening       bool         // see Opening
	told          int64        // HeldBytes as last added to total
	stats         Stats
	check         *checker // nil unless Options.Verify

	// Atomic.
	dueAt  atomic.Int64 // when the wheel wants a turn, 0 for never
	holdAt atomic.Int64 // when a wait of the next window wants one, 0 for never

	still stillness

	wg sync.WaitGroup // the poller goroutine
}

// Stats are the counters of a loop since its start, and its present state.
type Stats struct {
	Open        int    // streams, closing ones included
	Secure      uint64 // of the adopted ones, those with TLS
	Coded       [3]int // open streams, by codec.Coding; those without one are not counted
	Blocked     int    // streams waiting for the kernel to take bytes
	QueuedBytes int64  // in all out-queues, as the limits of streams count them
	// HeldBytes is what blocked streams and openings keep in memory: a frame
	// that several wait for counts once, for whichever loop kept it first, so
	// only the sum over all loops means something.
	HeldBytes int64
	Waiting   int           // deliveries that have yet to be taken
	Holds     uint64        // times that deliveries waited for blocked streams
	Held      time.Duration // for how long
	GivenUp   uint64        // blocked streams that were not waited for any longer
	Writes    uint64        // writes that took bytes
	Submits   uint64        // system calls that carried many of them
	Again     uint64        // write system calls that met a full socket
	Bytes     uint64        // written
	Frames    uint64        // written whole
	Dropped   uint64        // frames for closing streams, or dropped as slow
	Conflated uint64        // frames that a newer one of their key replaced
	Stale     uint64        // readiness of a stream that is gone
	Panics    uint64
	Adopted   uint64
	// Batches are the writes by how many frames they ended: at index i those
	// of less than 1<<i and not less than 1<<(i-1).
	Batches [BatchSizes]uint64
	Closes  [reasonCount]uint64
}

// BatchSizes is how many sizes of batches are told apart: the last one holds
// what one writev can carry.
const BatchSizes = 8

// Add sums other into s.
func (s *Stats) Add(other *Stats) {
	s.Open += other.Open
	s.Secure += other.Secure
	for i := range s.Coded {
		s.Coded[i] += other.Coded[i]
	}
	s.Blocked += other.Blocked
	s.QueuedBytes += other.QueuedBytes
	s.HeldBytes += other.HeldBytes
	s.Waiting += other.Waiting
	s.Holds += other.Holds
	s.Held += other.Held
	s.GivenUp += other.GivenUp
	s.Writes += other.Writes
	s.Submits += other.Submits
	s.Again += other.Again
	s.Bytes += other.Bytes
	s.Frames += other.Frames
	s.Dropped += other.Dropped
	s.Conflated += other.Conflated
	s.Stale += other.Stale
	s.Panics += other.Panics
	s.Adopted += other.Adopted
	for i := range s.Batches {
		s.Batches[i] += other.Batches[i]
	}
	for i := range s.Closes {
		s.Closes[i] += other.Closes[i]
	}
}

func newLoop(id int, pool actor.Submitter, opt Options, group *Group) (*Loop, error) {
	p, err := newPoller()
	if err != nil {
		return nil, fmt.Errorf("loop: cannot make a poller: %w", err)
	}
	l := &Loop{
		id: id, opt: opt.withDefaults(), poller: p, group: group, total: &group.total,
		start: time.Now(), sink: make([]byte, 4096),
	}
	if opt.Verify {
		l.check = newChecker()
	}
	l.in.hold.all.set(0, patienceMax)
	l.in.hold.drained = -poolMax
	l.in.hold.span = 1 // streams begin with 0: no delivery went to them
	l.actor = actor.New[Task](pool, (*behavior)(l))
	return l, nil
}

// ID returns the loop's index in its group. Any goroutine.
func (l *Loop) ID() int { return l.id }

// Post gives the loop a task. It never blocks and never fails; tasks of one
// goroutine run in order, and before deliveries that wait. Any goroutine.
func (l *Loop) Post(t Task) { l.actor.Post(t) }

// Backlog returns how many tasks and deliveries wait. Any goroutine.
func (l *Loop) Backlog() int { return l.actor.Depth() + l.Deliveries() }

// Now returns the loop's clock: nanoseconds since the loop was made, read once
// for each pass over the inbox. On-loop only.
func (l *Loop) Now() int64 { return l.now }

// Stats returns the counters. On-loop only.
func (l *Loop) Stats() *Stats {
	l.stats.Waiting = l.Deliveries()
	return &l.stats
}

// OnFlush makes the loop call f, on-loop, each time before it tells deliveries
// that they were offered. Call it before [Group.Start], once.
func (l *Loop) OnFlush(f func()) { l.flushed = f }

// Framing returns the framing of an open stream. On-loop only.
func (l *Loop) Framing(slot uint32) codec.Framing { return l.at(slot).framing }

// Ref returns the Ref of the stream in a slot. On-loop only.
func (l *Loop) Ref(slot uint32) Ref { return Ref{slot, l.at(slot).gen} }

// Live reports whether ref names a stream that takes frames. On-loop only.
func (l *Loop) Live(ref Ref) bool { return l.live(ref) != nil }

func (l *Loop) clock() int64 { return int64(time.Since(l.start)) }

// behavior is the Loop as its actor sees it, so that Handle and Flush are not
// methods that others can call.
type behavior Loop

func (b *behavior) Begin() {
	b.now, b.fair = b.still.read((*Loop)(b).clock, b.in.hold.wakeAt)
}

func (b *behavior) Handle(t Task) {
	l := (*Loop)(b)
	l.cur = 0
	t.Run(l)
	l.cur = 0
}

func (b *behavior) Flush() (more bool) {
	l := (*Loop)(b)
	if ticksAt(l.now) > l.wheel.tick || len(l.expired) > 0 {
		l.advance()
	}
	if !l.in.filling {
		more = l.flushDirty()
	}
	if !more {
		more = l.flushBulk()
		more = l.take() || more
	}
	l.publishTotal()
	l.shedTotal()
	l.trimQueues()
	l.dueAt.Store(l.nextDue())
	l.armPoller()
	return more
}

func (b *behavior) Panicked(v any) {
	l := (*Loop)(b)
	l.stats.Panics++
	l.opening = false
	l.iov.reset()
	if l.opt.OnPanic != nil {
		stack := debug.Stack()
		// Told even if ending the stream panics.
		defer func() { l.opt.OnPanic(v, stack) }()
	}
	// The stream stays in hand meanwhile: if Handler.Closed panics, the next
	// call finds it closing and cuts it.
	if slot := l.cur; slot != 0 && int((slot-1)>>slabBits) < len(l.slabs) {
		l.fail(slot-1, ReasonPanic)
	}
	l.cur = 0
}

func (l *Loop) publishTotal() {
	if d := l.stats.HeldBytes - l.told; d != 0 {
		l.total.Add(d)
		l.told = l.stats.HeldBytes
	}
}

// Panics. A panic in a task ends the task, and the stream that it had in hand; a
// panic in a step of a walk ends that step, and its stream. Nothing else is lost.

// Walk is the place of a task that works on many streams, one step for each. The zero
// Walk stands before the first step.
type Walk struct{ next int }

// Next goes on to the next of n steps, and reports whether there is one. n may change
// between steps.
func (w *Walk) Next(n int) bool {
	if w.next >= n {
		return false
	}
	w.next++
	return true
}

// Step is the index of the step that Next went on to.
func (w *Walk) Step() int { return w.next - 1 }

// Walk calls pass until it has returned. pass takes steps from w.Next for as long as there
// is one, and names the stream of each with [Loop.Hand]; after a panic it is called again,
// and so goes on behind the step that failed. On-loop only.
func (l *Loop) Walk(w *Walk, pass func()) {
	for at := -1; w.next != at; { // who takes no step would panic for ever
		at = w.next
		if l.actor.Try(pass) {
			break
		}
	}
	l.cur = 0
}

// Hand names the stream that a task, or a step of a walk, is about to work on: if it
// panics, that stream is closed and no other. On-loop only.
func (l *Loop) Hand(slot uint32) { l.cur = slot + 1 }
