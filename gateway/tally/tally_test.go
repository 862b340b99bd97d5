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

func TestQuantilesAreOfWhatWasCountedSince(t *testing.T) {
	var d Durations
	_, ok := d.Quantile(0.5)
	require.False(t, ok)
	for range 100 {
		d.Add(time.Hour)
	}
	before := d
	for range 98 {
		d.Add(80 * time.Microsecond)
	}
	d.Add(40 * time.Millisecond)
	d.Add(time.Minute)
	since := d.Since(&before)
	require.EqualValues(t, 100, since.Count())
	require.Equal(t, 98*80*time.Microsecond+40*time.Millisecond+time.Minute, since.Sum())
	f := func(q float64, low, high time.Duration) {
		t.Helper()
		got, ok := since.Quantile(q)
		require.True(t, ok)
		require.GreaterOrEqual(t, got, low)
		require.LessOrEqual(t, got, high)
	}
	f(0, 0, 0)
	f(0.5, 50*time.Microsecond, 52*time.Microsecond)
	f(0.98, 100*time.Microsecond, 100*time.Microsecond)
	f(0.99, 25*time.Millisecond, 50*time.Millisecond)
	f(1, 10*time.Second, 10*time.Second)
}
