//go:build linux

package connect

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/bench/figures"
	"sluice/bench/mode/modetest"
	"sluice/bench/rig"
	"sluice/bench/standin"
)

func TestStormReadsMemorySoonAndLate(t *testing.T) {
	f := &StormFlags{CommonFlags: modetest.Flags((&standin.Server{}).Start(t).URL), Streams: 30, Rounds: 1, Soon: time.Millisecond, late: 2 * time.Millisecond}
	r, err := RunStorm(t.Context(), f)
	require.NoError(t, err)
	require.Len(t, r.Rounds, 1)
	require.Positive(t, r.Rounds[0].PerSecond)
	require.Positive(t, r.Rounds[0].Peak)
	require.Nil(t, r.Rounds[0].Lag)
	require.NotNil(t, r.Sides[0].LateEach)
	modetest.Prints(t, r, "RSS per stream 1ms after the storm", "RSS per stream 2ms after the storm", "8 at a time")

	f.late, f.Soon = time.Millisecond, time.Second
	_, err = RunStorm(t.Context(), f)
	require.ErrorContains(t, err, "-late")
}

func TestStormInOpenLoopKeepsItsSchedule(t *testing.T) {
	f := &StormFlags{CommonFlags: modetest.Flags((&standin.Server{}).Start(t).URL), Streams: 40, Rounds: 1, Rate: 400}
	f.Ramp = 1 // of the closed loop
	r, err := RunStorm(t.Context(), f)
	require.NoError(t, err)
	x := r.Rounds[0]
	require.GreaterOrEqual(t, x.Seconds, 39.0/400, "the last connect is not due before")
	require.Positive(t, x.Lag.P50)
	modetest.Prints(t, r, "400 a second")
}

func TestStormComparesRoundByRound(t *testing.T) {
	r := &StormReport{Rate: 1, Sides: []stormSide{{Name: rig.OurSide}, {Name: rig.BeforeSide}}}
	for i, v := range [][2]float64{{30, 10}, {40, 10}, {50, 50}} {
		for s, name := range []string{rig.OurSide, rig.BeforeSide} {
			r.Rounds = append(r.Rounds, stormRound{Side: name, Round: i + 1, PerSecond: v[s], CPU: v[s], Lag: &figures.Quantiles{P99: v[s]}})
		}
	}
	r.sumUp()
	want := &figures.Spread{Median: 3, Min: 1, Max: 4}
	before := r.Sides[1]
	require.Equal(t, want, before.SpeedOver)
	require.Equal(t, want, before.CPUOver)
	require.Equal(t, want, before.LagOver)
	require.Nil(t, r.Sides[0].SpeedOver)
	modetest.Prints(t, r, "connects/s, ours ÷ before  3.00 (1.00–4.00)  budget ≥ 2: kept")
}
