//go:build linux

package figures

import (
	"fmt"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// MaxLagMicros is the longest lag that is told apart; a longer one counts as this.
const MaxLagMicros = 120_000_000

// NewHistogram is of µs, up to MaxLagMicros, with three digits.
func NewHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, MaxLagMicros, 3) }

// RecordMicros records a duration of ns, clamped to the histogram's range.
func RecordMicros(h *hdrhistogram.Histogram, ns int64) {
	us := min(max(ns/1000, 1), MaxLagMicros)
	if err := h.RecordValue(us); err != nil {
		panic(fmt.Sprintf("BUG: %d µs is outside the histogram: %v", us, err))
	}
}
