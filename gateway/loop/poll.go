package loop

import (
	"sync"
	"time"
)

// pollMost is how much one wait tells at most.
const pollMost = 128

// event is what the poller says of one stream.
type event struct {
	slot, gen                  uint32
	readable, writable, hangup bool
}

// pollCap bounds one wait while timers are set, so that the turn need not wake the
// poller for each timer it sets.
const pollCap = 50 * time.Millisecond

// poll waits for readiness and passes it on as tasks: the loop's only goroutine
// of its own.
func (l *Loop) poll() {
	defer l.wg.Done()
	for {
		r := readyPool.Get().(*ready)
		most := l.poller.atMost()
		if at := l.holdAt.Load(); at != 0 && most != 0 {
			most = min(most, max(time.Duration(at-l.clock()), time.Millisecond))
		}
		l.still.begin(l.clock, most)
		n, closed := l.poller.wait(&r.events, most)
		l.still.end(l.clock)
		if closed {
			return
		}
		r.n, r.walk = n, Walk{}
		due := l.dueAt.Load()
		if n > 0 || due != 0 && l.clock() >= due {
			l.Post(r)
			continue
		}
		readyPool.Put(r)
	}
}

// ready is a batch of readiness on its way from the poller to the turn.
type ready struct {
	events [pollMost]event
	n      int
	walk   Walk
}

var readyPool = sync.Pool{New: func() any { return new(ready) }}

// Run implements Task.
func (r *ready) Run(l *Loop) {
	l.Walk(&r.walk, func() {
		for r.walk.Next(r.n) {
			l.handleReady(&r.events[r.walk.Step()])
		}
	})
	readyPool.Put(r)
}

// handleReady treats what epoll said about one stream. Writability comes first:
// a client that sent its end may still read what is queued. Then input is
// drained, and only then is a hang-up taken as the end.
func (l *Loop) handleReady(ev *event) {
	s := l.at(ev.slot)
	if s.gen != ev.gen || s.state == stateFree {
		l.stats.Stale++
		return
	}
	l.cur = ev.slot + 1
	if ev.writable && s.blocked && l.waits(s) {
		l.flushWritable(ev.slot)
	}
	if s.gen == ev.gen && ev.readable {
		l.readInput(ev.slot)
	}
	if s.gen == ev.gen && ev.hangup {
		l.fail(ev.slot, ReasonClientGone)
	}
	l.cur = 0
}

// flushWritable writes until the socket is full again or the queue is empty:
// with edge-triggered epoll nothing else will say that there is room.
func (l *Loop) flushWritable(slot uint32) {
	s := l.at(slot)
	gen, patience, spent := s.gen, s.patience, s.spent
	l.pay(s) // before it is paid back for what it takes
	l.setBlocked(slot, false)
	before := l.stats.Bytes
	l.flushStream(slot)
	if s.gen != gen || s.state == stateFree {
		return
	}
	if l.stats.Bytes > before {
		s.stalled = false
	} else {
		s.patience, s.spent = patience, spent // it is still the same wait
	}
	if !s.blocked {
		if err := l.poller.watchWrite(int(s.fd), slot, s.gen, false); err != nil {
			l.fail(slot, ReasonWriteError)
			return
		}
		l.arm(slot)
		if s.queue != 0 {
			l.again(slot)
		}
	}
}

// armPoller says for how long the poller may wait for readiness. Waits of windows are
// short, and what they take too long somebody pays for.
func (l *Loop) armPoller() {
	at := l.in.hold.wakeAt
	l.poller.armed(at != 0 || l.wheel.count > 0 || l.shed.over)
	was := l.holdAt.Swap(at)
	if at > l.now && (was == 0 || at < was) && at-l.now < int64(pollCap) { // else there is another pass
		l.poller.wake()
	}
}

// nextDue returns when the loop wants a turn for the sake of time alone, 0 for
// never.
func (l *Loop) nextDue() int64 {
	due := l.wheel.nextDue()
	if at := l.in.hold.wakeAt; at != 0 && (due == 0 || at < due) {
		due = at
	}
	if at := l.shed.at + shedEvery; l.shed.over && (due == 0 || at < due) {
		due = at
	}
	return due
}

// stillness knows for how long the process stood still: it was stopped, or had no
// processor. Then its clients could not have been served, and what they did not take
// meanwhile is not their fault. It is seen by waits for readiness that took much longer
// than they might, and, while a window waits, by looks that were made too late.
type stillness struct {
	// Guarded by mu.
	mu    sync.Mutex
	stood int64 // in all, in nanoseconds
	until int64 // up to when that was counted
	timed bool  // the poller waits, for at most pollCap
	since int64 // since when
}

const (
	// standstill is how much longer than it may take a wait takes then.
	standstill = int64(500 * time.Millisecond)
	// overdue is how much too late a look is then. Why so much less: streams are offered
	// what they wait for, and pay for the time in between. With a tenth of a processor
	// looks that are due every 10 ms come every 100 to 500 ms, and who took all that it
	// was offered had no patience left after three of them.
	overdue = int64(wheelTick)
)

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
	now := clock()
	p.count(p.from(now), now)
	p.timed = false
}

// from returns since when the process stands still by a wait that is not over, now if it
// does not.
func (p *stillness) from(now int64) int64 {
	if might := p.since + int64(pollCap); p.timed && now-might > standstill {
		return might
	}
	return now
}

// count counts a standstill up to now, but for what of it was counted before; none if it
// begins now.
func (p *stillness) count(from, now int64) {
	if from = max(from, p.until); from < now {
		p.stood += now - from
		p.until = now
	}
}

// read returns the time, and the same without that in which the process stood still. due is
// when the turn was to look at the streams that a window waits for, 0 for never. A turn may
// run before the poller, and may be stopped between any two lines: so the clock is read
// under the lock.
func (p *stillness) read(clock func() int64, due int64) (now, fair int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now = clock()
	from := p.from(now)
	if due != 0 && now-due > overdue {
		from = min(from, due)
	}
	p.count(from, now)
	return now, now - p.stood
}
