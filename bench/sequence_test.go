//go:build linux

package main

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSequenceTellsLostRepeatedAndLate(t *testing.T) {
	f := func(name string, arrivals []uint32, sent uint32, want tally) {
		t.Helper()
		s := startSequence(10)
		var got tally
		for _, n := range arrivals {
			s.arrive(n, &got)
		}
		s.settle(sent, &got)
		require.Equal(t, want, got, name)
	}
	f("all in order", []uint32{10, 11, 12}, 13, tally{fresh: 3})
	f("nothing came", nil, 13, tally{lost: 3})
	f("one in the middle is missing", []uint32{10, 12}, 13, tally{fresh: 2, lost: 1})
	f("the last is missing", []uint32{10, 11}, 13, tally{fresh: 2, lost: 1})
	f("one came twice", []uint32{10, 11, 11, 12}, 13, tally{fresh: 3, duplicated: 1})
	f("an old one came again", []uint32{10, 11, 12, 10}, 13, tally{fresh: 3, duplicated: 1})
	f("one from before the start", []uint32{9, 10}, 11, tally{fresh: 1, duplicated: 1})
	f("two swapped", []uint32{11, 10, 12}, 13, tally{fresh: 3, reordered: 1})
	f("late, and then again", []uint32{11, 10, 10}, 12, tally{fresh: 2, reordered: 1, duplicated: 1})
	f("a gap wider than the window", []uint32{10, 110}, 111, tally{fresh: 2, lost: 99})
	f("late beyond the window counts as repeated", []uint32{110, 11}, 111, tally{fresh: 1, lost: 100, duplicated: 1})
}

func TestSequenceForgivesWhatSettleCountedAsLost(t *testing.T) {
	s := startSequence(0)
	var got tally
	s.arrive(0, &got)
	s.settle(3, &got)
	require.Equal(t, tally{fresh: 1, lost: 2}, got)
	require.True(t, s.arrive(2, &got))
	require.Equal(t, tally{fresh: 2, lost: 1, reordered: 1}, got)
}

func TestSequenceAgreesWithASetOfNumbers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		s := startSequence(0)
		var got, want tally
		seen := map[uint32]bool{}
		top := uint32(0)
		for range 300 {
			// Up to 20 ahead or 40 back: always inside the window.
			n := uint32(max(0, int(top)+rng.IntN(61)-40))
			if seen[n] {
				want.duplicated++
			} else {
				want.fresh++
				if n < top {
					want.reordered++
				}
			}
			seen[n] = true
			top = max(top, n+1)
			s.arrive(n, &got)
		}
		want.lost = int64(top) - int64(len(seen))
		require.Equal(t, want, got)
	}
}
