//go:build linux

package fanout

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/bench/mode/modetest"
	"sluice/bench/rig"
	"sluice/bench/standin"
)

func TestChannelsBringsEveryMessageToItsOwnStream(t *testing.T) {
	r, err := measure(t, &standin.Server{}, func(f *Flags) {
		f.Mode, f.Pattern, f.OwnChannels, f.Streams, f.Messages, f.InFlight = "channels", "burst", true, 21, 100, 4
	})
	require.NoError(t, err)
	require.NoError(t, r.Verdict())
	for _, x := range r.Rounds {
		require.EqualValues(t, 100, x.Deliveries, "one for each message")
		require.Zero(t, x.Lost+x.Duplicated+x.Reordered+x.Foreign)
	}
	modetest.Prints(t, r, "on a channel each", "CPU of a publication and its delivery")
}

func TestMultiComparesManyChannelsWithOne(t *testing.T) {
	f := &MultiFlags{Flags: *tinyFanOut((&standin.Server{}).Start(t).URL), Channels: 3}
	f.Mode, f.Conns, f.InFlight = "multi", 1, 1
	r, err := RunMulti(t.Context(), f)
	require.NoError(t, err)
	require.NoError(t, r.Verdict())
	require.Len(t, r.side(rig.OurSide), 2)
	require.Len(t, r.side(manySide), 2)
	for _, x := range r.Rounds {
		require.EqualValues(t, 20*30, x.Deliveries)
	}
	require.NotNil(t, r.Ratio)
	modetest.Prints(t, r, "many ÷ one channel")
}

func TestSlowMeasuresWithAndWithoutStalledStreams(t *testing.T) {
	modetest.NeedDiag(t)
	f := &SlowFlags{Flags: *tinyFanOut((&standin.Server{}).Start(t).URL), Percent: 20, Fill: 3}
	f.Mode, f.Pattern, f.Conns, f.InFlight, f.Messages = "slow", "paced", 1, 8, 5
	r, err := RunSlow(t.Context(), f)
	require.NoError(t, err)
	require.NoError(t, r.Verdict())
	require.Equal(t, 5, r.Count, "20 percent of all are 5 next to 20")
	require.Len(t, r.Turns, 4)
	stalled := 0
	for _, x := range r.Turns {
		if x.Count > 0 {
			stalled++
			require.InDelta(t, 5, x.Left, 1, "five messages close nobody")
		}
	}
	require.Equal(t, 2, stalled)
	require.Len(t, r.side(stalledSide), 2)
	require.NotNil(t, r.P99)
	modetest.Prints(t, r, "kernel per stalled stream")
}

func TestHealthIsAskedUnderLoadAndAtRest(t *testing.T) {
	f := &HealthFlags{Flags: *tinyFanOut((&standin.Server{}).Start(t).URL), Every: time.Millisecond, Rest: 20 * time.Millisecond}
	f.Mode, f.Pattern, f.Rounds, f.Messages = "health", "burst", 1, 200
	r, err := RunHealth(t.Context(), f)
	require.NoError(t, err)
	require.NoError(t, r.Verdict())
	require.Len(t, r.Turns, 2)
	for _, x := range r.Turns {
		require.Positive(t, x.Answers)
		require.Positive(t, x.MS.Max)
	}
	modetest.Prints(t, r, "saturated")
}
