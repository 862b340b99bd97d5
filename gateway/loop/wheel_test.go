package loop

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pretend gives a loop that never runs a stream without a socket.
func pretend(l *Loop) Ref {
	slot := l.newSlot()
	l.at(slot).state = stateLive
	return Ref{slot, l.at(slot).gen}
}

// moveTo sets the clock of a loop that never runs and lets its timers fire.
func moveTo(l *Loop, ns int64) {
	l.now, l.fair = ns, ns
	if ticksAt(l.now) > l.wheel.tick {
		l.advance()
	}
}

// Thousands of timers, set, moved and cleared at random over many revolutions
// of the wheel, against a model that looks at all of them in every step.
func TestTimersFireOnceAndNeverEarly(t *testing.T) {
	for seed := range uint64(6) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		l, rec := bareLoop(t, Options{})
		due := make(map[Ref]int64) // the model
		var refs []Ref
		for range 3000 {
			refs = append(refs, pretend(l))
		}
		set := func(ref Ref, ns int64) {
			l.SetTimer(ref.Slot, ns)
			if delete(due, ref); ns > 0 {
				due[ref] = ns
			}
		}
		rec.onTimer = func(ref Ref) {
			want, ok := due[ref]
			if !ok {
				t.Fatalf("stream %v: expected no timer", ref)
			}
			if l.Now() < want {
				t.Fatalf("stream %v: fired at %d, before %d", ref, l.Now(), want)
			}
			delete(due, ref)
			if rnd.IntN(3) == 0 { // from inside: itself and another
				set(ref, l.Now()+rnd.Int64N(3*revolution))
				set(refs[rnd.IntN(len(refs))], l.Now()+rnd.Int64N(revolution/8))
			}
		}
		now := int64(0)
		for range 400 {
			for range 20 {
				set(refs[rnd.IntN(len(refs))], anyTime(rnd, now))
			}
			checkDue(t, l, due)
			now += rnd.Int64N([...]int64{revolution, 2 * int64(wheelTick), 40 * int64(wheelTick)}[min(rnd.IntN(6), 2)])
			before := l.wheel.tick
			moveTo(l, now)
			require.Equal(t, max(before, ticksAt(now)), l.wheel.tick)
			for ref, ns := range due {
				// What was due a tick ago must have fired; what was set
				// into the past fires with the next tick.
				if ns <= now-2*int64(wheelTick) && l.at(ref.Slot).timer.due <= l.wheel.tick {
					t.Fatalf("stream %v: expected the timer of %d fired by %d", ref, ns, now)
				}
			}
		}
		moveTo(l, now+6*revolution)
		for len(due) > 0 && now < 1000*revolution {
			now += revolution
			moveTo(l, now)
		}
		require.Empty(t, due, "expected no timer lost")
		require.Zero(t, l.wheel.count)
		require.Zero(t, l.wheel.nextDue())
	}
}

// checkDue compares what the wheel counts and wants next with the model.
func checkDue(t *testing.T, l *Loop, due map[Ref]int64) {
	t.Helper()
	require.Equal(t, len(due), l.wheel.count)
	first := uint64(0)
	for _, ns := range due {
		if at := max(tickAfter(ns), l.wheel.tick+1); first == 0 || at < first {
			first = at
		}
	}
	next := l.wheel.nextDue()
	if first == 0 {
		require.Zero(t, next)
		return
	}
	require.Greater(t, next, int64(l.wheel.tick)*int64(wheelTick))
	require.LessOrEqual(t, next, int64(first)*int64(wheelTick), "expected the wheel to ask for a turn in time")
}

func TestATimerFiresOnTime(t *testing.T) {
	f := func(now, at int64, early, late int64) {
		t.Helper()
		l, rec := bareLoop(t, Options{})
		moveTo(l, now)
		ref := pretend(l)
		l.SetTimer(ref.Slot, at)
		moveTo(l, early)
		require.Empty(t, rec.fired(ref), "expected no timer at %d", early)
		moveTo(l, late)
		require.Len(t, rec.fired(ref), 1, "expected the timer by %d", late)
		moveTo(l, late+int64(time.Hour))
		require.Len(t, rec.fired(ref), 1, "expected the timer once")
	}
	tick, rev := int64(wheelTick), int64(wheelTick)*wheelSize
	f(0, 1, 0, tick)
	f(0, tick, tick-1, tick)
	f(0, tick+1, 2*tick-1, 2*tick)
	f(7*tick+3, 7*tick+4, 8*tick-1, 8*tick)
	f(0, rev, rev-1, rev)
	f(3*tick, rev+3*tick, rev+3*tick-1, rev+3*tick)
	f(5, 10*rev+tick, 10*rev+tick-1, 10*rev+tick)
	f(5, 10*rev+tick, 9*rev+tick, 10*rev+tick)
	f(100*rev+9, 100*rev+10, 100*rev+tick-1, 100*rev+tick)
	f(rev, 1, rev, rev+tick) // past
}

func TestTheWheelAsksForTheTurnOfItsFirstTimer(t *testing.T) {
	rnd := rand.New(rand.NewPCG(8, 8))
	l, _ := bareLoop(t, Options{})
	first, second := pretend(l), pretend(l)
	now := int64(0)
	for range 3000 {
		now += rnd.Int64N(100 * int64(wheelTick))
		moveTo(l, now)
		near := l.wheel.tick + 1 + uint64(rnd.IntN(wheelSize))
		l.SetTimer(first.Slot, int64(near)*int64(wheelTick))
		l.SetTimer(second.Slot, 0)
		if rnd.IntN(2) == 0 {
			l.SetTimer(second.Slot, int64(near+uint64(rnd.IntN(wheelSize)))*int64(wheelTick))
		}
		got := l.wheel.nextDue()
		if l.at(second.Slot).timer.due > l.wheel.tick+wheelSize {
			// A timer a revolution away may ask early, never late.
			require.LessOrEqual(t, got, int64(near)*int64(wheelTick))
		} else {
			require.Equal(t, int64(near)*int64(wheelTick), got)
		}
	}
}

func TestSetTimerReplacesAndClears(t *testing.T) {
	l, rec := bareLoop(t, Options{})
	ref := pretend(l)
	l.SetTimer(ref.Slot, int64(time.Second))
	l.SetTimer(ref.Slot, int64(3*time.Second))
	moveTo(l, int64(2*time.Second))
	require.Empty(t, rec.fired(ref))
	l.SetTimer(ref.Slot, 0)
	moveTo(l, int64(5*time.Second))
	require.Empty(t, rec.fired(ref))
	l.SetTimer(ref.Slot, -1)
	require.Zero(t, l.wheel.count)
	l.SetTimer(ref.Slot, int64(6*time.Second))
	moveTo(l, int64(6*time.Second))
	require.Equal(t, []int64{int64(6 * time.Second)}, rec.fired(ref))
}

func TestATimerThatIsSetAgainAndAgainFires(t *testing.T) {
	h := newHarness(t, Options{})
	const streams, rounds = 200, 4
	var clients []*client
	early := 0
	asked := make(map[Ref]int64)
	again := func(l *Loop, ref Ref) {
		asked[ref] = l.Now() + int64(ref.Slot%7)*int64(10*time.Millisecond) + 1
		l.SetTimer(ref.Slot, asked[ref])
	}
	h.rec.onTimer = func(ref Ref) {
		if h.l.Now() < asked[ref] {
			early++
		}
		if len(h.rec.timers[ref]) < rounds {
			again(h.l, ref)
		}
	}
	for range streams {
		clients = append(clients, h.open(unixPair, 0))
	}
	h.do(func(l *Loop) {
		for _, c := range clients {
			again(l, c.ref)
		}
	})
	for _, c := range clients {
		h.await("all rounds", func() bool { return len(h.rec.fired(c.ref)) == rounds })
	}
	h.do(func(*Loop) {
		if early > 0 {
			t.Errorf("expected no timer before its time, %d were", early)
		}
	})
}

// With no timer set the poller sleeps for good: the first timer must wake it.
func TestTheFirstTimerOfAnIdleLoopFires(t *testing.T) {
	h := newHarness(t, Options{})
	c := h.open(unixPair, 0)
	for n := range 4 {
		h.do(func(l *Loop) { l.SetTimer(c.ref.Slot, l.Now()+1) })
		h.await("the timer", func() bool { return len(h.rec.fired(c.ref)) == n+1 })
		h.await("a loop without timers", func() bool { return h.l.dueAt.Load() == 0 && !h.l.poller.timers.Load() })
	}
}

func TestAStreamThatEndsTakesItsTimerAlong(t *testing.T) {
	h := newHarness(t, Options{})
	a, b := h.open(unixPair, 0), h.open(unixPair, 0)
	h.do(func(l *Loop) {
		at := l.Now() + int64(100*time.Millisecond)
		l.SetTimer(a.ref.Slot, at)
		l.SetTimer(b.ref.Slot, at)
		l.Close(a.ref, ReasonExpired, nil, patience)
		l.SetTimer(a.ref.Slot, at) // closing: none
	})
	h.await("the timer of the other stream", func() bool { return len(h.rec.fired(b.ref)) == 1 })
	require.Empty(t, h.rec.fired(a.ref))
}

// revolution is how long the wheel takes to go round.
const revolution = int64(wheelSize) * int64(wheelTick)

// anyTime returns when a timer may be due: mostly soon, or in the past, far away, never.
func anyTime(rnd *rand.Rand, now int64) int64 {
	switch rnd.IntN(8) {
	case 0:
		return 0
	case 1:
		return now + rnd.Int64N(5*revolution)
	case 2:
		return max(now-rnd.Int64N(revolution), 1)
	}
	return now + 1 + rnd.Int64N(revolution/4)
}
