//go:build linux

package fanout

import (
	"testing"

	"sluice/bench/mode/modetest"
	"sluice/bench/standin"
)

// measure runs the fan-out mode against s.
func measure(t *testing.T, s *standin.Server, change func(f *Flags)) (*Report, error) {
	t.Helper()
	f := tinyFanOut(s.Start(t).URL)
	change(f)
	return Run(t.Context(), f)
}

func tinyFanOut(url string) *Flags {
	return &Flags{
		CommonFlags: modetest.Flags(url), Mode: "fan-out", Streams: 20, Size: 128, Messages: 30, Rounds: 2, Rate: 500, Conns: 4, InFlight: 16, Pattern: "closed",
	}
}
