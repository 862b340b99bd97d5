//go:build linux

package fanout

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/bench/mode/modetest"
	"sluice/bench/proc"
	"sluice/bench/rig"
	"sluice/bench/standin"
)

func TestTrendTellsGrowthFromNoise(t *testing.T) {
	f := func(want string, value func(second float64) float64) {
		t.Helper()
		var seconds, values []float64
		for s := 0.0; s < 1800; s += 10 {
			seconds, values = append(seconds, s), append(values, value(s))
		}
		require.Equal(t, want, newTrend("x", seconds, values).Verdict)
	}
	f(trendFlat, func(float64) float64 { return 100 })
	f(trendFlat, func(s float64) float64 { return 1000 + s/100 }) // 0.6 % in 10 minutes
	f(trendFlat, func(s float64) float64 { return 1000 - s/2 })   // falling is well
	f(trendGrows, func(s float64) float64 { return 1000 + s/10 }) // 6 %
	f(trendUnsure, func(s float64) float64 { return 100 + 90*float64(int(s/10)%7) })
}

func TestSoakSamplesWhileStreamsComeAndGo(t *testing.T) {
	modetest.NeedDiag(t)
	f := &soakFlags{
		Flags: *tinyFanOut((&standin.Server{}).Start(t).URL), duration: 2 * time.Second, sample: 100 * time.Millisecond, churn: 5, stalled: 2, load: 0.1, calibrate: 20,
	}
	f.Mode, f.Pattern, f.Conns, f.InFlight, f.Rounds = "soak", "paced", 1, 8, 1
	r, err := runSoak(t.Context(), f)
	require.NoError(t, err)
	require.Zero(t, r.Lost+r.Duplicated+r.Foreign)
	require.NotEmpty(t, r.Samples)
	require.Len(t, r.Trends, 3)
	require.Equal(t, "threads", r.Trends[2].Name, "the stand-in has no pprof page")
	modetest.Prints(t, r, "open files")

	f.duration = 200 * time.Millisecond
	_, err = runSoak(t.Context(), f)
	require.ErrorContains(t, err, "-duration")
}

func TestSoakStreamsComeAndGoAndStall(t *testing.T) {
	modetest.NeedDiag(t)
	f := &soakFlags{Flags: *tinyFanOut((&standin.Server{}).Start(t).URL), churn: 5, stalled: 3}
	r, err := rig.New(t.Context(), &f.CommonFlags, 100)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	x := &soakRun{f: f, r: r}
	for want := range 3 {
		require.EqualValues(t, want*5, x.churned)
		require.NoError(t, x.generation(t.Context()))
	}
	require.NoError(t, x.stall(t.Context()))
	require.NoError(t, x.stall(t.Context()), "they are replaced")
	require.NoError(t, proc.AwaitSockets(t.Context(), r.Streams.Port(), 3, f.Quiet))
	m, err := proc.ReadSocketMemory(r.Streams.Port())
	require.NoError(t, err)
	require.GreaterOrEqual(t, m.Sockets, 3)
	x.stalled.Close()
}
