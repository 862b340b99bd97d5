//go:build linux

package main

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	json "github.com/goccy/go-json"
	"golang.org/x/sys/unix"
)

// spread is the median of several rounds with the extremes.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// spreadOf sums values up; none make NaNs, which must not reach a report.
func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{math.NaN(), math.NaN(), math.NaN()}
	}
	v := slices.Sorted(slices.Values(values))
	mid := len(v) / 2
	median := v[mid]
	if len(v)%2 == 0 {
		median = (v[mid-1] + v[mid]) / 2
	}
	return spread{Median: median, Min: v[0], Max: v[len(v)-1]}
}

// quotients are those of a and b pair by pair; nil where a value is missing or
// zero.
func quotients(a, b []float64) *spread {
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
	s := spreadOf(values)
	return &s
}

// differences are those of a and b pair by pair; nil where a value is missing.
func differences(a, b []float64) *spread {
	if len(a) == 0 || len(a) != len(b) {
		return nil
	}
	values := make([]float64, len(a))
	for i := range a {
		values[i] = a[i] - b[i]
	}
	s := spreadOf(values)
	return &s
}

func (s spread) String() string { return fmt.Sprintf("%.2f (%.2f–%.2f)", s.Median, s.Min, s.Max) }

// quantiles of a lag, in ms.
type quantiles struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

// quantilesOf reads a histogram of microseconds.
func quantilesOf(h *hdrhistogram.Histogram) quantiles {
	ms := func(us int64) float64 { return float64(us) / 1000 }
	return quantiles{
		P50: ms(h.ValueAtQuantile(50)), P99: ms(h.ValueAtQuantile(99)),
		P999: ms(h.ValueAtQuantile(99.9)), Max: ms(h.Max()),
	}
}

// machine is where and when the figures were taken.
type machine struct {
	CPUs   int    `json:"cpus"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	When   string `json:"when"`
}

func thisMachine() machine {
	m := machine{CPUs: runtime.NumCPU(), Go: runtime.Version(), When: time.Now().UTC().Format(time.RFC3339)}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return m
}

func (m machine) String() string {
	return fmt.Sprintf("%d CPUs shared by server and bench, Linux %s, %s, %s", m.CPUs, m.Kernel, m.Go, m.When)
}

// report is what a mode hands back: fields for machines, a table for people.
type report interface {
	writeTable(w io.Writer) error
}

// writeReport prints r as indented JSON or as a table.
func writeReport(w io.Writer, r report, asJSON bool) error {
	if !asJSON {
		return r.writeTable(w)
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("bench: report: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", b)
	return err
}

// columns aligns rows of tab-separated cells.
func columns(w io.Writer) *tabwriter.Writer {
	return tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
}
