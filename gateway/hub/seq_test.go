package hub

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// arrived waits until everything published is in the out-queues.
func (r *rig) arrived() {
	r.t.Helper()
	require.NoError(r.t, r.hub.Arrived(context.Background()))
}

// What was acknowledged before a client subscribed is not news to it, though it is
// on its way still.
func TestWhatWasPublishedBeforeIsNotDelivered(t *testing.T) {
	r := newRig(t, 1, Options{})
	first := r.stream(0) // so that somebody wants the channel
	first.subscribe("a", PushJoinLeave)
	plain, joins, held, positioned := r.stream(0), r.stream(0), r.stream(0), r.stream(0)
	info := &codec.ClientInfo{User: "u", Client: "c"}
	for _, p := range []*peer{plain, joins, held, positioned} {
		require.NoError(t, r.hub.Acquire(t.Context(), "a", 0, Form{}))
		_ = p
	}
	publish := func(n uint64) {
		r.publish("a", &codec.Publication{Data: codec.QuoteJSON(fmt.Sprint("plain", n))})
		r.publish("a", at(n))
		r.hub.Join("a", info, nil)
		r.hub.Leave("a", info, nil)
	}
	// In one turn of the loop, so that nothing is delivered meanwhile.
	first.do(func(s *Shard) {
		publish(1)
		s.Subscribe(plain.ref.Slot, "a", 0)
		s.Subscribe(joins.ref.Slot, "a", PushJoinLeave)
		s.Hold(held.ref.Slot, "a", PushJoinLeave)
		s.Hold(positioned.ref.Slot, "a", Positioned|PushJoinLeave)
		publish(2)
	})
	r.arrived()
	held.do(func(s *Shard) {
		s.Activate(held.ref, []Start{{Channel: "a", Features: PushJoinLeave}})
		s.Activate(positioned.ref, []Start{{Channel: "a", Offset: 1, Epoch: EpochTag("e"), Features: Positioned | PushJoinLeave}})
	})
	data := func(n int) string { return fmt.Sprintf(`{"channel":"a","pub":{"data":"plain%d"}}`, n) }
	join := `{"channel":"a","join":{"info":{"user":"u","client":"c"}}}`
	leave := `{"channel":"a","leave":{"info":{"user":"u","client":"c"}}}`
	plain.expect(data(2), event1("a", 2))
	joins.expect(data(2), event1("a", 2), join, leave)
	held.expect(data(2), event1("a", 2), join, leave)
	positioned.expect(data(2), event1("a", 2), join, leave)
	first.expect(data(1), event1("a", 1), join, leave, data(2), event1("a", 2), join, leave)
	publish(3)
	r.drain()
	plain.expect(data(2), event1("a", 2), data(3), event1("a", 3))
}

// What entered an engine of this process before a positioned subscriber came is in
// the history that it is told: it is not held for it. An engine elsewhere may answer
// from a copy that is behind: then offsets say what is new.
func TestWhatTheHistoryHasIsNotHeldForANewcomer(t *testing.T) {
	for _, instant := range []bool{true, false} {
		t.Run(fmt.Sprint("instant ", instant), func(t *testing.T) { testNewcomer(t, instant) })
	}
}

func testNewcomer(t *testing.T, instant bool) {
	r := newRig(t, 1, Options{HoldMaxSize: 2000})
	p := r.stream(0)
	require.NoError(t, r.hub.Acquire(t.Context(), "a", 0, Form{}))
	r.hub.synchronous = instant
	p.do(func(s *Shard) {
		for n := uint64(1); n <= 4; n++ {
			r.publish("a", at(n))
		}
		s.Hold(p.ref.Slot, "a", Positioned)
	})
	r.arrived()
	top := uint64(2) // its history was read between two of them
	if instant {
		top = 4
		p.do(func(s *Shard) { require.Empty(t, s.holds.Value(p.ref.Slot).items) })
	}
	p.do(func(s *Shard) {
		s.Activate(p.ref, []Start{{Channel: "a", Offset: top, Epoch: EpochTag("e"), Features: Positioned, From: r.hub.Seq()}})
	})
	r.publish("a", at(5))
	var want []string
	for n := top + 1; n <= 5; n++ {
		want = append(want, event1("a", int(n)))
	}
	p.expect(want...)
	r.hub.synchronous = true // as the rest of the rig expects
}

// A publication without an offset that came while the history was read would follow
// younger ones of the history: it is left out. One behind the reading is not.
func TestSkipHistoryDuringAResume(t *testing.T) {
	r := newRig(t, 1, Options{})
	p := r.stream(0)
	p.hold("a", Positioned|PushJoinLeave)
	skip := func(text string) { r.publish("a", &codec.Publication{Data: codec.QuoteJSON(text)}) }
	skip("before")
	r.hub.Join("a", &codec.ClientInfo{User: "u", Client: "c"}, nil)
	r.publish("a", at(1))
	r.publish("a", at(2)) // the history has both
	from := r.hub.Seq()
	skip("behind")
	r.publish("a", at(3))
	r.arrived()
	p.do(func(s *Shard) {
		s.Activate(p.ref, []Start{{Channel: "a", Offset: 2, Epoch: EpochTag("e"), Features: Positioned | PushJoinLeave, From: from}})
	})
	p.expect(`{"channel":"a","pub":{"data":"behind"}}`, event1("a", 3))
	// Another opening with nothing read leaves the place as it is.
	p.do(func(s *Shard) {
		require.False(t, s.Hold(p.ref.Slot, "a", Positioned))
	})
	skip("meanwhile")
	r.arrived()
	p.do(func(s *Shard) {
		s.Activate(p.ref, []Start{{Channel: "a", Offset: 3, Epoch: EpochTag("e"), Features: Positioned}})
	})
	p.expect(`{"channel":"a","pub":{"data":"behind"}}`, event1("a", 3), `{"channel":"a","pub":{"data":"meanwhile"}}`)
}
