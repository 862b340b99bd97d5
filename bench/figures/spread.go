//go:build linux

package figures

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Spread is the median of several rounds with the extremes.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// SpreadOf sums values up; none make NaNs, which must not reach a report.
func SpreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{math.NaN(), math.NaN(), math.NaN()}
	}
	v := slices.Sorted(slices.Values(values))
	mid := len(v) / 2
	median := v[mid]
	if len(v)%2 == 0 {
		median = (v[mid-1] + v[mid]) / 2
	}
	return Spread{Median: median, Min: v[0], Max: v[len(v)-1]}
}

// Of are a figure of the turns that match, in their order; of all where match is nil.
func Of[T any](turns []T, match func(t T) bool, figure func(t T) float64) (values []float64) {
	for _, t := range turns {
		if match == nil || match(t) {
			values = append(values, figure(t))
		}
	}
	return values
}

// MicrosEach is the time that each of n things took, in µs.
func MicrosEach[N int | int64](d time.Duration, n N) float64 {
	return float64(d.Nanoseconds()) / 1000 / float64(n)
}

// KiBEach is what each of n things holds of so many bytes, in KiB.
func KiBEach[N int | int64](bytes int64, n N) float64 { return float64(bytes) / 1024 / float64(n) }

// Quotients are those of a and b pair by pair; nil where a value is missing or
// zero.
func Quotients(a, b []float64) *Spread {
	if len(a) == 0 || len(a) != len(b) {
		return nil
	}
	values := make([]float64, len(a))
	for i := range a {
		if a[i] == 0 || b[i] == 0 {
			return nil
		}
		values[i] = a[i] / b[i]
	}
	s := SpreadOf(values)
	return &s
}

// Differences are those of a and b pair by pair; nil where a value is missing.
func Differences(a, b []float64) *Spread {
	if len(a) == 0 || len(a) != len(b) {
		return nil
	}
	values := make([]float64, len(a))
	for i := range a {
		values[i] = a[i] - b[i]
	}
	s := SpreadOf(values)
	return &s
}

// String is the median (lowest–highest).
func (s Spread) String() string { return fmt.Sprintf("%.2f (%.2f–%.2f)", s.Median, s.Min, s.Max) }

// Quantiles of a lag, in ms.
type Quantiles struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

// QuantilesOf reads a histogram of microseconds.
func QuantilesOf(h *hdrhistogram.Histogram) Quantiles {
	ms := func(us int64) float64 { return float64(us) / 1000 }
	return Quantiles{
		P50: ms(h.ValueAtQuantile(50)), P99: ms(h.ValueAtQuantile(99)),
		P999: ms(h.ValueAtQuantile(99.9)), Max: ms(h.Max()),
	}
}
