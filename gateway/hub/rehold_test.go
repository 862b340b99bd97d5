package hub

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A subscription that speaks already and is held again (a backend subscribes the
// session anew) keeps its position: what entered before its history was read, and
// is younger than that history, has yet to come to it and to nobody else.
func TestWhatWasOnItsWayWhenASubscriptionIsHeldAgainIsNotLost(t *testing.T) {
	r := newRig(t, 1, Options{})
	p := r.stream(0)
	p.hold("a", Positioned)
	e := EpochTag("e")
	// The history was read up to 1; 2 entered before the session asked where the
	// Sink was, so From is behind it.
	r.publish("a", at(1))
	r.drain()
	p.do(func(s *Shard) {
		s.Activate(p.ref, []Start{{Channel: "a", Offset: 1, Epoch: e, Features: Positioned, From: r.hub.Seq() + 1}})
	})
	p.do(func(s *Shard) { require.False(t, s.Hold(p.ref.Slot, "a", Positioned)) })
	r.publish("a", at(2)) // the number that From spoke of
	r.publish("a", at(3))
	r.drain()
	require.Empty(t, p.read(), "held")
	p.do(func(s *Shard) {
		offset, epoch, ok := s.Position(p.ref.Slot, "a")
		require.True(t, ok)
		s.Activate(p.ref, []Start{{Channel: "a", Offset: offset, Epoch: epoch, Features: Positioned}})
	})
	r.publish("a", at(4))
	p.expect(event1("a", 2), event1("a", 3), event1("a", 4))
	require.Empty(t, r.insufficient)
}

// A newcomer's history has what entered before it came: none of that is held.
func TestWhatEnteredBeforeANewcomerIsNotHeldForIt(t *testing.T) {
	r := newRig(t, 1, Options{HoldMaxSize: 400})
	p := r.stream(0)
	r.stream(0).subscribe("a", 0)
	require.NoError(t, r.hub.Acquire(t.Context(), "a", 0, Form{}))
	p.do(func(s *Shard) {
		for i := uint64(1); i <= 50; i++ {
			r.publish("a", at(i)) // delivered behind this turn
		}
		require.True(t, s.Hold(p.ref.Slot, "a", Positioned))
	})
	r.publish("a", at(51))
	r.drain()
	p.do(func(s *Shard) {
		s.Activate(p.ref, []Start{{Channel: "a", Offset: 50, Epoch: EpochTag("e"), Features: Positioned, From: r.hub.Seq()}})
	})
	r.publish("a", at(52))
	p.expect(event1("a", 51), event1("a", 52))
	require.Empty(t, r.insufficient)
}

// A stream was in a channel without a position and is subscribed anew with one:
// what was held for it is news to it, whatever the history has.
func TestWhatIsHeldForOneWithoutAPositionIsNews(t *testing.T) {
	r := newRig(t, 1, Options{})
	p := r.stream(0)
	p.subscribe("a", 0)
	r.publish("a", at(1))
	r.drain()
	p.expect(event1("a", 1))
	p.do(func(s *Shard) { s.Hold(p.ref.Slot, "a", Positioned) })
	r.publish("a", at(2))
	r.drain()
	p.do(func(s *Shard) { // the history was read up to 2
		first, epoch := s.FirstHeld(p.ref.Slot, "a")
		require.EqualValues(t, 2, first)
		require.Equal(t, EpochTag("e"), epoch)
		s.Activate(p.ref, []Start{{Channel: "a", Offset: first - 1, Epoch: epoch, Features: Positioned}})
	})
	r.publish("a", at(3))
	p.expect(event1("a", 1), event1("a", 2), event1("a", 3))
}
