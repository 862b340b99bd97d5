package loop

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stand is a standstill of the process, as poll notes it.
func stand(l *Loop, ns int64) { l.still.stood += ns }

// begin is the begin of a pass at a time.
func begin(l *Loop, ns int64) {
	l.start = time.Now().Add(-time.Duration(ns))
	(*behavior)(l).Begin()
}

// What the process stood still is no age of a stream.
func TestAStandstillDoesNotAgeStreams(t *testing.T) {
	l, rec := bareLoop(t, Options{QueueMaxAge: 10 * time.Second})
	begin(l, began)
	blocked, idle := adopt(t, l, unixPair, true), adopt(t, l, unixPair, true)
	blocked.fill(l, 500)
	require.False(t, l.aged(l.at(idle.ref.Slot)))
	now := began
	for range 20 { // each longer than the age
		now += 35 * sec
		stand(l, 34*sec+900*ms)
		begin(l, now)
		l.advance()
		require.Empty(t, rec.reasons(blocked.ref), "after %v", time.Duration(now-began))
	}
	require.InDelta(t, 2*sec, l.age(l.at(blocked.ref.Slot)), float64(sec/2))
	begin(l, now+9*sec)
	l.advance()
	require.Equal(t, []Reason{ReasonSlowAge}, rec.reasons(blocked.ref), "its own time is over")
}

// A turn may run before the poller knows that the process stood still: then a stream
// has taken less than no time, which must not end as a wait.
func TestAStandstillThatIsNotedLate(t *testing.T) {
	l, _ := bareLoop(t, Options{QueueMaxAge: time.Hour})
	begin(l, began)
	c := adopt(t, l, unixPair, true)
	begin(l, began+30*sec)
	c.fill(l, 500)
	stand(l, 30*sec)
	begin(l, began+31*sec)
	require.Negative(t, l.age(l.at(c.ref.Slot)))
	require.Zero(t, l.waited(l.at(c.ref.Slot)))
}

// The timer of a blocked stream may be ahead of the readiness that has come: whoever
// took something meanwhile is not slow.
func TestASocketIsAskedBeforeItsStreamIsSlow(t *testing.T) {
	for name, pair := range pairs {
		t.Run(name, func(t *testing.T) {
			l, rec := bareLoop(t, Options{QueueMaxAge: 10 * time.Second, Verify: true})
			setClock(l, began)
			reader, stalled := adopt(t, l, pair, true), adopt(t, l, pair, true)
			reader.fill(l, 3000)
			stalled.fill(l, 3000)
			reader.drainNow() // and the loop does not know yet
			moveTo(l, began+10*sec+2*int64(wheelTick))
			if name == "unix" { // others have buffers behind the one that is full
				require.Equal(t, []Reason{ReasonSlowAge}, rec.reasons(stalled.ref))
			}
			require.Empty(t, rec.reasons(reader.ref), "its socket had room")
			s := l.at(reader.ref.Slot)
			require.True(t, !l.waits(s) || l.age(s) == 0)
			l.fail(stalled.ref.Slot, ReasonShutdown)
			l.fail(reader.ref.Slot, ReasonShutdown)
			checkEmpty(t, l)
		})
	}
}

// drainNow reads what is there.
func (c *client) drainNow() {
	buf := make([]byte, 1<<20)
	for {
		if n, err := readNow(c.conn, buf); n == 0 || err != nil {
			return
		}
	}
}

// A turn that runs first behind a standstill knows of it, though the poller has not
// said so.
func TestATurnKnowsOfAStandstillBeforeThePoller(t *testing.T) {
	l, _ := bareLoop(t, Options{QueueMaxAge: time.Hour})
	f := func(polls, now, want int64) {
		t.Helper()
		l.still.timed, l.still.since = polls != 0, polls
		l.start = time.Now().Add(-time.Duration(now))
		(*behavior)(l).Begin()
		require.InDelta(t, want, l.now-l.fair, float64(sec), "polls since %v, now %v", time.Duration(polls), time.Duration(now))
	}
	f(0, 3600*sec, 0) // without timers a wait may take for ever
	f(100*sec, 100*sec, 0)
	f(100*sec, 100*sec+int64(pollCap), 0)
	f(100*sec, 130*sec, 30*sec)
	l.still.stood = 30 * sec // now the poller has said so, and waits again
	f(130*sec, 130*sec, 30*sec)
}

// The turn and the poller may look at a standstill at the same moment, in any order: it
// counts once.
func TestAStandstillCountsOnce(t *testing.T) {
	now := began
	clock := func() int64 { return now }
	var p stillness
	read := func(stood int64) {
		t.Helper()
		at, fair := p.read(clock, 0)
		require.Equal(t, now, at)
		require.Equal(t, now-stood, fair)
	}
	for round := range int64(3) {
		stood := round * (30*sec - int64(pollCap))
		p.begin(clock, pollCap)
		read(stood)
		now += int64(pollCap) + standstill
		read(stood) // a wait may be that late
		now += 30*sec - int64(pollCap) - standstill
		read(stood + 30*sec - int64(pollCap))
		p.end(clock)
		read(stood + 30*sec - int64(pollCap))
		now += 3600 * sec // the poller passes on what it has
		read(stood + 30*sec - int64(pollCap))
		p.begin(clock, 0) // nothing is due
		now += 3600 * sec
		p.end(clock)
		read(stood + 30*sec - int64(pollCap))
	}
}

// A look that is made too late is as if it were made in time, however many passes there are
// until then. That the poller was late, too, counts once.
func TestALookThatIsLateIsAStandstill(t *testing.T) {
	now := began
	clock := func() int64 { return now }
	var p stillness
	stood := int64(0)
	read := func(due, more int64) {
		t.Helper()
		stood += more
		_, fair := p.read(clock, due)
		require.Equal(t, now-stood, fair)
	}
	read(0, 0)
	due := now + 10*ms
	now = due + overdue
	read(due, 0) // it may be that late
	now += ms
	read(due, overdue+ms)
	read(due, 0)
	now += 5 * ms // another pass, which gave way to posts
	read(due, 5*ms)
	now += sec
	read(0, 0) // no window waits any more
	for _, first := range []string{"look", "poller"} {
		p.begin(clock, pollCap)
		due = now + 10*ms
		now += 10 * sec
		if first == "look" {
			read(due, 10*sec-10*ms)
			p.end(clock)
		} else {
			p.end(clock)
			read(due, 10*sec-int64(pollCap))
		}
		read(due, 0)
	}
}

// Who takes all that it is offered is not late, however seldom that is. Who takes nothing
// in time uses its patience up all the same.
func TestALookThatIsLateIsPaidByNobody(t *testing.T) {
	r := newHoldRig(t, 2, 10, Options{QueueMaxAge: time.Hour})
	reads, stalls := r.clients[0], r.clients[1]
	r.window()
	now := began
	look := func(after int64) {
		now += after
		begin(r.l, now)
		pass(r.l)
	}
	look(0)
	for range 20 {
		look(400 * ms)
		r.takes(reads, 100)
	}
	require.True(t, r.l.in.hold.on)
	require.Zero(t, r.l.stats.GivenUp)
	for !r.l.at(stalls.ref.Slot).late {
		require.Less(t, now, began+3600*sec)
		look(10 * ms)
		r.drain(reads)
	}
}
