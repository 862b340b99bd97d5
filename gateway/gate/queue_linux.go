package gate

import (
	"sync"
	"sync/atomic"
	"time"
)

// queue has the connections that are to be served, for a few workers at work who take one
// after the other ([Options.Runners]): many requests at once then wake a worker or two,
// and not one each.
//
// Nobody is to wait behind somebody who waits. A worker that waits for its socket, or says
// so ([Conn.BeginWait]), is not at work meanwhile, and another takes on. One who is at the
// same connection for stuckTime while others wait, for whatever reason, does not count, and
// another takes on, too. Where that is so for many, or nobody takes any for stillTime, the
// queue is open for a while: everything has a worker of its own at once, as without a queue.
type queue struct {
	// Immutable after New.
	gate  *Gate
	most  int   // workers at work; 0: there is no queue
	stuck int64 // stuckTime, but in tests
	still int64 // stillTime, but in tests
	many  int   // how many may be stuck before it is opened

	// Guarded by mu.
	mu      sync.Mutex
	conns   []*Conn
	next    int       // of conns, who is served next
	workers []*worker // that have begun
	atWork  int       // of them, and of those that are about to, who is on duty
	stucks  int       // of the workers, who is stuck
	taken   uint64    // connections
	since   int64     // when a door looked at all workers, see clock; 0: nobody waited
	moved   uint64    // taken, when that had changed since a door looked
	movedAt int64     // when that was
	open    int64     // until when it is open, see clock

	// Atomic.
	opened atomic.Uint64 // how often it was
}

// worker is one who takes from a queue. It is guarded by the mu of that.
type worker struct {
	duty  duty
	at    int    // of workers
	taken uint64 // connections
	seen  uint64 // taken, when a door looked
}

// duty says whether a worker counts.
type duty uint8

const (
	onDuty duty = iota
	away        // it waits, and has said so
	stuck       // nobody knows what it does; it is on duty when it takes the next
)

// pooled are workers that do not work.
var pooled = sync.Pool{New: func() any { return new(worker) }}

const (
	// stuckTime is longer than plain requests take, and little to those that wait. A thread
	// that waits for a processor may take longer: then another worker is no loss.
	stuckTime = int64(time.Millisecond)
	// stillTime is longer than a thread waits for a processor, as a rule.
	stillTime = int64(20 * time.Millisecond)
	// perWorker is for how many that wait another worker is worth being woken.
	perWorker = 4
	// openTime is how long a queue is open where somebody was stuck.
	openTime = int64(time.Second)
	// queueKept is how many places an empty queue keeps.
	queueKept = 1024
)

// add queues what a door has to be served, and sees to it that somebody does.
func (q *queue) add(all []*Conn, now int64) {
	q.mu.Lock()
	if q.next > len(q.conns)/2 {
		n := copy(q.conns, q.conns[q.next:])
		clear(q.conns[n:])
		q.conns, q.next = q.conns[:n], 0
	}
	q.conns = append(q.conns, all...)
	n := 0
	if now < q.open {
		n = q.hire(len(all))
	} else {
		n = q.staff()
	}
	q.mu.Unlock()
	q.start(n)
}

// len returns how many wait.
func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.conns) - q.next
}

// staff returns how many workers are to be started, and counts them. The caller holds mu.
func (q *queue) staff() int {
	waits := len(q.conns) - q.next
	if waits == 0 || q.atWork >= q.most || q.atWork > 0 && waits <= perWorker*q.atWork {
		return 0
	}
	return q.hire(1)
}

// hire counts workers that are to be started. The caller holds mu.
func (q *queue) hire(n int) int {
	q.atWork += n
	return n
}

func (q *queue) start(workers int) {
	for range workers {
		q.gate.start(q)
	}
}

// work is what a worker does.
func (q *queue) work() {
	w := q.begin()
	var c *Conn
	defer func() { // a client may end the goroutine
		if c != nil {
			c.servedBy(nil)
		}
		q.end(w)
	}()
	for c = q.take(w); c != nil; c = q.take(w) {
		c.servedBy(w)
		q.gate.work(c)
	}
}

// servedBy says whose it is to wait for the connection, nil: nobody's of the queue.
func (c *Conn) servedBy(w *worker) {
	c.mu.Lock()
	c.worker, c.waiting = w, false
	c.mu.Unlock()
}

// begin enters a worker, whom hire has counted.
func (q *queue) begin() *worker {
	w := pooled.Get().(*worker)
	q.mu.Lock()
	defer q.mu.Unlock()
	*w = worker{at: len(q.workers)}
	q.workers = append(q.workers, w)
	return w
}

// end is the end of begin.
func (q *queue) end(w *worker) {
	q.mu.Lock()
	q.shift(w, away)
	last := len(q.workers) - 1
	q.workers[w.at] = q.workers[last]
	q.workers[w.at].at = w.at
	q.workers[last] = nil
	if q.workers = q.workers[:last]; last == 0 && cap(q.workers) > queueKept {
		q.workers = nil
	}
	n := q.staff()
	q.mu.Unlock()
	pooled.Put(w)
	q.start(n)
}

// shift changes the duty of a worker. The caller holds mu.
func (q *queue) shift(w *worker, to duty) {
	q.count(w.duty, -1)
	q.count(to, 1)
	w.duty = to
}

// count counts workers by their duty. The caller holds mu.
func (q *queue) count(of duty, by int) {
	switch of {
	case onDuty:
		q.atWork += by
	case stuck:
		q.stucks += by
	}
}

// take takes who is next, nil if nobody waits.
func (q *queue) take(w *worker) *Conn {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.shift(w, onDuty)
	if q.next == len(q.conns) {
		return nil
	}
	c := q.conns[q.next]
	q.conns[q.next] = nil
	q.taken++
	w.taken++
	if q.next++; q.next == len(q.conns) {
		q.next = 0
		if q.conns = q.conns[:0]; cap(q.conns) > queueKept {
			q.conns = nil
		}
	}
	return c
}

// leave lets another worker take on while one waits. It returns how many are to be started.
func (q *queue) leave(w *worker) (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.shift(w, away)
	return q.staff()
}

// back is the end of leave.
func (q *queue) back(w *worker) {
	q.mu.Lock()
	q.shift(w, onDuty)
	q.mu.Unlock()
}

// look does not count on workers any more who are at the same connection for stuckTime
// while others wait, and opens the queue if those are many, or nobody took any for stillTime.
// It returns when to look again, see clock; 0: not before something is added. Any door.
func (q *queue) look(now int64) (by int64) {
	q.mu.Lock()
	n, waits := 0, len(q.conns)-q.next
	if waits == 0 || q.moved != q.taken {
		q.moved, q.movedAt = q.taken, now
	}
	switch {
	case waits == 0:
		q.since = 0
	case q.since == 0:
		q.note(now)
	case now-q.since >= q.stuck:
		for _, w := range q.workers {
			if w.duty == onDuty && w.seen == w.taken {
				q.shift(w, stuck)
			}
		}
		switch {
		case now < q.open: // each has a worker
		case q.stucks > q.many || now-q.movedAt >= q.still:
			q.opened.Add(1)
			q.open = now + openTime
			n = q.hire(waits)
		default:
			n = q.staff()
		}
		q.note(now)
	}
	if q.since != 0 {
		by = q.since + q.stuck
	}
	q.mu.Unlock()
	q.start(n)
	return by
}

// note notes how far all are. The caller holds mu.
func (q *queue) note(now int64) {
	q.since = now
	for _, w := range q.workers {
		w.seen = w.taken
	}
}

// BeginWait is told by whoever serves the connection that it is about to wait for something
// else than the connection, so that no other waits behind it. If it returns true, EndWait
// must be called when that is over. It costs nothing worth mentioning.
func (c *Conn) BeginWait() bool {
	q, n := &c.door.gate.queue, 0
	c.mu.Lock()
	begins := c.worker != nil && !c.waiting
	if begins {
		c.waiting = true
		n = q.leave(c.worker) // under mu: whoever else waits here, it still is this one's worker
	}
	c.mu.Unlock()
	q.start(n)
	return begins
}

// EndWait is the end of [Conn.BeginWait], if that returned true: from the same goroutine.
func (c *Conn) EndWait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = false
	if c.worker != nil {
		c.door.gate.queue.back(c.worker) // under mu, as in BeginWait
	}
}
