//go:build linux

package load

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSequenceTellsLostRepeatedAndLate(t *testing.T) {
	f := func(name string, arrivals []uint32, sent uint32, want Tally) {
		t.Helper()
		s := StartSequence(10)
		var got Tally
		for _, n := range arrivals {
			s.Arrive(n, &got)
		}
		s.Settle(sent, &got)
		require.Equal(t, want, got, name)
	}
	f("all in order", []uint32{10, 11, 12}, 13, Tally{Fresh: 3})
	f("nothing came", nil, 13, Tally{Lost: 3})
	f("one in the middle is missing", []uint32{10, 12}, 13, Tally{Fresh: 2, Lost: 1})
	f("the last is missing", []uint32{10, 11}, 13, Tally{Fresh: 2, Lost: 1})
	f("one came twice", []uint32{10, 11, 11, 12}, 13, Tally{Fresh: 3, Duplicated: 1})
	f("an old one came again", []uint32{10, 11, 12, 10}, 13, Tally{Fresh: 3, Duplicated: 1})
	f("one from before the start", []uint32{9, 10}, 11, Tally{Fresh: 1, Duplicated: 1})
	f("two swapped", []uint32{11, 10, 12}, 13, Tally{Fresh: 3, Reordered: 1})
	f("late, and then again", []uint32{11, 10, 10}, 12, Tally{Fresh: 2, Reordered: 1, Duplicated: 1})
	f("a gap wider than the window", []uint32{10, 110}, 111, Tally{Fresh: 2, Lost: 99})
	f("late beyond the window counts as repeated", []uint32{110, 11}, 111, Tally{Fresh: 1, Lost: 100, Duplicated: 1})
}

func TestSequenceForgivesWhatSettleCountedAsLost(t *testing.T) {
	s := StartSequence(0)
	var got Tally
	s.Arrive(0, &got)
	s.Settle(3, &got)
	require.Equal(t, Tally{Fresh: 1, Lost: 2}, got)
	require.True(t, s.Arrive(2, &got))
	require.Equal(t, Tally{Fresh: 2, Lost: 1, Reordered: 1}, got)
}

func TestSequenceAgreesWithASetOfNumbers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		s := StartSequence(0)
		var got, want Tally
		seen := map[uint32]bool{}
		top := uint32(0)
		for range 300 {
			// Up to 20 ahead or 40 back: always inside the window.
			n := uint32(max(0, int(top)+rng.IntN(61)-40))
			if seen[n] {
				want.Duplicated++
			} else {
				want.Fresh++
				if n < top {
					want.Reordered++
				}
			}
			seen[n] = true
			top = max(top, n+1)
			s.Arrive(n, &got)
		}
		want.Lost = int64(top) - int64(len(seen))
		require.Equal(t, want, got)
	}
}
