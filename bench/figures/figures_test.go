//go:build linux

package figures

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFitLine(t *testing.T) {
	l := FitLine([]float64{0, 1, 2, 3}, []float64{5, 7, 9, 11})
	require.InDelta(t, 2, l.Slope, 1e-9)
	require.InDelta(t, 8, l.Mean, 1e-9)
	require.InDelta(t, 0, l.Error, 1e-9)
	// By hand: slope 0.6, residuals -0.2 0.2 0.2 -0.2 … of 1, 2, 2, 3 with x from 0.
	l = FitLine([]float64{0, 1, 2, 3}, []float64{1, 2, 2, 3})
	require.InDelta(t, 0.6, l.Slope, 1e-9)
	require.InDelta(t, 0.1414, l.Error, 1e-3)
	require.Equal(t, line{Mean: 4}, FitLine([]float64{1, 1, 1}, []float64{4, 4, 4}))
	require.Equal(t, line{}, FitLine(nil, nil))
	require.Zero(t, FitLine([]float64{0, 1}, []float64{0, 1}).Error)
}

func TestSpreadIsMedianAndExtremes(t *testing.T) {
	f := func(want Spread, values ...float64) {
		t.Helper()
		require.Equal(t, want, SpreadOf(values))
	}
	f(Spread{3, 3, 3}, 3)
	f(Spread{2, 1, 9}, 9, 1, 2)
	f(Spread{3, 1, 9}, 9, 1, 2, 4)
}

func TestTheMachineNamesItsLoad(t *testing.T) {
	require.Contains(t, ThisMachine().String(), "load average")
}

func TestQuantilesAreMillisecondsOfRecordedLags(t *testing.T) {
	h := NewHistogram()
	for i := range 1000 {
		RecordMicros(h, int64(i+1)*1_000_000) // 1 to 1000 ms
	}
	q := QuantilesOf(h)
	require.InEpsilon(t, 500, q.P50, 0.002)
	require.InEpsilon(t, 990, q.P99, 0.002)
	require.InEpsilon(t, 999, q.P999, 0.002)
	require.InEpsilon(t, 1000, q.Max, 0.002)

	RecordMicros(h, -5) // a clock that stepped back
	RecordMicros(h, int64(time.Hour))
	require.EqualValues(t, 1, h.Min())
	require.InEpsilon(t, MaxLagMicros, h.Max(), 0.002)
}
