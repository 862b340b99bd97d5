//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSpreadIsMedianAndExtremes(t *testing.T) {
	f := func(want spread, values ...float64) {
		t.Helper()
		require.Equal(t, want, spreadOf(values))
	}
	f(spread{3, 3, 3}, 3)
	f(spread{2, 1, 9}, 9, 1, 2)
	f(spread{3, 1, 9}, 9, 1, 2, 4)
}

func TestTheMachineNamesItsLoad(t *testing.T) {
	require.Contains(t, thisMachine().String(), "load average")
}

func TestQuantilesAreMillisecondsOfRecordedLags(t *testing.T) {
	h := newHistogram()
	for i := range 1000 {
		recordMicros(h, int64(i+1)*1_000_000) // 1 to 1000 ms
	}
	q := quantilesOf(h)
	require.InEpsilon(t, 500, q.P50, 0.002)
	require.InEpsilon(t, 990, q.P99, 0.002)
	require.InEpsilon(t, 999, q.P999, 0.002)
	require.InEpsilon(t, 1000, q.Max, 0.002)

	recordMicros(h, -5) // a clock that stepped back
	recordMicros(h, int64(time.Hour))
	require.EqualValues(t, 1, h.Min())
	require.InEpsilon(t, maxLagMicros, h.Max(), 0.002)
}

func TestDeliveriesKeepTheLagOfTheLastStream(t *testing.T) {
	g := newGoal()
	parts := []*deliveries{newDeliveries(g, 2), newDeliveries(g, 2)}
	event := func(m message) []byte {
		b, err := newPayload(100)
		require.NoError(t, err)
		stampPayload(b, m)
		return b
	}
	const t0 = int64(1_700_000_000_000_000_000)
	const ms = int64(time.Millisecond)
	sent := []uint32{7, 0}
	for _, d := range parts {
		d.begin(sent)
		for stream := range 2 {
			d.Opened(stream, nil)
		}
	}
	m := message{sent: t0, publisher: 0, seq: 7}
	parts[0].Event(0, event(m), t0+1*ms)
	parts[0].Event(1, event(m), t0+2*ms)
	parts[1].Event(0, event(m), t0+8*ms)
	parts[1].Event(1, event(m), t0+9*ms)
	parts[1].Event(1, event(m), t0+50*ms) // a repeat moves no lag
	parts[1].Event(1, []byte(`{}`), t0)   // a ping
	parts[1].Event(1, []byte(`{"pub":{"data":1}}`), t0)
	parts[1].Event(1, event(message{sent: t0, publisher: 2}), t0)
	all := newArrivals(2)
	for _, d := range parts {
		d.Flush()
		d.settle([]uint32{8, 0})
		all.take(d)
	}
	require.EqualValues(t, 4, g.arrived.Load())
	require.Equal(t, tally{fresh: 4, duplicated: 1}, all.tally)
	require.EqualValues(t, 2, all.foreign)
	require.EqualValues(t, 4, all.lag.TotalCount())
	require.EqualValues(t, 1, all.lastStream().TotalCount())
	require.InEpsilon(t, 9000, all.lastStream().Max(), 0.002)
}

func cpuRound(side string, round int, cpu, perSecond float64, lost int64) roundResult {
	return roundResult{Side: side, Round: round, CPU: &cpu, PerSecond: perSecond, Lost: lost, Lag: quantiles{P50: cpu, P99: 2 * cpu}}
}

func TestFanOutReportDividesRoundByRound(t *testing.T) {
	r := &fanOutReport{Pattern: patternClosed, Rounds: []roundResult{
		cpuRound("server", 1, 6, 100, 0), cpuRound("floor", 1, 4, 200, 0),
		cpuRound("floor", 2, 5, 200, 0), cpuRound("server", 2, 5, 150, 0),
		cpuRound("server", 3, 20, 100, 0), cpuRound("floor", 3, 10, 400, 0),
	}}
	r.sumUp()
	require.Equal(t, &spread{1.5, 1, 2}, r.Ratios.CPU)
	require.Equal(t, &spread{0.5, 0.25, 0.75}, r.Ratios.PerSecond)
	require.Equal(t, &spread{1.5, 1, 2}, r.Ratios.P99)
	require.Equal(t, &spread{6, 5, 20}, r.Own.CPU)
	require.NoError(t, r.verdict())

	r.Pattern = patternBurst
	r.Ratios = fanOutRatios{}
	r.sumUp()
	require.Nil(t, r.Ratios.P99, "the lag of a burst is no ratio to the floor")

	var out bytes.Buffer
	require.NoError(t, writeReport(&out, r, false))
	require.Contains(t, out.String(), "1.50 (1.00–2.00)")
	out.Reset()
	require.NoError(t, writeReport(&out, r, true))
	require.True(t, json.Valid(out.Bytes()))
}

func TestFanOutReportWithoutFloorOrCPUStillPrints(t *testing.T) {
	r := &fanOutReport{Pattern: patternClosed, Rounds: []roundResult{{Side: "server", Round: 1, PerSecond: 5}}}
	r.sumUp()
	require.Nil(t, r.Ratios.CPU)
	require.Nil(t, r.Floor)
	require.Nil(t, r.Own.CPU)
	var out bytes.Buffer
	require.NoError(t, writeReport(&out, r, true))
	require.NoError(t, writeReport(&out, r, false))
}

func TestFanOutVerdictNamesLossesOfAnyRound(t *testing.T) {
	r := &fanOutReport{Rounds: []roundResult{cpuRound("server", 1, 1, 1, 0), cpuRound("floor", 1, 1, 1, 3)}}
	require.ErrorContains(t, r.verdict(), "3 deliveries were lost")
	r = &fanOutReport{WarmUp: losses{Duplicated: 2}}
	require.ErrorContains(t, r.verdict(), "2 repeated")
}

func TestIdleSlopeIsBetweenFirstAndLastStep(t *testing.T) {
	step := func(streams int, kib int64, goroutines int) idleStep {
		return idleStep{Streams: streams, Memory: processMemory{RSS: kib << 10, Anonymous: kib << 9}, Goroutines: goroutines}
	}
	r := idleRound{Steps: []idleStep{step(0, 1000, 10), step(100, 5000, 12), step(300, 5500, 12)}}
	r.sumUp()
	require.InDelta(t, 2.5, r.RSS, 1e-9)
	require.InDelta(t, 1.25, r.Anonymous, 1e-9)
	require.Zero(t, *r.Goroutines)

	r = idleRound{Steps: []idleStep{step(0, 1000, -1), step(100, 5000, -1)}}
	r.sumUp()
	require.InDelta(t, 40, r.RSS, 1e-9)
	require.Nil(t, r.Goroutines)
}

func TestIdleReportTakesMediansOfItsRounds(t *testing.T) {
	slope := func(kib int64, goroutines int) idleRound { // per stream
		return idleRound{Steps: []idleStep{{}, {Streams: 10}, {Streams: 20, Memory: processMemory{RSS: kib * 10 << 10}, Goroutines: goroutines * 10}}}
	}
	r := &idleReport{Series: []idleSeries{
		{Name: ourSide, Rounds: []idleRound{slope(2, 0), slope(9, 1), slope(3, 0)}},
		{Name: "peer", Rounds: []idleRound{slope(4, 0), slope(9, 0), slope(30, 0)}},
	}}
	r.sumUp()
	require.InDelta(t, 3, r.Series[0].RSS.Median, 1e-6)
	require.InDelta(t, 9, r.Series[0].RSS.Max, 1e-6)
	require.InDelta(t, 1, r.Series[0].Goroutines.Max, 1e-6)
	require.Nil(t, r.Series[0].Over)
	require.InDelta(t, 0.5, r.Series[1].Over.Median, 1e-6)
	var out bytes.Buffer
	require.NoError(t, writeReport(&out, r, false))
	require.Contains(t, out.String(), "3.00 (2.00–9.00)")

	unknown := slope(2, 0)
	unknown.Steps[2].Goroutines = -1
	r = &idleReport{Series: []idleSeries{{Rounds: []idleRound{slope(2, 0), unknown}}}}
	r.sumUp()
	require.Nil(t, r.Series[0].Goroutines, "one round without the figure leaves no median")
	require.NoError(t, writeReport(&out, r, true))
}
