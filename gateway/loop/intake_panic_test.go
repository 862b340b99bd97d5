package loop

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// steps is a delivery to many streams that goes on behind a panic.
type steps struct {
	clients []*client
	f       *codec.Frame
	bad     func(i int) bool
	calls   int
	told    int
	onTold  func()
}

func (d *steps) Run(l *Loop) {
	var w Walk
	l.Walk(&w, func() {
		d.calls++
		for w.Next(len(d.clients)) {
			c := d.clients[w.Step()]
			l.Hand(c.ref.Slot)
			if d.bad(w.Step()) {
				panic("in a delivery")
			}
			if l.Live(c.ref) {
				l.Send(c.ref.Slot, d.f, NoID)
			}
		}
	})
}

func (d *steps) Size() int { return d.f.Len() }

func (d *steps) Offered(*Loop) {
	d.told++
	if d.onTold != nil {
		d.onTold()
	}
}

// A panic in a delivery costs one stream; the others miss nothing and get nothing
// twice, of this delivery and of those around it.
func TestAPanicInADeliveryCostsOneStream(t *testing.T) {
	const streams = 30
	h := newHarness(t, Options{})
	clients := h.openMany(streams)
	bad := func(i int) bool { return i%7 == 3 }
	before, behind := toAll(clients, frameOf("", "before")), toAll(clients, frameOf("", "behind"))
	told := 0
	before.offered = func(*Loop) { told++ }
	behind.offered = before.offered
	d := &steps{clients: clients, f: frameOf("", "steps"), bad: bad}
	for _, p := range []Delivery{before, d, behind} {
		h.l.Deliver(p)
	}
	h.await("all offered", func() bool {
		n := 0
		h.do(func(*Loop) { n = told })
		return n == 2
	})
	h.wantPanics(4, "in a delivery")
	for i, c := range clients {
		if bad(i) {
			h.awaitClosed(c, ReasonPanic)
			continue
		}
		c.expect(wire(c.framing, "", "before") + wire(c.framing, "", "steps") + wire(c.framing, "", "behind"))
		h.alive(c)
	}
	h.do(func(*Loop) {
		require.Equal(t, 1, d.told, "each is offered once")
		require.Equal(t, 1+4, d.calls)
	})
	require.Zero(t, h.l.Deliveries())
}

// A delivery that panics outside of a walk, or that walks and never gets anywhere, has
// ended, and what is behind it is taken.
func TestADeliveryThatOnlyPanicsHasEnded(t *testing.T) {
	h := newHarness(t, Options{})
	c := h.open(unixPair, codec.FramingChunked)
	calls, told := 0, 0
	done := make(chan struct{})
	fail := func(*Loop) { calls++; panic("again and again") }
	h.l.Deliver(&parcel{size: 1, run: fail, offered: func(*Loop) { told++ }})
	h.l.Deliver(&parcel{size: 1, offered: func(*Loop) { told++ }, run: func(l *Loop) {
		var w Walk
		l.Walk(&w, func() { fail(l) })
	}})
	behind := toAll([]*client{c}, frameOf("", "behind"))
	behind.offered = func(*Loop) { close(done) }
	h.l.Deliver(behind)
	<-done
	c.expect(wire(c.framing, "", "behind"))
	h.do(func(l *Loop) {
		require.Equal(t, 2, calls)
		require.Equal(t, 2, told, "their credit comes back")
	})
	require.Len(t, h.takePanics(), 2)
}

// A panic in Offered keeps no other delivery from being told, and none is told twice.
func TestAPanicInOfferedIsOneOfMany(t *testing.T) {
	h := newHarness(t, Options{})
	clients := h.openMany(3)
	const given = 3 * maxWindow
	told := make([]int, given)
	want := make(map[codec.Framing]string)
	for n := range given {
		d := toAll(clients, frameOf("", fmt.Sprint(n)))
		for _, framing := range framings {
			want[framing] += wire(framing, "", fmt.Sprint(n))
		}
		d.offered = func(*Loop) {
			told[n]++
			if n%50 == 7 {
				panic("in Offered")
			}
		}
		h.l.Deliver(d)
	}
	h.wantPanics(4, "in Offered")
	h.await("the last one told", func() bool {
		n := 0
		h.do(func(*Loop) { n = told[given-1] })
		return n > 0
	})
	h.do(func(*Loop) {
		for n, times := range told {
			require.Equal(t, 1, times, "delivery %d", n)
		}
	})
	for _, c := range clients {
		require.Empty(t, c.rec.reasons(c.ref), "no stream is to blame")
		c.expect(want[c.framing])
	}
}
