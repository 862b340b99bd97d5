package session

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/actor"
	"sluice/gateway/loop"
)

func newTimerAgent(t *testing.T) *Agent {
	t.Helper()
	pool, err := actor.NewPool(1)
	require.NoError(t, err)
	group, err := loop.NewGroup(1, pool, loop.Options{})
	require.NoError(t, err)
	t.Cleanup(func() {
		group.Stop()
		pool.Release()
	})
	return &Agent{m: &Manager{clock: newWallClock(nil)}, loop: group.Loops[0], rand: rand.New(rand.NewPCG(1, 2))}
}

// PROTOCOL 1.5: the first ping comes at a uniformly random moment in
// [interval/2, interval).
func TestFirstDeadlinesAreSpreadOverTheSecondHalfOfTheInterval(t *testing.T) {
	a := newTimerAgent(t)
	const interval, samples = 25 * time.Second, 10_000
	var tenths [10]int
	for range samples {
		at := time.Duration(a.spread(interval) - a.loop.Now())
		require.GreaterOrEqual(t, at, interval/2)
		require.Less(t, at, interval)
		tenths[(at-interval/2)*10/(interval/2)]++
	}
	for i, n := range tenths {
		require.InDelta(t, samples/10, n, samples/50, "tenth %d", i)
	}
	require.Zero(t, a.spread(0))
	require.Zero(t, a.spread(-1))
}

func TestDeadlinesOfUnixTimes(t *testing.T) {
	a := newTimerAgent(t)
	now := time.Now().Unix()
	in := func(unix int64, delay time.Duration) time.Duration {
		return time.Duration(a.at(unix, delay) - a.loop.Now())
	}
	require.Zero(t, a.at(0, time.Hour), "never")
	require.Zero(t, a.at(-5, time.Hour))
	deadline := time.Unix(now+100, 0).Add(10 * time.Second)
	before := time.Until(deadline)
	left := in(now+100, 10*time.Second)
	require.LessOrEqual(t, left, before)
	require.GreaterOrEqual(t, left, time.Until(deadline))
	require.EqualValues(t, 1, a.at(1, 0), "the past is due, but not never")
	for _, far := range []int64{1<<63 - 1, 1 << 62, now + 1<<40} {
		require.Greater(t, in(far, time.Hour), 50*365*24*time.Hour, "%d must not overflow", far)
	}
}

func TestEarlierTakesZeroForNone(t *testing.T) {
	f := func(want, a, b int64) {
		t.Helper()
		require.Equal(t, want, earlier(a, b))
		require.Equal(t, want, earlier(b, a))
	}
	f(0, 0, 0)
	f(5, 5, 0)
	f(5, 5, 7)
}
