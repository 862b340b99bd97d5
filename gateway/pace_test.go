package gateway

import (
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheHeapGrowsLeastWithSomeInUse(t *testing.T) {
	f := func(live uint64, want int) {
		t.Helper()
		require.Equal(t, want, gcPercent(live))
	}
	f(0, 100)
	f(6*mib-1, 100)
	f(6*mib, 50)
	f(32*mib-1, 50)
	f(32*mib, 75)
	f(64*mib, 100)
	f(1<<40, 100)
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
	p := startPace()
	t.Cleanup(func() { debug.SetGCPercent(before) })
	defer p.stop()
	for _, size := range []int{100 * mib, 20 * mib, 150 * mib} {
		held := make([]byte, size)
		require.Eventually(t, func() bool {
			runtime.GC()
			return percent() == gcPercent(uint64(size+8*mib))
		}, 10*time.Second, time.Millisecond, "with %d bytes in use", size)
		runtime.KeepAlive(held)
	}
}

func TestThePaceIsThatOfTheEnvironment(t *testing.T) {
	t.Setenv("GOGC", "70")
	before := debug.SetGCPercent(70)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	p := startPace()
	defer p.stop()
	runtime.GC()
	time.Sleep(10 * time.Millisecond)
	require.Equal(t, 70, percent())
}
