//go:build linux

package fanout

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/bench/figures"
	"sluice/bench/mode/modetest"
	"sluice/bench/rig"
)

func cpuRound(side string, round int, cpu, perSecond float64, lost int64) roundResult {
	return roundResult{Side: side, Round: round, CPU: &cpu, PerSecond: perSecond, Lost: lost, Lag: figures.Quantiles{P50: cpu, P99: 2 * cpu}}
}

func TestFanOutReportDividesRoundByRound(t *testing.T) {
	r := &Report{Pattern: PatternClosed, Rounds: []roundResult{
		cpuRound("server", 1, 6, 100, 0), cpuRound("floor", 1, 4, 200, 0),
		cpuRound("floor", 2, 5, 200, 0), cpuRound("server", 2, 5, 150, 0),
		cpuRound("server", 3, 20, 100, 0), cpuRound("floor", 3, 10, 400, 0),
	}}
	r.sumUp()
	require.Equal(t, &figures.Spread{Median: 1.5, Min: 1, Max: 2}, r.Ratios.CPU)
	require.Equal(t, &figures.Spread{Median: 0.5, Min: 0.25, Max: 0.75}, r.Ratios.PerSecond)
	require.Equal(t, &figures.Spread{Median: 1.5, Min: 1, Max: 2}, r.Ratios.P99)
	require.Equal(t, &figures.Spread{Median: 6, Min: 5, Max: 20}, r.Own.CPU)
	require.NoError(t, r.Verdict())

	r.Pattern = PatternBurst
	r.Ratios = fanOutRatios{}
	r.sumUp()
	require.Nil(t, r.Ratios.P99, "the lag of a burst is no ratio to the floor")

	var out bytes.Buffer
	require.NoError(t, figures.WriteReport(&out, r, false))
	require.Contains(t, out.String(), "1.50 (1.00–2.00)")
	out.Reset()
	require.NoError(t, figures.WriteReport(&out, r, true))
	require.True(t, json.Valid(out.Bytes()))
}

func TestFanOutReportWithoutFloorOrCPUStillPrints(t *testing.T) {
	r := &Report{Pattern: PatternClosed, Rounds: []roundResult{{Side: "server", Round: 1, PerSecond: 5}}}
	r.sumUp()
	require.Nil(t, r.Ratios.CPU)
	require.Nil(t, r.Floor)
	require.Nil(t, r.Own.CPU)
	var out bytes.Buffer
	require.NoError(t, figures.WriteReport(&out, r, true))
	require.NoError(t, figures.WriteReport(&out, r, false))
}

func TestFanOutVerdictNamesLossesOfAnyRound(t *testing.T) {
	r := &Report{Rounds: []roundResult{cpuRound("server", 1, 1, 1, 0), cpuRound("floor", 1, 1, 1, 3)}}
	require.ErrorContains(t, r.Verdict(), "3 deliveries were lost")
	r = &Report{WarmUp: losses{Duplicated: 2}}
	require.ErrorContains(t, r.Verdict(), "2 repeated")
}

func TestOwnChannelsAreComparedToNchan(t *testing.T) {
	r := &Report{
		Pattern: PatternBurst, OwnChannels: true, Peers: []peerResult{{Name: rig.BeforeSide}, {Name: rig.NchanSide}},
		Rounds: []roundResult{cpuRound(rig.OurSide, 1, 6, 1, 0), cpuRound(rig.NchanSide, 1, 10, 1, 0), cpuRound(rig.BeforeSide, 1, 12, 1, 0)},
	}
	r.sumUp()
	modetest.Prints(t, r, "÷ nchan's  0.60 (0.60–0.60)  budget ≤ 0.7: kept", "server ÷ before  0.50")
	r.OwnChannels = false
	require.Nil(t, r.OwnOverNchan())
}
