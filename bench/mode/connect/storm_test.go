//go:build linux

package connect

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/bench/mode/modetest"
	"sluice/bench/standin"
)

func TestStormReadsMemorySoonAndLate(t *testing.T) {
	f := &StormFlags{CommonFlags: modetest.Flags((&standin.Server{}).Start(t).URL), Streams: 30, Rounds: 1, Soon: time.Millisecond, late: 2 * time.Millisecond}
	r, err := RunStorm(t.Context(), f)
	require.NoError(t, err)
	require.Len(t, r.Rounds, 1)
	require.Positive(t, r.Rounds[0].PerSecond)
	require.Positive(t, r.Rounds[0].Peak)
	require.NotNil(t, r.LateEach)
	modetest.Prints(t, r, "RSS per stream 1ms after the storm", "RSS per stream 2ms after the storm")

	f.late, f.Soon = time.Millisecond, time.Second
	_, err = RunStorm(t.Context(), f)
	require.ErrorContains(t, err, "-late")
}
