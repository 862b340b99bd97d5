//go:build linux

package fronts

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/bench/mode/modetest"
	"sluice/bench/rig"
	"sluice/bench/standin"
)

// Each side takes a turn in each round but the first, and is told next to the direct one.
func TestSidesTakeTurns(t *testing.T) {
	s := &standin.Server{}
	f := &Flags{CommonFlags: modetest.Flags(s.Start(t).URL), Size: 128, Rounds: 3, Rate: 500, Duration: 50 * time.Millisecond}
	r, err := rig.New(t.Context(), &f.CommonFlags, 64)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	report, err := measure(t.Context(), f, r, []side{{direct, &r.Host, &r.Host}, {"front", &r.Host, &r.Host}})
	require.NoError(t, err)
	require.Len(t, report.Turns, 6)
	require.Len(t, report.Sides, 2)
	for _, x := range report.Turns {
		require.InDelta(t, 25, x.Sent, 1)
		require.Positive(t, x.Lag.P99)
	}
	require.Equal(t, 1.0, report.Sides[0].OverP50.Median)
	require.Zero(t, report.Sides[0].Added)
	require.NotNil(t, report.Sides[1].OverP99)
	modetest.Prints(t, report, "direct", "front", "p50 added")
	require.NoError(t, report.Verdict())
}

func TestWrongFlags(t *testing.T) {
	for _, f := range []*Flags{{}, {Rounds: 1, Rate: 1}, {CommonFlags: modetest.Flags("http://127.0.0.1:1"), Rounds: 1, Rate: 1, Duration: 1}} {
		_, err := Run(context.Background(), f)
		require.ErrorContains(t, err, "bench: ")
	}
}
