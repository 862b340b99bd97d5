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

// Two calls hold a newcomer, so that the second one begins with what was held for it. What
// an engine elsewhere brought before it came, and was late on its loop, is not news: a hole
// may be behind it, of what was published while nobody wanted the channel.
func TestWhatEnteredBeforeOneThatIsHeldTwiceIsNotNews(t *testing.T) {
	r := newRig(t, 1, Options{})
	r.hub.synchronous = false
	p, other := r.stream(0), r.stream(0)
	require.NoError(t, r.hub.Acquire(t.Context(), "a", 0, Form{}))
	other.do(func(s *Shard) {
		r.publish("a", at(1))
		require.NoError(t, r.hub.Posted(t.Context())) // it waits behind this turn
		r.hub.Release("a", 0, Form{})
		r.publish("a", at(2)) // for nobody
		require.NoError(t, r.hub.Acquire(t.Context(), "a", 0, Form{}))
		require.True(t, s.Hold(p.ref.Slot, "a", Positioned))
		require.False(t, s.Hold(p.ref.Slot, "a", Positioned))
	})
	r.publish("a", at(3))
	r.drain()
	require.EqualValues(t, 3, p.beginWithHeld("a")) // the history was read up to 3
	p.expect(event1("a", 3))
	require.Empty(t, r.insufficient)
	r.hub.synchronous = true // as the rest of the rig expects
}

// What was brought forward while a subscription was held was news then, and stays so;
// what was sent before, and comes once more in its turn, is not.
func TestWhatIsBroughtForwardToOneThatIsHeldIsNews(t *testing.T) {
	r := newRig(t, 1, Options{})
	r.hub.synchronous = false
	p := r.stream(0)
	p.subscribe("a", 0)
	p.hold("b", Positioned)
	bring := func(s *Shard, n uint64) {
		r.publish("a", at(n))
		r.publish("b", at(n))
		require.NoError(t, r.hub.Posted(t.Context()))
		s.CatchUp(p.ref, r.hub.Seq())
	}
	p.do(func(s *Shard) {
		bring(s, 1)
		require.False(t, s.Hold(p.ref.Slot, "a", Positioned))
		bring(s, 2)
		r.hub.Lost("b")
		require.NoError(t, r.hub.Posted(t.Context()))
		s.CatchUp(p.ref, r.hub.Seq())
	})
	r.drain()
	require.EqualValues(t, 2, p.beginWithHeld("a"))
	p.expect(event1("a", 1), event1("a", 2))
	require.EqualValues(t, 1, p.beginWithHeld("b")) // the other goes on holding what it held
	require.Equal(t, []string{"b"}, r.insufficient, "it was lost")
	r.hub.synchronous = true // as the rest of the rig expects
}

// A subscription that is over leaves nothing to one that begins while another holds.
func TestWhatWasHeldEndsWithItsSubscription(t *testing.T) {
	r := newRig(t, 1, Options{HoldMaxSize: 400})
	p := r.stream(0)
	p.hold("a", Positioned)
	p.hold("b", Positioned)
	for n := uint64(1); n <= 9; n += 2 { // and each other one is for nobody
		r.publish("a", at(n))
		r.drain()
		p.do(func(s *Shard) { s.Unsubscribe(p.ref.Slot, "a") })
		require.Empty(t, r.insufficient)
		p.hold("a", Positioned)
	}
	r.publish("a", at(11))
	r.drain()
	require.EqualValues(t, 11, p.beginWithHeld("a"))
	p.expect(event1("a", 11))
	require.Empty(t, r.insufficient)
}

// beginWithHeld ends the hold of a channel in front of what is held in it first, and returns
// what that is.
func (p *peer) beginWithHeld(channel string) (first uint64) {
	p.do(func(s *Shard) {
		var epoch uint32
		first, epoch = s.FirstHeld(p.ref.Slot, channel)
		s.Activate(p.ref, []Start{{Channel: channel, Offset: first - 1, Epoch: epoch, Features: Positioned}})
	})
	return first
}
