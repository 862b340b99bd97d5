package loop

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

func TestDoRunsOnEveryLoopAndWaits(t *testing.T) {
	h := newGroup(t, 4, Options{})
	for range 200 {
		ran := make([]int, 4)
		h.group.Do(func(l *Loop) { ran[l.ID()]++ })
		require.Equal(t, []int{1, 1, 1, 1}, ran)
	}
	var wg sync.WaitGroup
	for range 8 { // at once, each with its own answer
		wg.Go(func() {
			for range 100 {
				n := make([]int, 4)
				h.group.Do(func(l *Loop) { n[l.ID()] = l.ID() + 1 })
				if n[0]+n[1]+n[2]+n[3] != 10 {
					t.Errorf("expected every loop's part, got %v", n)
				}
			}
		})
	}
	wg.Wait()
}

func TestDoReturnsWhenItsFunctionPanics(t *testing.T) {
	h := newGroup(t, 2, Options{})
	h.group.Do(func(l *Loop) {
		if l.ID() == 1 {
			panic("in Do")
		}
	})
	h.wantPanics(1, "in Do")
}

func TestPickTakesLoopsInTurn(t *testing.T) {
	h := newGroup(t, 3, Options{})
	seen := make(map[*Loop]int)
	for range 30 {
		seen[h.group.Pick()]++
	}
	for _, l := range h.group.Loops {
		require.Equal(t, 10, seen[l])
	}
}

func TestStatsSumTheLoops(t *testing.T) {
	h := newGroup(t, 3, Options{Verify: true})
	var clients []*client
	for i := range 7 {
		c := h.openOn(h.group.Loops[i%3], unixPair, 0, false)
		clients = append(clients, c)
		h.alive(c)
	}
	blocked := h.openOn(h.group.Loops[2], unixPair, 0, true)
	h.block(blocked, 3000)
	s := h.group.Stats()
	require.Equal(t, 8, s.Open)
	require.Equal(t, 1, s.Blocked)
	require.EqualValues(t, 8, s.Adopted)
	require.NotZero(t, s.QueuedBytes)
	clients[0].close()
	clients[1].close()
	h.awaitStats("two ends", func(s Stats) bool { return s.Closes[ReasonClientGone] == 2 && s.Open == 6 })

	var sum Stats
	one := Stats{Open: 1, Blocked: 2, QueuedBytes: 3, Writes: 4, Again: 5, Bytes: 6, Frames: 7, Dropped: 8, Stale: 9, Panics: 10, Adopted: 11}
	one.Closes[reasonCount-1] = 12
	sum.Add(&one)
	sum.Add(&one)
	two := Stats{Open: 2, Blocked: 4, QueuedBytes: 6, Writes: 8, Again: 10, Bytes: 12, Frames: 14, Dropped: 16, Stale: 18, Panics: 20, Adopted: 22}
	two.Closes[reasonCount-1] = 24
	require.Equal(t, two, sum)
}

func TestDrainedWaitsForTheLastStream(t *testing.T) {
	h := newHarness(t, Options{})
	require.NoError(t, h.group.Drained(0))
	c := h.open(unixPair, 0)
	require.ErrorIs(t, h.group.Drained(20*time.Millisecond), ErrStreamsLeft)
	go func() {
		h.do(func(l *Loop) { l.Close(c.ref, ReasonShutdown, nil, patience) })
		_, _ = c.rest()
		_ = c.conn.Close()
	}()
	require.NoError(t, h.group.Drained(patience))
	require.Equal(t, []Reason{ReasonShutdown}, c.rec.reasons(c.ref))
}

// The harness checks for leaks and for counters that are not 0 again.
func TestStopCutsWhatIsLeft(t *testing.T) {
	h := newGroup(t, 2, Options{Verify: true})
	idle := h.openOn(h.group.Loops[0], tcpPair, 0, false)
	blocked := h.openOn(h.group.Loops[1], unixPair, 0, true)
	closing := h.openOn(h.group.Loops[1], unixPair, 0, true)
	lingering := h.openOn(h.group.Loops[0], unixPair, 0, false)
	h.block(blocked, 3000)
	h.block(closing, 3000)
	h.on(closing.l, func(l *Loop) { l.Close(closing.ref, ReasonExpired, nil, patience) })
	h.on(lingering.l, func(l *Loop) { l.Close(lingering.ref, ReasonExpired, nil, patience) })
	h.on(idle.l, func(l *Loop) { l.SetTimer(idle.ref.Slot, l.Now()+int64(time.Hour)) })
	h.end()
	require.Equal(t, []Reason{ReasonShutdown}, idle.rec.reasons(idle.ref))
	require.Equal(t, []Reason{ReasonShutdown}, blocked.rec.reasons(blocked.ref))
	require.Equal(t, []Reason{ReasonExpired}, closing.rec.reasons(closing.ref))
	idle.expectEnd("")
}

func TestStopCutsAllThoughTheHandlerPanics(t *testing.T) {
	h := newHarness(t, Options{})
	clients := h.openMany(20)
	h.rec.onClosed = func(ref Ref, _ Reason) {
		if ref.Slot%3 == 1 {
			panic("in Closed")
		}
	}
	h.stopped = true
	h.group.Stop()
	require.NotEmpty(t, h.takePanics())
	for _, c := range clients {
		require.Equal(t, []Reason{ReasonShutdown}, c.rec.reasons(c.ref))
	}
	h.pool.Release()
	checkEmpty(t, h.l)
}

// Readiness, posts and timers come until the very end.
func TestStopUnderLoadLeavesNothing(t *testing.T) {
	for range 20 {
		h := newGroup(t, 2, Options{Verify: true})
		var clients []*client
		for i := range 20 {
			c := h.openOn(h.group.Loops[i%2], unixPair, 0, i%3 == 0)
			h.on(c.l, func(l *Loop) { l.SetTimer(c.ref.Slot, l.Now()+int64(i)*int64(time.Millisecond)) })
			clients = append(clients, c)
		}
		var wg sync.WaitGroup
		f := frameOf("", strings.Repeat("l", 500))
		wg.Go(func() {
			for n := range 100 {
				for _, l := range h.group.Loops {
					l.Post(funcTask(func(l *Loop) {
						for i, c := range clients {
							if c.l == l && l.Live(c.ref) {
								l.Send(c.ref.Slot, f, NoID)
								if n == 50+i {
									l.Close(c.ref, ReasonDisconnect, nil, patience)
								}
							}
						}
					}))
				}
			}
		})
		wg.Go(func() {
			for i, c := range clients {
				if i%4 == 0 {
					_ = c.conn.Close()
				}
			}
		})
		wg.Wait()
		h.end()
		for _, c := range clients {
			_ = c.conn.Close()
		}
	}
}

// A frame that every stream has written is garbage: no queue, scratch list or
// inbox keeps it.
func TestAWrittenFrameIsFreed(t *testing.T) {
	h := newGroup(t, 1, Options{})
	clients := h.openMany(5)
	var frames []weak.Pointer[codec.Frame]
	id := []byte(ending(codec.FramingChunked, "1"))
	for range 50 {
		f := frameOf("shared", strings.Repeat("g", 100))
		frames = append(frames, weak.Make(f))
		h.do(func(l *Loop) {
			for i, c := range clients {
				if i == 0 {
					l.SendOwnID(c.ref.Slot, f, id)
				} else {
					l.Send(c.ref.Slot, f, SharedID)
				}
			}
		})
	}
	h.awaitStats("all of it written", func(s Stats) bool { return s.Frames == 250 })
	h.do(func(*Loop) {}) // the inbox forgets the last task
	h.await("no frame in memory", func() bool {
		runtime.GC()
		for _, p := range frames {
			if p.Value() != nil {
				return false
			}
		}
		return true
	})
}

func TestOptionsHaveDefaults(t *testing.T) {
	got := Options{}.withDefaults()
	require.Equal(t, Options{
		QueueMaxSize: 1 << 20, QueueMaxAge: 30 * time.Second, QueuesMaxTotal: 1 << 30,
	}, got)
	set := Options{QueueMaxSize: 1, QueueMaxAge: 2, QueuesMaxTotal: 3}
	require.Equal(t, set, set.withDefaults())
}

func TestTheClockOfALoop(t *testing.T) {
	h := newHarness(t, Options{})
	var now int64
	h.do(func(l *Loop) { now = l.Now() })
	require.Positive(t, now)
	h.do(func(l *Loop) {
		if l.Now() <= now {
			t.Errorf("expected the clock to go on, %d after %d", l.Now(), now)
		}
	})
}

func TestDoBehindFindsWhatWasQueuedBefore(t *testing.T) {
	h := newGroup(t, 2, Options{QueueMaxSize: 1 << 30, Verify: true})
	clients := []*client{h.openOn(h.group.Loops[0], unixPair, 0, true), h.openOn(h.group.Loops[1], unixPair, 0, true)}
	for _, c := range clients {
		h.block(c, 500)
	}
	queued := func(l *Loop) int { return len(l.queues[l.at(clients[l.ID()].ref.Slot).queue-1].items) }
	for n := range behindItems / 2 { // of more the next window would wait for long
		var before, found [2]int
		h.group.Do(func(l *Loop) { before[l.ID()] = queued(l) })
		for _, c := range clients {
			c.l.Deliver(toAll([]*client{c}, frameOf("", fmt.Sprint(n))))
		}
		require.NoError(t, h.group.DoBehind(t.Context(), func(l *Loop) { found[l.ID()] = queued(l) }))
		require.Equal(t, [2]int{before[0] + 1, before[1] + 1}, found)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for n := range 300 {
				var ran, found [2]int
				for _, l := range h.group.Loops {
					for range n % 7 {
						l.Deliver(&parcel{run: func(l *Loop) { ran[l.ID()]++ }})
					}
				}
				err := h.group.DoBehind(t.Context(), func(l *Loop) { found[l.ID()] = ran[l.ID()] })
				if err != nil || found != [2]int{n % 7, n % 7} {
					t.Errorf("expected all %d taken before, got %v, %v", n%7, found, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestDoBehindEndsWithItsContext(t *testing.T) {
	h := newGroup(t, 2, Options{Verify: true})
	started, gate := make(chan struct{}), make(chan struct{})
	h.group.Loops[1].Post(funcTask(func(*Loop) { close(started); <-gate }))
	<-started
	cause := fmt.Errorf("a cause")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	ran := make(chan int, 2)
	require.Equal(t, cause, h.group.DoBehind(ctx, func(l *Loop) { ran <- l.ID() }))
	close(gate)
	require.ElementsMatch(t, []int{0, 1}, []int{<-ran, <-ran}, "it runs later")
	// A panic of the function is no reason to wait for ever.
	require.NoError(t, h.group.DoBehind(t.Context(), func(l *Loop) { panic("in DoBehind") }))
	h.wantPanics(2, "in DoBehind")
}

func TestTurnsTellsOfALoopThatIsStuck(t *testing.T) {
	h := newGroup(t, 3, Options{})
	require.NoError(t, h.group.Turns(context.Background()))
	stuck, free := make(chan struct{}), make(chan struct{})
	h.group.Loops[1].Post(funcTask(func(*Loop) { close(stuck); <-free }))
	<-stuck
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	err := h.group.Turns(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "loop 1 does not turn")
	close(free)
	require.NoError(t, h.group.Turns(context.Background()))
}
