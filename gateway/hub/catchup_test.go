package hub

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// A command that follows an acknowledged publication need not wait until the loop
// takes it for all: one stream is given what waits, once, in order.
func TestAStreamIsGivenWhatWaitsForItsLoop(t *testing.T) {
	for name, features := range map[string]Features{"plain": 0, "positioned": Positioned, "joins": PushJoinLeave} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1, Options{})
			p, other := r.stream(0), r.stream(0)
			p.subscribe("a", features)
			p.subscribe("b", features)
			other.subscribe("a", features)
			p.do(func(s *Shard) {
				r.publish("a", at(1))
				r.publish("b", at(1))
				r.publish("nobody", at(1))
				r.publish("a", at(2))
				require.NoError(t, r.hub.Posted(t.Context()))
				require.Equal(t, 3, p.l.Deliveries(), "this turn is not over")
				for range 2 {
					require.False(t, s.Behind(p.ref, r.hub.Seq()))
					s.CatchUp(p.ref, r.hub.Seq())
				}
				require.Equal(t, 3, p.l.Deliveries(), "the others have yet to get them")
				s.loop.Send(p.ref.Slot, codec.PingFrame, 0)
			})
			r.publish("a", at(3))
			p.expect(event1("a", 1), event1("b", 1), event1("a", 2), "{}", event1("a", 3))
			other.expect(event1("a", 1), event1("a", 2), event1("a", 3))
		})
	}
}

// What waits when a stream is caught up may be too much for it.
func TestCatchUpEndsWithTheStream(t *testing.T) {
	r := newRig(t, 1, Options{})
	p := r.stream(0)
	p.subscribe("a", Positioned)
	p.do(func(s *Shard) {
		r.publish("a", at(1))
		r.publish("a", at(3)) // a hole
		r.publish("a", at(4))
		require.NoError(t, r.hub.Posted(t.Context()))
		s.CatchUp(p.ref, r.hub.Seq())
		require.False(t, p.l.Live(p.ref))
	})
	require.Equal(t, []string{"a"}, r.insufficient)
}

// What is too much to be given at once is not: it would end a stream that reads.
func TestALotThatWaitsIsNotBroughtForward(t *testing.T) {
	r := newRig(t, 1, Options{})
	p := r.stream(0)
	p.subscribe("a", 0)
	p.do(func(s *Shard) {
		for i := uint64(1); i <= 10; i++ {
			pub := at(i)
			pub.Data = codec.QuoteJSON(strings.Repeat("x", 100<<10))
			r.publish("a", pub)
			require.NoError(t, r.hub.Posted(t.Context()))
			require.Equal(t, i > 5, s.Behind(p.ref, r.hub.Seq()), "%d", i) // half of 1 MiB
			require.False(t, s.Behind(p.ref, 3), "what came later does not count")
		}
	})
}
