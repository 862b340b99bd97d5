package heap

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

func TestTheHeapGrowsLeastWithSomeInUse(t *testing.T) {
	f := func(live uint64, want int) {
		t.Helper()
		require.Equal(t, want, gcPercent(live, 0, false))
	}
	f(0, 100)
	f(1*mib, 175) // at 7 MiB, before which there is no collection anyhow
	f(2*mib, 200)
	f(3*mib, 200) // by 6 MiB, as all that have less than that in use
	f(5*mib, 120)
	f(6*mib-1, 100)
	f(6*mib, 50)
	f(32*mib-1, 50)
	f(32*mib, 75)
	f(64*mib, 100)
	f(1<<40, 100)
	flight := func(live, inFlight uint64, want int) {
		t.Helper()
		require.Equal(t, want, gcPercent(live, inFlight, false))
	}
	flight(76*mib, 64*mib, 7)    // by 6 MiB: half of what else is in use
	flight(66*mib, 64*mib, 6)    // by 4 MiB
	flight(1064*mib, 64*mib, 93) // by 1000
	flight(40*mib, 16*mib, 30)
	flight(20*mib, 18*mib, 20)
	flight(40*mib, flightGrowth-1, 75) // few are as nothing
	flight(10*mib, 64*mib, 40)         // it has come since
	flight(1<<40, 1<<40, 1)
	flight(0, 64*mib, 100)
	storm := func(live, inFlight uint64, want int) {
		t.Helper()
		require.Equal(t, want, gcPercent(live, inFlight, true))
	}
	storm(0, 0, 100)
	storm(2*mib, 0, 450) // at 18 MiB, before which there is no collection anyhow
	storm(5*mib, 0, 320)
	storm(8*mib, 0, 200)
	storm(10*mib, 0, 160)
	storm(20*mib, 0, 80)
	storm(40*mib, 0, 75)
	storm(100*mib, 0, 100)
	storm(40*mib, 16*mib, 30) // a burst counts more
}

func TestAStormOfConnects(t *testing.T) {
	var p pace
	now := time.Now()
	p.storms(1000, now)
	require.False(t, p.storms(1000, now.Add(time.Second)))
	require.False(t, p.storms(1000+stormConnects, now.Add(2*time.Second)))
	require.True(t, p.storms(1001+2*stormConnects, now.Add(3*time.Second)))
	came := uint64(1001 + 2*stormConnects)
	require.False(t, p.storms(came+stormFew, now.Add(3*time.Second+time.Millisecond)), "a few, just now")
	require.True(t, p.storms(came+2*stormFew+1, now.Add(3*time.Second+10*time.Millisecond)))
	require.False(t, p.storms(came+2*stormFew+1, now.Add(3*time.Second+20*time.Millisecond)), "it is over")
}

// percent returns what is set.
func percent() int {
	n := debug.SetGCPercent(100)
	debug.SetGCPercent(n)
	return n
}

func TestThePaceFollowsEveryCollection(t *testing.T) {
	if _, fixed := os.LookupEnv("GOGC"); fixed {
		t.Skip("GOGC is set")
	}
	before := percent()
	p := startPace(func() int64 { return 0 }, func() uint64 { return 0 })
	t.Cleanup(func() { debug.SetGCPercent(before) })
	defer p.stop()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	seen := make(map[int]bool)
	for _, size := range []int{100 * mib, 20 * mib, 150 * mib} {
		held := make([]byte, size)
		testkit.EventuallyWithin(t, time.Minute, func() bool {
			runtime.GC() // other tests have left something, too
			metrics.Read(live)
			return percent() == gcPercent(live[0].Value.Uint64(), 0, false)
		}, "the percentage of what is in use")
		seen[percent()] = true
		runtime.KeepAlive(held)
	}
	require.Greater(t, len(seen), 1)
}

func TestThePaceKnowsOfStormsAndOfBursts(t *testing.T) {
	var inFlight int64
	var accepted uint64
	p := pace{inFlight: func() int64 { return inFlight }, accepted: func() uint64 { return accepted }}
	now := time.Now()
	next := func(live uint64) int {
		now = now.Add(time.Second)
		return p.next(live, now)
	}
	require.Equal(t, 50, next(10*mib))
	accepted += 10_000
	require.Equal(t, 160, next(10*mib))
	require.Equal(t, 50, next(10*mib), "it is over")
	inFlight = 30 * mib
	require.Equal(t, 12, next(40*mib))
}

func TestThePaceIsThatOfTheEnvironment(t *testing.T) {
	t.Setenv("GOGC", "70")
	before := debug.SetGCPercent(70)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	p := startPace(func() int64 { return 0 }, func() uint64 { return 0 })
	defer p.stop()
	runtime.GC()
	time.Sleep(10 * time.Millisecond)
	require.Equal(t, 70, percent())
}

func TestMemoryGoesBackWhenABurstBegins(t *testing.T) {
	var p pace
	now := time.Now()
	require.False(t, p.begins(false, now))
	require.True(t, p.begins(true, now))
	require.False(t, p.begins(true, now.Add(time.Hour)), "it goes on")
	require.False(t, p.begins(false, now))
	require.False(t, p.begins(true, now.Add(giveEvery-1)))
	require.False(t, p.begins(false, now))
	require.True(t, p.begins(true, now.Add(giveEvery)))
}
