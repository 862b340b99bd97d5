package gateway

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMemoryIsGivenBackWhenAStormIsOver(t *testing.T) {
	var w stormWatch
	now := time.Unix(1_000_000, 0)
	f := func(connects uint64, later time.Duration, want bool) {
		t.Helper()
		now = now.Add(later)
		require.Equal(t, want, w.over(connects, now), "at %d connects", connects)
	}
	f(50, memoryLook, false)       // no storm
	f(900, memoryLook, false)      // it begins
	f(5000, memoryLook, false)     // and goes on
	f(5050, memoryLook, true)      // it is over
	f(5060, memoryLook, false)     // once
	f(7000, memoryLook, false)     // the next one
	f(7001, memoryLook, false)     // over, but too soon after the last time
	f(7002, memoryPause, true)     // now
	f(7900, memoryPause, false)    // not many enough
	f(7901, memoryPause, false)    // still not
	f(8100, 2*memoryPause, false)  // at the moment it is not calm
	f(8100, memoryLook, true)      // 1,098 since the last time
	f(8100, 10*memoryPause, false) // nothing since
	require.Equal(t, uint64(8100), w.given)
}
