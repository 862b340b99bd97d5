//go:build linux

package connect

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/bench/mode/modetest"
	"sluice/bench/rig"
)

func TestTLSComparesRoundByRound(t *testing.T) {
	r := &TLSReport{}
	for round := range 3 {
		for side, v := range map[string]float64{rig.OurSide: 30, rig.BeforeSide: 20} {
			for _, kind := range []string{KindFull, KindResumed} {
				r.Turns = append(r.Turns, tlsTurn{Side: side, Kind: kind, Round: round, PerSecond: v, Open: 10 * v, CPU: 20 * v})
			}
		}
	}
	r.sumUp()
	require.Len(t, r.Series, 4)
	modetest.Prints(t, r, "full, ours ÷ before: handshakes/s 1.50 (1.50–1.50)  budget ≥ 1: kept; CPU, opening 1.50", "before, resumed: handshakes/s 20 (20–20)")
}

func TestTLSIsMeasuredWithServersOfOurOwn(t *testing.T) {
	f := &TLSFlags{Rounds: 1}
	_, err := RunTLS(t.Context(), f)
	require.ErrorContains(t, err, "-connects")
	f.Connects, f.URL = 1, "http://127.0.0.1:1/x"
	_, err = RunTLS(t.Context(), f)
	require.ErrorContains(t, err, "-server")
}
