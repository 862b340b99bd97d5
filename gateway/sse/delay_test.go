package sse

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"
)

func TestSlotsAreAsFarApartAsTheRateSays(t *testing.T) {
	d := newDelays(10, 3*time.Second, 9*time.Second, time.Minute)
	now := time.Unix(1000, 0)
	for i := range 50 {
		at := 3*time.Second + time.Duration(i)*105*time.Millisecond
		got := d.slot(now)
		require.GreaterOrEqual(t, got, at, "slot %d", i)
		require.Less(t, got, at+5*time.Millisecond, "slot %d", i)
	}
	// The queue moves on by itself, and an empty one begins anew.
	got := d.slot(now.Add(2 * time.Second))
	require.InDelta(t, 6.25, got.Seconds(), 0.01)
	got = d.slot(now.Add(time.Hour))
	require.InDelta(t, 3, got.Seconds(), 0.01)
}

func TestSlotsBehindTheLongestDelayAreDrawnFromItsSecondHalf(t *testing.T) {
	d := newDelays(1, 3*time.Second, 9*time.Second, 10*time.Second)
	now := time.Unix(1000, 0)
	for range 8 {
		d.slot(now)
	}
	seen := make(map[time.Duration]bool)
	for range 1000 {
		got := d.slot(now)
		require.GreaterOrEqual(t, got, 5*time.Second)
		require.LessOrEqual(t, got, 10*time.Second)
		seen[got.Truncate(100*time.Millisecond)] = true
	}
	require.Greater(t, len(seen), 40, "all over the range")
	require.LessOrEqual(t, d.slot(now.Add(time.Second)), 10*time.Second, "the queue is no longer for them")
}

func TestRandomDelaysWidenWithHowManyWereTurnedAway(t *testing.T) {
	d := newDelays(0, time.Second, 2*time.Second, time.Minute)
	now := time.Unix(1000, 0)
	longest := func(n int) (longest time.Duration) {
		for range n {
			got := d.slot(now)
			require.GreaterOrEqual(t, got, time.Second)
			require.LessOrEqual(t, got, time.Minute)
			longest = max(longest, got)
		}
		return longest
	}
	require.LessOrEqual(t, longest(50), 2*time.Second, "few: the usual range")
	require.Greater(t, longest(2000), 10*time.Second)
	require.Greater(t, longest(20_000), 50*time.Second)
	now = now.Add(1500 * time.Millisecond)
	require.Greater(t, longest(100), 10*time.Second, "the second before counts too")
	now = now.Add(5 * time.Second)
	require.LessOrEqual(t, longest(50), 2*time.Second)
}

func TestDelaysWithOddOptions(t *testing.T) {
	now := time.Unix(1000, 0)
	f := func(d *delays, low, high time.Duration) {
		t.Helper()
		for range 100 {
			for _, got := range []time.Duration{d.slot(now), d.random(now)} {
				require.GreaterOrEqual(t, got, low)
				require.LessOrEqual(t, got, high)
			}
		}
	}
	f(newDelays(0, 0, 0, time.Minute), lowDelay, highDelay)
	f(newDelays(0, 20*time.Second, 40*time.Second, 10*time.Second), 10*time.Second, 10*time.Second)
	f(newDelays(1<<40, 0, 0, time.Minute), lowDelay, highDelay)
	f(newDelays(0, 5*time.Second, 5*time.Second, 0), time.Second, time.Second)
}

// comeback is one client of a herd, and when it is there next.
type comeback struct {
	at    time.Time
	tries int
}

type comebacks []comeback

func (c comebacks) Len() int           { return len(c) }
func (c comebacks) Less(i, j int) bool { return c[i].at.Before(c[j].at) }
func (c comebacks) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *comebacks) Push(x any)        { *c = append(*c, x.(comeback)) }
func (c *comebacks) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}

// herd lets n clients arrive at once that come back when they are told to, until
// all were admitted. It returns when they came back, the tries of the one that
// needed most, and how long it took.
func herd(t *testing.T, n, perSecond int, limit, latency time.Duration) (back []time.Time, tries int, took time.Duration) {
	t.Helper()
	start := time.Unix(1000, 0)
	d := newDelays(perSecond, 3*time.Second, 9*time.Second, limit)
	admit := rate.NewLimiter(rate.Limit(perSecond), perSecond)
	var waiting comebacks
	for range n {
		waiting = append(waiting, comeback{at: start})
	}
	for len(waiting) > 0 {
		c := heap.Pop(&waiting).(comeback)
		if c.tries > 0 {
			back = append(back, c.at)
		}
		c.tries++
		require.Less(t, c.at.Sub(start), 24*time.Hour, "not all were admitted")
		if admit.AllowN(c.at, 1) {
			tries, took = max(tries, c.tries), c.at.Sub(start)
			continue
		}
		told := d.slot(c.at)
		require.LessOrEqual(t, told, limit)
		c.at = c.at.Add(told.Truncate(time.Millisecond) + rand.N(latency+1)) // as the wire says it
		heap.Push(&waiting, c)
	}
	return back, tries, took
}

// within returns how many of the times are in the fullest second.
func within(times []time.Time) (most int) {
	slices.SortFunc(times, time.Time.Compare)
	for i, j := 0, 0; j < len(times); j++ {
		for times[j].Sub(times[i]) >= time.Second {
			i++
		}
		most = max(most, j-i+1)
	}
	return most
}

// A herd that was turned away comes back no faster than it is let in, and each
// client is let in when it comes back.
func TestAHerdComesBackAtTheRate(t *testing.T) {
	f := func(n, perSecond int, latency time.Duration) {
		t.Helper()
		back, tries, took := herd(t, n, perSecond, time.Minute, latency)
		require.Len(t, back, n-perSecond, "%d at %d/s: each came back once", n, perSecond)
		require.Equal(t, 2, tries)
		slack := perSecond*int(latency+time.Millisecond)/int(time.Second) + 2
		require.LessOrEqual(t, within(back), perSecond+slack, "%d at %d/s", n, perSecond)
		require.InDelta(t, 3+1.05*float64(n-perSecond)/float64(perSecond), took.Seconds(), 1.1)
	}
	for range 3 {
		f(10_000, 1000, 0)
		f(10_000, 1000, 200*time.Millisecond)
		f(10_000, 2500, 50*time.Millisecond)
		f(500, 10, time.Second)
		f(50, 1, 0)
		f(20_000, 20_000-1, 0)
	}
}

// One that is larger than the longest delay can spread is let in all the same.
func TestAHerdBeyondTheLongestDelayIsLetIn(t *testing.T) {
	back, _, took := herd(t, 5000, 10, 20*time.Second, 0)
	require.GreaterOrEqual(t, len(back), 4990)
	require.GreaterOrEqual(t, took, 499*time.Second, "no faster than the rate")
	require.Less(t, took, 1000*time.Second, "and hardly slower")
}
