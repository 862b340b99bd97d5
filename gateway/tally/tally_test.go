package tally

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestADurationFallsIntoTheFirstBucketThatHoldsIt(t *testing.T) {
	f := func(d time.Duration, first int) {
		t.Helper()
		var own Durations
		var shared Shared
		own.Add(d)
		shared.Add(d)
		read := shared.Read()
		for _, got := range []*Durations{&own, &read} {
			require.EqualValues(t, 1, got.Count())
			require.Equal(t, max(d, 0), got.Sum())
			for i := range Bounds() {
				want := uint64(0)
				if i >= first {
					want = 1
				}
				require.Equal(t, want, got.UpTo(i), "%s, bound %s", d, Bounds()[i])
			}
		}
	}
	f(-time.Second, 0)
	f(0, 0)
	f(100*time.Microsecond, 0)
	f(100*time.Microsecond+1, 1)
	f(time.Millisecond, 3)
	f(10*time.Second, len(bounds)-1)
	f(10*time.Second+1, len(bounds)) // in none but the last
}

func TestMergeAddsEverything(t *testing.T) {
	var a, b Durations
	a.Add(time.Millisecond)
	b.Add(time.Second)
	b.Add(time.Hour)
	a.Merge(&b)
	require.EqualValues(t, 3, a.Count())
	require.Equal(t, time.Hour+time.Second+time.Millisecond, a.Sum())
	require.EqualValues(t, 2, a.UpTo(len(bounds)-1))
}

func TestASharedTallyLosesNothing(t *testing.T) {
	var s Shared
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 1000 {
				s.Add(time.Duration(i) * time.Millisecond)
			}
		})
	}
	wg.Wait()
	got := s.Read()
	require.EqualValues(t, 4000, got.Count())
	require.Equal(t, 4*999*1000/2*time.Millisecond, got.Sum())
}

func TestAddingAllocatesNothing(t *testing.T) {
	var own Durations
	var shared Shared
	require.Zero(t, testing.AllocsPerRun(100, func() {
		own.Add(time.Millisecond)
		shared.Add(time.Millisecond)
	}))
}
