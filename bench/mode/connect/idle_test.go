//go:build linux

package connect

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/bench/figures"
	"sluice/bench/mode/modetest"
	"sluice/bench/proc"
	"sluice/bench/rig"
	"sluice/bench/standin"
)

func TestIdleReadsMemoryAtEveryStep(t *testing.T) {
	s := &standin.Server{}
	f := &IdleFlags{StepList: "10, 30", Rounds: 1}
	f.Workers, f.Ramp, f.Quiet = 1, 8, standin.Patience
	f.URL, f.Anonymous, f.Channel = s.Start(t).URL+"/connection/uni_sse", true, "bench"
	_, err := RunIdle(t.Context(), f)
	require.ErrorIs(t, err, proc.ErrNoPID)

	f.steps, f.PIDs = nil, strconv.Itoa(os.Getpid())
	r, err := RunIdle(t.Context(), f)
	require.NoError(t, err)
	require.Len(t, r.Series, 1)
	require.Len(t, r.Series[0].Rounds, 1)
	steps := r.Series[0].Rounds[0].Steps
	require.Len(t, steps, 3)
	for i, want := range []int{0, 10, 30} {
		require.Equal(t, want, steps[i].Streams)
		require.Positive(t, steps[i].Memory.RSS)
		require.Equal(t, -1, steps[i].Goroutines, "the stand-in has no pprof page")
	}

	f.steps, f.Rounds = nil, 2
	_, err = RunIdle(t.Context(), f)
	require.ErrorContains(t, err, "-rounds at 1", "a running server cannot be made fresh")
}

func TestIdleHoldsConnectionsThatWaitForTheirClient(t *testing.T) {
	url := (&standin.Server{}).Start(t).URL
	kinds := idleKinds[:len(idleKinds)-1]
	f := &IdleFlags{CommonFlags: modetest.Flags(url), StepList: "5,20", Rounds: 1, Kinds: strings.Join(kinds, ", ")}
	r, err := RunIdle(t.Context(), f)
	require.NoError(t, err)
	require.Len(t, r.Series, len(kinds))
	for i, s := range r.Series {
		require.Equal(t, kinds[i], s.Kind)
		require.Len(t, s.Rounds, 1)
		require.Equal(t, 20, s.Rounds[0].Steps[2].Streams, s.Kind)
	}
	modetest.Prints(t, r, "server, keep-alive", "budget ≤ 600")

	f.Kinds, f.Key = kindAPI, "wrong"
	_, err = RunIdle(t.Context(), f)
	require.ErrorContains(t, err, "401")
	f.Kinds = KindTLS
	_, err = RunIdle(t.Context(), f)
	require.ErrorContains(t, err, "servers of our own")
	f.Kinds = "none"
	_, err = RunIdle(t.Context(), f)
	require.ErrorContains(t, err, "half-head")
}

func TestIdleStepsMustGrow(t *testing.T) {
	for _, list := range []string{"", "x", "5,5", "10,5", "0,5", "5,"} {
		require.Error(t, (&IdleFlags{StepList: list, Rounds: 1}).check(), list)
	}
	require.Error(t, (&IdleFlags{StepList: "5", Rounds: 0}).check())
	require.NoError(t, (&IdleFlags{StepList: "5", Rounds: 3}).check())
}

func TestIdleSlopeIsBetweenFirstAndLastStep(t *testing.T) {
	step := func(streams int, kib int64, goroutines int) idleStep {
		return idleStep{Streams: streams, Memory: proc.Memory{RSS: kib << 10, Anonymous: kib << 9}, Goroutines: goroutines}
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
		return idleRound{Steps: []idleStep{{}, {Streams: 10}, {Streams: 20, Memory: proc.Memory{RSS: kib * 10 << 10}, Goroutines: goroutines * 10}}}
	}
	r := &IdleReport{Series: []idleSeries{
		{Name: rig.OurSide, Rounds: []idleRound{slope(2, 0), slope(9, 1), slope(3, 0)}},
		{Name: "peer", Rounds: []idleRound{slope(4, 0), slope(9, 0), slope(30, 0)}},
	}}
	r.sumUp()
	require.InDelta(t, 3, r.Series[0].RSS.Median, 1e-6)
	require.InDelta(t, 9, r.Series[0].RSS.Max, 1e-6)
	require.InDelta(t, 1, r.Series[0].Goroutines.Max, 1e-6)
	require.Nil(t, r.Series[0].Over)
	require.InDelta(t, 0.5, r.Series[1].Over.Median, 1e-6)
	var out bytes.Buffer
	require.NoError(t, figures.WriteReport(&out, r, false))
	require.Contains(t, out.String(), "3.00 (2.00–9.00)")

	unknown := slope(2, 0)
	unknown.Steps[2].Goroutines = -1
	r = &IdleReport{Series: []idleSeries{{Rounds: []idleRound{slope(2, 0), unknown}}}}
	r.sumUp()
	require.Nil(t, r.Series[0].Goroutines, "one round without the figure leaves no median")
	require.NoError(t, figures.WriteReport(&out, r, true))
}
