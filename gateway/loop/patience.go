package loop

import "time"

// An allowance is an amount of nanoseconds that grows with time, by one in
// patienceGrows, up to patienceMax. It is kept as the time at which it was 0.
type allowance int64

// balance returns what there is of it, less than nothing if it is owed.
func (a allowance) balance(now int64) int64 {
	return min((now-int64(a))/patienceGrows, patienceMax)
}

// left returns what there is of it.
func (a allowance) left(now int64) int64 { return max(a.balance(now), 0) }

// set makes it n.
func (a *allowance) set(now, n int64) { *a = allowance(now - n*patienceGrows) }

// use takes n of it, at most all there is; less than nothing adds to it.
func (a *allowance) use(now, n int64) { a.set(now, max(min(a.left(now)-n, patienceMax), 0)) }

// owe takes n of it, also what there is not.
func (a *allowance) owe(now, n int64) { a.set(now, max(a.balance(now)-n, -patienceMax)) }

// newcomer returns how much of it a new stream has.
func (a allowance) newcomer(now int64) int64 {
	n := a.balance(now)
	if n < 0 {
		return patienceLeast + patienceLeast*n/patienceMax
	}
	return max(n, patienceLeast)
}

// stretch returns for how long the window waits for a stream with so much patience.
// Many that are behind at once may all have to wait for their turn to read, on a busy
// machine. Few that do not read must not hold publishers up.
func (h *hold) stretch(n int64) int64 {
	many := max(h.behind-1, max(h.active[0], h.active[1])/stretchActive)
	return n + n*int64(min(many, stretchMax*stretchEach))/stretchEach
}

// shorten returns what is left of so much patience where windows have waited at somebody's
// cost for a good part of the time: many that pause in turn have patience each, and
// together it would have no end. If they were waited for in turn and are most of those that
// deliveries go to, that is the pace of the streams, as if all were behind at once: clients
// on a busy machine.
func (l *Loop) shorten(n int64) int64 {
	if l.areMost(max(l.in.hold.waited[0], l.in.hold.waited[1])) {
		return n
	}
	pool := min(l.unheld()-l.in.hold.drained, poolMax)
	return n / 1000 * (max(pool, poolLeast) / 1000) / (poolMax / 1000) * 1000
}

// waited returns for how long a window has waited for a stream at its cost, since it
// last took something.
func (l *Loop) waited(s *stream) int64 { return max(min(l.age(s), l.fair-l.in.free()), 0) }

// pay takes from a blocked stream's patience what a window has waited for it since it last
// took something.
func (l *Loop) pay(s *stream) {
	if l.in.hold.on && s.blocked && l.behind(s) {
		waited := l.waited(s)
		s.patience.use(l.unheld(), waited)
		s.spent += waited
		if waited > 0 {
			l.countWaited(s)
		}
	}
}

// refund gives a stream patience back for bytes that it took, no more than it has spent
// since it last caught up.
func (l *Loop) refund(s *stream, bytes int) {
	n := min(int64(bytes)*int64(time.Second)/freeRate, s.spent)
	s.patience.use(l.unheld(), -n)
	s.spent -= n
}

// gone notes that a stream ends, or is late: it does not count as active, and what it
// has used up since it last caught up is taken from what all streams have together. Of
// those that windows wait for together it is taken when the wait ends, once.
func (l *Loop) gone(s *stream) {
	l.pay(s)
	if h := &l.in.hold; h.on {
		h.lost = max(h.lost, s.spent)
	} else if s.spent > 0 {
		h.all.owe(l.unheld(), s.spent)
	}
	s.spent = 0
	l.deactivate(s)
}

// unheld is the clock by which patience grows: it stands still while a window waits at
// somebody's cost. Otherwise some that trickle in turn could have as much patience as
// they use up, and windows would always wait.
func (l *Loop) unheld() int64 {
	h := &l.in.hold
	if !h.on {
		return l.fair - h.beyond
	}
	return min(l.fair, max(l.in.free(), h.since)) - h.beyond
}

// countActive begins a new span of counting those that deliveries go to, and those of them
// that windows wait for, if its time has come.
func (l *Loop) countActive() {
	h := &l.in.hold
	switch age := l.fair - h.spanned; {
	case age >= 2*activeSpan:
		h.active, h.waited, h.span, h.spanned = [2]int{}, [2]int{}, h.span+2, l.fair
	case age >= activeSpan:
		h.active, h.waited = [2]int{0, h.active[0]}, [2]int{0, h.waited[0]}
		h.span, h.spanned = h.span+1, l.fair
	}
}

// twice says for what a stream counted in two spans in a row.
type twice uint8

const (
	countedActive twice = 1 << iota
	countedWaited
)

func (c *twice) set(what twice, on bool) {
	*c &^= what
	if on {
		*c |= what
	}
}

// activate counts a stream that a delivery goes to.
func (l *Loop) activate(s *stream) {
	h := &l.in.hold
	if s.span != h.span && !s.late && s.state == stateLive {
		s.twice.set(countedActive, s.span == h.span-1 && s.span != 0)
		s.span = h.span
		h.active[0]++
	}
}

// shortSpan is the number of a span in a byte, never 0; it may meet one that is old, by
// which a stream is counted once too little.
func shortSpan(span uint32) uint8 { return uint8(span%255) + 1 }

// countWaited counts a stream that windows wait for at its cost.
func (l *Loop) countWaited(s *stream) {
	h := &l.in.hold
	if now := shortSpan(h.span); s.paid != now {
		s.twice.set(countedWaited, s.paid == shortSpan(h.span-1))
		s.paid = now
		h.waited[0]++
	}
}

// deactivate takes a stream out of the counts: it ends, or no window waits for it.
func (l *Loop) deactivate(s *stream) {
	h := &l.in.hold
	uncount := func(n *[2]int, last, before bool, what twice) {
		switch {
		case last:
			n[0] = max(n[0]-1, 0)
			if s.twice&what != 0 {
				n[1] = max(n[1]-1, 0)
			}
		case before:
			n[1] = max(n[1]-1, 0)
		}
	}
	uncount(&h.active, s.span == h.span, s.span == h.span-1 && s.span != 0, countedActive)
	uncount(&h.waited, s.paid == shortSpan(h.span), s.paid == shortSpan(h.span-1), countedWaited)
	s.span, s.paid, s.twice = 0, 0, 0
}
