package loop

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// openMany opens n streams.
func (h *harness) openMany(n int) []*client {
	h.t.Helper()
	clients := make([]*client, n)
	for i := range clients {
		clients[i] = h.open(unixPair, codec.Framing(i%2))
	}
	return clients
}

// onlyOne checks that a panic ended one stream and no other.
func (h *harness) onlyOne(clients []*client, gone int) {
	h.t.Helper()
	h.awaitClosed(clients[gone], ReasonPanic)
	for i, c := range clients {
		if i != gone {
			h.alive(c)
		}
	}
	s := h.awaitStats("the slot free", func(s Stats) bool { return s.Open == len(clients)-1 })
	require.EqualValues(h.t, 1, s.Closes[ReasonPanic])
}

func TestAPanicInATaskEndsTheStreamInHand(t *testing.T) {
	h := newHarness(t, Options{})
	clients := h.openMany(5)
	h.l.Post(funcTask(func(l *Loop) {
		l.Hand(clients[2].ref.Slot)
		panic("in a task")
	}))
	h.onlyOne(clients, 2)
	h.wantPanics(1, "in a task")
	require.EqualValues(t, 1, h.group.Stats().Panics)
}

func TestAPanicWithNoStreamInHandEndsNone(t *testing.T) {
	h := newHarness(t, Options{})
	clients := h.openMany(3)
	h.l.Post(funcTask(func(l *Loop) { l.Hand(clients[1].ref.Slot) })) // until its end
	h.l.Post(funcTask(func(l *Loop) {
		panic("with nothing in hand")
	}))
	h.l.Post(funcTask(func(l *Loop) {
		l.Hand(1 << 30)
		panic("with nothing real in hand")
	}))
	h.wantPanics(2, "with nothing")
	for _, c := range clients {
		h.alive(c)
	}
}

func TestAPanicAfterAdoptEndsTheNewStream(t *testing.T) {
	h := newHarness(t, Options{})
	other := h.open(unixPair, 0)
	sock, far := unixPair(t, false)
	fd := sock.fd
	defer func() { require.NoError(t, far.Close()) }()
	h.l.Post(funcTask(func(l *Loop) {
		_, err := l.Adopt(PlainSocket(fd), 0, codec.CodingIdentity)
		panic(fmt.Sprint("after adopt: ", err))
	}))
	h.wantPanics(1, "after adopt: <nil>")
	c := &client{t: t, conn: far}
	c.expectEnd("")
	h.alive(other)
	require.EqualValues(t, 1, h.group.Stats().Closes[ReasonPanic])
}

// A task of many steps loses the streams whose steps panic, and nothing else.
func TestATaskOfManyStepsGoesOnBehindAPanic(t *testing.T) {
	const streams = 40
	h := newHarness(t, Options{})
	clients := h.openMany(streams)
	bad := func(i int) bool { return i%5 == 3 }
	calls, behind := 0, false
	var w Walk
	h.l.Post(funcTask(func(l *Loop) {
		l.Walk(&w, func() {
			calls++
			for w.Next(streams) {
				i := w.Step()
				l.Hand(clients[i].ref.Slot)
				if bad(i) {
					panic("in a step")
				}
				l.Send(clients[i].ref.Slot, frameOf("", "step"), NoID)
			}
		})
	}))
	h.do(func(l *Loop) { behind = true })
	require.True(t, behind)
	h.wantPanics(streams/5, "in a step")
	require.Equal(t, 1+streams/5, calls)
	for i, c := range clients {
		if bad(i) {
			h.awaitClosed(c, ReasonPanic)
			c.expectEnd("")
			continue
		}
		c.expect(wire(c.framing, "", "step"))
		h.alive(c)
	}
}

func TestAPanicInATimerEndsItsStreamAndLosesNoOtherTimer(t *testing.T) {
	const streams = 30
	h := newHarness(t, Options{})
	clients := h.openMany(streams)
	bad := map[Ref]bool{clients[0].ref: true, clients[13].ref: true, clients[29].ref: true}
	h.rec.onTimer = func(ref Ref) {
		if bad[ref] {
			panic("in a timer")
		}
	}
	h.do(func(l *Loop) {
		for i, c := range clients { // most in one tick, some behind
			l.SetTimer(c.ref.Slot, l.Now()+1+int64(i/20)*int64(wheelTick))
		}
	})
	for _, c := range clients {
		h.await("every timer", func() bool { return len(h.rec.fired(c.ref)) == 1 })
	}
	h.wantPanics(3, "in a timer")
	for _, c := range clients {
		if bad[c.ref] {
			h.awaitClosed(c, ReasonPanic)
		} else {
			h.alive(c)
		}
	}
	require.EqualValues(t, 3, h.group.Stats().Closes[ReasonPanic])
}

// Whatever told the handler of the end, a panic there leaves no stream half
// closed: its socket would stay open for good.
func TestAPanicInClosedStillEndsTheStream(t *testing.T) {
	ends := map[string]struct {
		reason Reason
		end    func(h *harness, c *client)
	}{
		"close": {ReasonExpired, func(h *harness, c *client) {
			h.l.Post(funcTask(func(l *Loop) { l.Close(c.ref, ReasonExpired, frameOf("", "bye"), time.Hour) }))
		}},
		"close bare": {ReasonRefused, func(h *harness, c *client) {
			h.l.Post(funcTask(func(l *Loop) { l.CloseBare(c.ref, ReasonRefused, time.Hour) }))
		}},
		"cut": {ReasonLimit, func(h *harness, c *client) {
			h.l.Post(funcTask(func(l *Loop) { l.Cut(c.ref, ReasonLimit) }))
		}},
		"client": {ReasonClientGone, func(h *harness, c *client) { c.close() }},
		"write": {ReasonClientGone, func(h *harness, c *client) {
			h.l.Post(funcTask(func(l *Loop) {
				_ = c.conn.Close()
				l.Send(c.ref.Slot, frameOf("", "x"), NoID)
			}))
		}},
		"slow": {ReasonSlowBytes, func(h *harness, c *client) { h.stall(c, fmt.Sprint(make([]byte, 3000))) }},
		"timer": {ReasonExpired, func(h *harness, c *client) {
			h.l.Post(funcTask(func(l *Loop) { l.SetTimer(c.ref.Slot, l.Now()+1) }))
		}},
		"panic": {ReasonPanic, func(h *harness, c *client) {
			h.l.Post(funcTask(func(l *Loop) {
				l.Hand(c.ref.Slot)
				panic("in Closed, before it")
			}))
		}},
	}
	for name, tc := range ends {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, Options{QueueMaxSize: 64 << 10, SlowFrame: frameOf("", slowText)})
			clients := h.openMany(3)
			c := clients[1]
			h.do(func(*Loop) {
				h.rec.onClosed = func(ref Ref, _ Reason) {
					if ref == c.ref {
						panic("in Closed")
					}
				}
				h.rec.onTimer = func(ref Ref) { h.l.Close(ref, ReasonExpired, nil, time.Hour) }
			})
			tc.end(h, c)
			h.awaitClosed(c, tc.reason)
			s := h.awaitStats("the slot free", func(s Stats) bool { return s.Open == 2 })
			require.EqualValues(t, 1, s.Closes[tc.reason])
			require.Zero(t, s.Blocked)
			h.wantPanics(map[bool]int{false: 1, true: 2}[name == "panic"], "in Closed")
			_, _ = c.rest() // nil after a cut; a client that left has closed its end
			h.alive(clients[0])
			h.alive(clients[2])
		})
	}
}

func TestAPanicInOnPanicDoesNotEndTheLoop(t *testing.T) {
	h := newHarness(t, Options{})
	clients := h.openMany(3)
	logged := 0
	h.do(func(l *Loop) {
		l.opt.OnPanic = func(any, []byte) {
			logged++
			panic("in OnPanic")
		}
	})
	h.l.Post(funcTask(func(l *Loop) {
		l.Hand(clients[1].ref.Slot)
		panic("in a task")
	}))
	h.onlyOne(clients, 1)
	h.do(func(*Loop) {
		if logged == 0 {
			t.Error("expected OnPanic to be called")
		}
	})
}

func TestReadinessBehindAPanicIsNotLost(t *testing.T) {
	h := newHarness(t, Options{})
	clients := h.openMany(4)
	h.rec.onClosed = func(ref Ref, _ Reason) {
		if ref == clients[0].ref {
			panic("in Closed")
		}
	}
	h.do(func(l *Loop) { // so that all ends are one batch
		for _, c := range clients {
			_ = c.conn.Close()
		}
	})
	for _, c := range clients {
		h.awaitClosed(c, ReasonClientGone)
	}
	h.awaitStats("no stream left", func(s Stats) bool { return s.Open == 0 })
	h.wantPanics(1, "in Closed")
}
