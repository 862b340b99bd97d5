package session

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLivesAreSpreadAroundTheConfiguredOne(t *testing.T) {
	a := newTimerAgent(t)
	const life, samples = 100 * time.Second, 10_000
	a.m = &Manager{opt: Options{MaxLifetime: life}}
	var tenths [10]int
	for range samples {
		got := time.Duration(a.lifeEnd(0).at()-a.loop.Now()) - 80*time.Second
		require.GreaterOrEqual(t, got, time.Duration(0))
		require.LessOrEqual(t, got, 40*time.Second+100*time.Millisecond)
		tenths[min(got*10/(40*time.Second), 9)]++
	}
	for i, n := range tenths {
		require.InDelta(t, samples/10, n, samples/50, "tenth %d", i)
	}
	a.m.opt.MaxLifetime = 0
	require.Zero(t, a.lifeEnd(0))
	a.m.opt.MaxLifetime = 1<<63 - 1
	require.Greater(t, a.lifeEnd(0).at(), int64(6*365*24*time.Hour))
	a.m.opt.MaxLifetime = time.Nanosecond
	require.Positive(t, a.lifeEnd(0))
}

func TestPaceOfAShutdown(t *testing.T) {
	f := func(total, perSecond int, within, elapsed time.Duration, due int, rest time.Duration) {
		t.Helper()
		p := newPace(total, perSecond, within)
		require.Equal(t, due, p.due(elapsed))
		require.InDelta(t, rest.Seconds(), p.rest(elapsed).Seconds(), 0.001)
	}
	const long = time.Hour
	f(10, 2000, long, 0, 10, 5*time.Millisecond) // few go at once
	f(10_000, 2000, long, 0, 100, 5*time.Second)
	f(10_000, 2000, long, 50*time.Millisecond, 200, 4950*time.Millisecond)
	f(10_000, 2000, long, 4950*time.Millisecond, 10_000, 50*time.Millisecond)
	f(10_000, 2000, long, time.Minute, 10_000, 0)
	f(10_000, 1, long, 0, 1, time.Hour*3/4) // a slow one begins all the same
	f(10_000, 0, long, 0, 10_000, 0)
	f(10_000, 2000, 0, 0, 10_000, 0)
	f(0, 2000, long, 0, 1, 0)
	// Faster where the time is short.
	f(10_000, 100, 8*time.Second, 0, 83, 6*time.Second)
	f(10_000, 100, 4*time.Second, 0, 200, 2500*time.Millisecond)
	f(10_000, 100, 4*time.Second, 2450*time.Millisecond, 10_000, 50*time.Millisecond)
	f(10_000, 100, time.Second, 0, 2000, 250*time.Millisecond)
}

func TestLoopsShareAStepByTheirSessions(t *testing.T) {
	f := func(n int, of, want []int) {
		t.Helper()
		require.Equal(t, want, shares(n, of))
	}
	f(0, []int{5, 5}, []int{0, 0})
	f(-1, []int{5, 5}, []int{0, 0})
	f(4, []int{5, 5}, []int{2, 2})
	f(3, []int{5, 5}, []int{2, 1})
	f(100, []int{5, 5}, []int{5, 5})
	f(10, []int{0, 30, 10}, []int{0, 8, 2})
	f(1, []int{0, 0, 1}, []int{0, 0, 1})
	f(3, []int{1, 1, 1, 1}, []int{1, 1, 1, 0})
	f(5, []int{0, 0}, []int{0, 0})
	for n := range 40 { // the shares are all of it, and nobody's are more than it has
		of := []int{3, 0, 17, 9, 1}
		give := shares(n, of)
		require.Equal(t, min(n, 30), sum(give))
		for i := range of {
			require.LessOrEqual(t, give[i], of[i])
		}
	}
}

func TestTimeLeft(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	deadline, _ := ctx.Deadline()
	before := time.Until(deadline)
	left := remaining(ctx)
	require.LessOrEqual(t, left, before)
	require.GreaterOrEqual(t, left, time.Until(deadline))
	cancel()
	require.Zero(t, remaining(ctx), "cancelled: none, whatever the deadline")
	require.Equal(t, closeWithin, remaining(t.Context()))
}
