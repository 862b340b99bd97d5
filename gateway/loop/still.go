package loop

import (
	"sync"
	"time"
)

// stillness knows for how long the process stood still: it was stopped, or had no
// processor. Then its clients could not have been served, and what they did not take
// meanwhile is not their fault. It is seen by waits for readiness that took much longer
// than they might.
type stillness struct {
	// Guarded by mu.
	mu    sync.Mutex
	stood int64 // in all, in nanoseconds
	timed bool  // the poller waits, for at most pollCap
	since int64 // since when
}

// standstill is how much longer than it may take a wait takes then.
const standstill = int64(500 * time.Millisecond)

// begin notes that the poller waits, for at most most, or without an end if that is 0.
func (p *stillness) begin(clock func() int64, most time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timed, p.since = most != 0, clock()
}

// end notes that it does not any more.
func (p *stillness) end(clock func() int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stood += p.late(clock())
	p.timed = false
}

// late returns for how long the process has stood still in a wait that is not over.
func (p *stillness) late(now int64) int64 {
	if late := now - p.since - int64(pollCap); p.timed && late > standstill {
		return late
	}
	return 0
}

// read returns the time, and the same without that in which the process stood still. A
// turn may run before the poller, and may be stopped between any two lines: so the clock
// is read under the lock.
func (p *stillness) read(clock func() int64) (now, fair int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now = clock()
	return now, now - p.stood - p.late(now)
}
