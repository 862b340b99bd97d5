package loop

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/actor"
)

// counted counts the passes of a loop.
type counted struct {
	*behavior
	passes *atomic.Int64
}

func (c counted) Begin() {
	c.passes.Add(1)
	c.behavior.Begin()
}

// newCounted starts a loop whose passes are counted.
func newCounted(t *testing.T, opt Options) (*harness, *atomic.Int64) {
	t.Helper()
	passes := new(atomic.Int64)
	opt.Verify = true
	return startGroup(t, 1, opt, func(l *Loop) {
		pool, err := actor.NewPool(1)
		require.NoError(t, err)
		t.Cleanup(pool.Release)
		l.actor = actor.New[Task](pool, counted{(*behavior)(l), passes})
	}), passes
}

// fallBehind makes a client that does not read one whose queue windows wait for.
func (h *harness) fallBehind(clients ...*client) (sent []string) {
	h.t.Helper()
	h.do(func(l *Loop) {
		for _, c := range clients {
			all := c.fill(l, 500)
			for n := range 2 * behindItems {
				text := fmt.Sprint(n, strings.Repeat("b", 500))
				l.Send(c.ref.Slot, frameOf("", text), NoID)
				all += wire(c.framing, "", text)
			}
			sent = append(sent, all)
		}
	})
	return sent
}

// hold keeps the next window from being taken until the clients that are behind have
// caught up: they are most, and look as if they took something all the time.
func (h *harness) hold(clients ...*client) (sent []string) {
	h.t.Helper()
	sent = h.fallBehind(clients...)
	h.do(func(l *Loop) {
		for _, c := range clients {
			l.queues[l.at(c.ref.Slot).queue-1].since = l.fair + int64(time.Hour)
		}
	})
	return sent
}

func (h *harness) held() (held bool) {
	h.do(func(l *Loop) { held = l.in.hold.on })
	return held
}

// A loop that waits goes on by itself, and does little meanwhile.
func TestAWaitThatIsOverEndsByItself(t *testing.T) {
	h, passes := newCounted(t, Options{QueueMaxSize: 1 << 30})
	stalled := h.openTiny(unixPair, codec.FramingChunked)
	clients := []*client{h.open(unixPair, codec.FramingChunked), h.open(tcpPair, codec.FramingChunked)}
	for round := range 3 {
		h.await("an allowance", func() bool {
			full := false
			h.do(func(l *Loop) { full = l.in.hold.all.left(l.unheld()) >= patienceMax/5 })
			return full
		})
		h.fallBehind(stalled)
		before := h.group.Stats()
		began, was := time.Now(), passes.Load()
		text := fmt.Sprint("round ", round)
		h.l.Deliver(toAll(clients, frameOf("", text)))
		for _, c := range clients { // and nobody asks the loop for anything
			c.expect(wire(c.framing, "", text))
		}
		took, did := time.Since(began), passes.Load()-was
		require.LessOrEqual(t, did, 20+2*int64(took)/askEvery, "expected a pass now and then in %v", took)
		s := h.group.Stats()
		require.Equal(t, before.Holds+1, s.Holds)
		require.LessOrEqual(t, s.GivenUp, before.GivenUp+1, "unless it counted as stalled first")
		require.Greater(t, s.Held, before.Held)
		require.LessOrEqual(t, s.Held-before.Held, took)
		stalled.close()
		h.awaitClosed(stalled, ReasonClientGone)
		stalled = h.openTiny(unixPair, codec.FramingChunked)
	}
}

// A loop without any timer that waits for blocked streams must wake its poller, too.
func TestAWaitWakesAnIdlePoller(t *testing.T) {
	h := newHarness(t, Options{QueueMaxSize: 1 << 30, QueueMaxAge: 10 * time.Second})
	stalled := h.openTiny(unixPair, codec.FramingChunked) // all there is
	h.fallBehind(stalled)
	h.do(func(l *Loop) { // the timer of its age, which is the poller's only reason
		l.setTimer(stalled.ref.Slot, 0)
		require.Zero(t, l.wheel.count)
	})
	h.await("a poller without timers", func() bool { return !h.l.poller.timers.Load() })
	done := make(chan struct{})
	h.l.Deliver(&parcel{size: 1, run: func(*Loop) { close(done) }})
	<-done
	require.EqualValues(t, 1, h.group.Stats().Holds)
	h.do(func(l *Loop) { l.setTimer(stalled.ref.Slot, 0) }) // set anew when the stream was asked
	h.await("a poller without timers again", func() bool { return !h.l.poller.timers.Load() })
}

// Tasks and timers do not wait, and what they send leaves.
func TestALoopThatWaitsDoesTheRest(t *testing.T) {
	h := newHarness(t, Options{QueueMaxSize: 1 << 30})
	slow := []*client{h.openTiny(unixPair, codec.FramingChunked), h.openTiny(tcpPair, codec.FramingChunked)}
	other := h.open(unixPair, codec.FramingChunked)
	sent := h.hold(slow...)
	h.l.Deliver(toAll(append(slow, other), frameOf("", "held")))
	h.await("a wait", h.held)
	h.rec.onTimer = func(ref Ref) {
		if !h.l.in.hold.on {
			t.Error("expected the timer while deliveries wait")
		}
		h.l.Send(ref.Slot, frameOf("", "a ping"), NoID)
	}
	for range 3 {
		h.do(func(l *Loop) { l.SetTimer(other.ref.Slot, l.Now()+1) })
		other.expect(wire(other.framing, "", "a ping"))
		h.alive(other)
		require.True(t, h.held())
		require.Equal(t, 1, h.l.Deliveries())
	}
	for i, c := range slow {
		c.expect(sent[i])
	}
	for _, c := range append(slow, other) {
		c.expect(wire(c.framing, "", "held"))
	}
	require.False(t, h.held())
	require.Zero(t, h.group.Stats().GivenUp)
}

// The last stream that is behind ends the wait: no clock is asked.
func TestAWaitEndsWithTheReadinessOfTheLast(t *testing.T) {
	for name, end := range map[string]func(h *harness, c *client, sent string){
		"read": func(_ *harness, c *client, sent string) { c.expect(sent) },
		"left": func(h *harness, c *client, _ string) { c.close() },
		"closed": func(h *harness, c *client, _ string) {
			h.do(func(l *Loop) { l.Close(c.ref, ReasonExpired, nil, patience) })
		},
		"cut": func(h *harness, c *client, _ string) { h.do(func(l *Loop) { l.Cut(c.ref, ReasonExpired) }) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, Options{QueueMaxSize: 1 << 30})
			h.giveTime()
			slow, other := h.openTiny(unixPair, codec.FramingChunked), h.open(unixPair, codec.FramingChunked)
			sent := h.hold(slow)
			h.l.Deliver(toAll([]*client{other}, frameOf("", "held")))
			h.await("a wait", h.held)
			// From here on the clock gives no reason to look again.
			h.do(func(l *Loop) {
				require.True(t, l.in.hold.on)
				l.in.hold.most, l.in.hold.wakeAt = l.now+int64(time.Hour), l.now+int64(time.Hour)
			})
			end(h, slow, sent[0])
			other.expect(wire(other.framing, "", "held"))
		})
	}
}

// What is due does not come nearer with each pass of a wait: the poller need not be woken.
func TestAWaitWakesThePollerOnce(t *testing.T) {
	r := newHoldRig(t, 1, 10, Options{QueueMaxAge: time.Hour})
	r.l.in.wrote = 10 * ms
	wakes := 0
	r.window()
	for now := began; now < began+29*ms; now += ms {
		before := r.l.holdAt.Load()
		require.False(t, r.at(now))
		if at := r.l.holdAt.Load(); before == 0 || at < before {
			wakes++
		}
	}
	require.LessOrEqual(t, wakes, 2)
}

// Other loops may make room: a wait for the sake of memory looks whether they did.
func TestAWaitForMemoryEndsWithTheShortage(t *testing.T) {
	r := newHoldRig(t, 0, 10, Options{QueueMaxAge: time.Hour})
	r.clients[0].fill(r.l, 500)
	r.l.in.wrote = sec
	r.l.total.Store(r.l.opt.QueuesMaxTotal + 1<<20)
	r.window()
	require.False(t, r.at(began))
	r.l.total.Store(0)
	now := began
	for ; !r.at(now); now += 10 * ms {
	}
	require.LessOrEqual(t, now-began, 2*int64(wheelTick))
}

// The end of a stream may end others that the loop was about to ask.
func TestAStreamThatEndsWhileOthersAreAsked(t *testing.T) {
	l, rec := bareLoop(t, Options{QueueMaxSize: 1 << 30, QueueMaxAge: time.Hour})
	r := &holdRig{t: t, l: l}
	setClock(l, began)
	for range 10 {
		r.clients = append(r.clients, adopt(t, l, unixPair, true))
	}
	l.in.hold.spanned, l.in.hold.active = began, [2]int{0, 10}
	a, b := r.clients[0], r.clients[1]
	r.putBehind(a, 500)
	r.putBehind(b, 500)
	rec.onClosed = func(ref Ref, _ Reason) {
		if ref == a.ref {
			l.Cut(b.ref, ReasonDisconnect)
		}
	}
	require.NoError(t, a.conn.Close()) // the next write fails
	r.window()
	require.True(t, r.at(began))
	require.Len(t, rec.reasons(b.ref), 1)
}
