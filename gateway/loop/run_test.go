package loop

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// A run is whole events, in order, whatever the limit of the queue is; its tail is none,
// and is told free, once, when nothing of the run is queued any more.
func TestARunIsEventsAndItsTailSaysWhenTheyHaveLeft(t *testing.T) {
	eachWay(t, func(t *testing.T, pair pairOf, framing codec.Framing) {
		h := newHarness(t, Options{QueueMaxSize: 1000})
		fr := h.watchFreed()
		h.endSpent()
		for name, end := range map[string]func(c *client, want string){
			"read": func(c *client, want string) { c.expect(want) },
			"cut":  func(c *client, _ string) { h.on(c.l, func(l *Loop) { l.Cut(c.ref, ReasonInput) }) },
			"left": func(c *client, _ string) { c.close() },
		} {
			c := h.openTiny(pair, framing)
			tail := codec.RawFrame(nil)
			var events []Event
			want := ""
			for i := range 200 {
				id, text := fmt.Sprint("i", i), strings.Repeat("r", 3000)
				e := Event{Frame: frameOf(id, text), Mode: SharedID}
				switch i % 3 {
				case 1:
					id = "own" + id
					e.ID = []byte(ending(framing, id))
				case 2:
					e.Mode = NoID
				}
				if events = append(events, e); i%3 == 2 {
					want += wireWithout(framing, text)
				} else {
					want += wire(framing, id, text)
				}
			}
			h.on(c.l, func(l *Loop) {
				l.SendRun(c.ref.Slot, events, tail)
				require.True(t, l.Live(c.ref), name)
				l.flushStream(c.ref.Slot)
				require.True(t, l.at(c.ref.Slot).blocked, "the test proves nothing")
			})
			require.Zero(t, fr.of(tail), name)
			end(c, want)
			h.await("the tail to be told free", func() bool { return fr.of(tail) == 1 })
			for i := range events {
				require.Zero(t, fr.of(events[i].Frame), "only the tail is charged")
				require.Zero(t, events[i].Frame.Kept(), name)
			}
			if name == "read" {
				h.alive(c)
			}
		}

		// A limit counts the events and not the tail.
		for _, limit := range []uint32{1, 4, 5, 6} {
			c := h.open(pair, framing)
			tail, want := codec.RawFrame(nil), ""
			var events []Event
			for i := range 5 {
				events = append(events, Event{Frame: frameOf("", fmt.Sprint(i))})
				if uint32(i) < limit {
					want += wire(framing, "", fmt.Sprint(i))
				}
			}
			live := false
			h.on(c.l, func(l *Loop) {
				l.Limit(c.ref.Slot, limit)
				l.SendRun(c.ref.Slot, events, tail)
				live = l.Live(c.ref)
			})
			require.Equal(t, limit > 5, live)
			if live {
				c.expect(want)
				continue
			}
			c.expectEnd(want + terminator(framing))
		}
	})
}
