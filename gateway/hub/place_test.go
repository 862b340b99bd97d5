package hub

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/testkit"
)

// topAt is a position of the tests' epoch.
func topAt(offset uint64) broker.Position { return broker.Position{Offset: offset, Epoch: "e"} }

// start is where a subscription stands whose history was read up to offset, when so many
// events had entered the Sink.
func start(channel string, offset, read uint64) []Start {
	return []Start{{Channel: channel, Offset: offset, Epoch: EpochTag("e"), Features: Positioned, From: read, Read: read}}
}

// positioned opens a stream that stands at an offset of channel a.
func (r *rig) positioned(offset uint64) *peer {
	p := r.stream(0)
	p.hold("a", Positioned)
	p.do(func(s *Shard) { s.Activate(p.ref, start("a", offset, r.hub.Seq())) })
	return p
}

// told reports whether the stream was told that it lost its place.
func (p *peer) told() bool {
	p.r.drain()
	ended := false
	p.do(func(*Shard) { ended = !p.l.Live(p.ref) })
	return ended
}

// Resynced comes behind what was brought before it, and ends whoever is not there.
func TestWhoIsNotWhereTheHistoryStandsIsTold(t *testing.T) {
	r := newRig(t, 1, Options{})
	there, behind, ahead := r.positioned(1), r.positioned(1), r.positioned(9)
	other := r.stream(0)
	other.hold("a", Positioned)
	other.do(func(s *Shard) {
		s.Activate(other.ref, []Start{{Channel: "a", Offset: 3, Epoch: EpochTag("old"), Features: Positioned}})
	})
	plain, elsewhere := r.stream(0), r.stream(0)
	plain.subscribe("a", PushJoinLeave)
	elsewhere.hold("b", Positioned)
	elsewhere.do(func(s *Shard) { s.Activate(elsewhere.ref, start("b", 1, 0)) })
	behind.do(func(s *Shard) { // as if it had missed them
		s.find(behind.ref.Slot, "a").offset = 0
		s.find(behind.ref.Slot, "a").features = 0
	})
	r.publish("a", at(2))
	r.publish("a", at(3))
	r.drain()
	behind.do(func(s *Shard) { s.find(behind.ref.Slot, "a").features = Positioned })
	r.hub.Resynced("a", topAt(3))
	require.True(t, behind.told(), "behind")
	require.True(t, ahead.told(), "ahead")
	require.True(t, other.told(), "another epoch")
	require.False(t, there.told())
	require.False(t, plain.told(), "it has no position")
	require.False(t, elsewhere.told(), "another channel")
	r.publish("a", at(4))
	there.expect(event1("a", 2), event1("a", 3), event1("a", 4))
	require.EqualValues(t, 1, r.hub.Stats().Resynced)
}

func TestWhoeverHasAPositionIsToldOfALoss(t *testing.T) {
	r := newRig(t, 2, Options{})
	here, gone, plain := r.positioned(1), r.positioned(1), r.stream(1)
	plain.subscribe("a", 0)
	gone.do(func(s *Shard) { require.True(t, s.Unsubscribe(gone.ref.Slot, "a")) })
	r.publish("a", at(2))
	r.hub.Lost("a")
	r.publish("a", at(7))
	require.True(t, here.told())
	require.False(t, gone.told())
	require.False(t, plain.told())
	plain.expect(event1("a", 2), event1("a", 7))
	require.Contains(t, here.read(), event1("a", 2), "what came before the loss")
	require.NotContains(t, here.read(), event1("a", 7))
	after := r.positioned(7)
	require.False(t, after.told(), "its history was read since")
	require.EqualValues(t, 1, r.hub.Stats().Lost)
}

// An opening must not be activated into a hole; what the engine said before the history
// was read is none.
func TestALossWhileASubscriptionIsHeld(t *testing.T) {
	for name, read := range map[string]bool{"before the history was read": true, "after it": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1, Options{})
			p := r.stream(0)
			p.hold("a", Positioned)
			before := r.hub.Seq()
			r.hub.Lost("a")
			if read {
				before = r.hub.Seq()
			}
			r.publish("a", at(5))
			r.drain()
			p.do(func(s *Shard) { s.Activate(p.ref, start("a", 4, before)) })
			require.Equal(t, !read, p.told())
			if read {
				p.expect(event1("a", 5))
			}
		})
	}
}

// Where the history stood is compared with what was held before, in order; a history that
// was read while the engine said so may be newer.
func TestResyncedWhileASubscriptionIsHeld(t *testing.T) {
	f := func(name string, top, read uint64, told bool) {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1, Options{})
			p := r.stream(0)
			p.hold("a", Positioned)
			before := r.hub.Seq()
			r.publish("a", at(1))
			r.publish("a", at(2))
			r.hub.Resynced("a", topAt(top))
			r.publish("a", at(3))
			r.drain()
			p.do(func(s *Shard) {
				s.Activate(p.ref, []Start{{Channel: "a", Offset: read, Epoch: EpochTag("e"), Features: Positioned, From: r.hub.Seq(), Read: before}})
			})
			require.Equal(t, told, p.told())
			if !told {
				r.publish("a", at(4))
				r.drain()
				require.Contains(t, p.read(), event1("a", 4))
			}
		})
	}
	f("there", 2, 1, false)
	f("behind", 9, 1, true)
	f("read later", 2, 3, false)
}

// A subscription that is held anew keeps its position, which is no newer than what the
// engine says.
func TestALossWhileASubscriptionIsHeldAnew(t *testing.T) {
	r := newRig(t, 1, Options{})
	p := r.positioned(1)
	p.do(func(s *Shard) { require.False(t, s.Hold(p.ref.Slot, "a", Positioned)) })
	r.hub.Lost("a")
	r.drain()
	p.do(func(s *Shard) {
		s.Activate(p.ref, []Start{{Channel: "a", Offset: 1, Epoch: EpochTag("e"), Features: Positioned}})
	})
	require.True(t, p.told())
}

// What is brought forward for one stream is judged there once, in its place.
func TestWhatTheEngineSaysIsBroughtForward(t *testing.T) {
	r := newRig(t, 1, Options{})
	p, lost := r.positioned(1), r.positioned(1)
	p.do(func(s *Shard) {
		r.publish("a", at(2))
		r.hub.Resynced("a", topAt(2))
		r.publish("a", at(3))
		require.NoError(t, r.hub.Posted(context.Background()))
		s.CatchUp(p.ref, r.hub.Seq())
		require.EqualValues(t, 3, s.find(p.ref.Slot, "a").offset)
	})
	require.False(t, p.told())
	p.expect(event1("a", 2), event1("a", 3))
	lost.do(func(s *Shard) {
		r.hub.Lost("a")
		require.NoError(t, r.hub.Posted(context.Background()))
		s.CatchUp(lost.ref, r.hub.Seq())
		require.False(t, r.group.Loops[0].Live(lost.ref))
	})
	require.True(t, p.told())
}

// A reader of the engine waits for credit for as long as it takes.
func TestAReaderWaitsForCredit(t *testing.T) {
	r := newRig(t, 1, Options{CreditBytes: 1000})
	all, err := r.hub.Credit(t.Context(), 1<<20)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = r.hub.Credit(ctx, 1)
	require.ErrorIs(t, err, context.Canceled)
	got := make(chan *broker.Credit)
	go func() {
		c, _ := r.hub.Credit(context.Background(), 1)
		got <- c
	}()
	testkit.EventuallyWithin(t, patience, func() bool { return r.hub.Stats().ReaderWaits == 2 }, "the reader to wait")
	all.Release()
	r.hub.Publication("nobody", &codec.Publication{Data: codec.QuoteJSON("x")}, nil, <-got)
	r.drain()
	require.Zero(t, r.hub.Stats().CreditUsed)
}
