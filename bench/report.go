//go:build linux

package main

import (
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
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
	// Load is the load average of the minute before; absent in older files, -1 if
	// it is unknown.
	Load float64 `json:"load_average,omitempty"`
}

func thisMachine() machine {
	m := machine{CPUs: runtime.NumCPU(), Go: runtime.Version(), When: time.Now().UTC().Format(time.RFC3339), Load: loadAtStart}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return m
}

func (m machine) String() string {
	return fmt.Sprintf("%d CPUs shared by server and bench, load average %.2f before, Linux %s, %s, %s", m.CPUs, m.Load, m.Kernel, m.Go, m.When)
}

// header begins every report.
type header struct {
	Mode    string            `json:"mode"`
	Machine machine           `json:"machine"`
	Server  string            `json:"server"`
	Config  map[string]string `json:"config"` // the flags of the run, secrets left out
}

// header begins the report of a run of mode against the rig's server.
func (r *rig) header(mode string) header {
	return header{Mode: mode, Machine: thisMachine(), Server: r.serverName(), Config: r.flags.settings()}
}

// settings are the values of all flags that say what was measured.
func (f *commonFlags) settings() map[string]string {
	values := map[string]string{}
	if f.set == nil {
		return values
	}
	f.set.VisitAll(func(x *flag.Flag) {
		switch x.Name {
		case "key", "token-secret", "o", "json":
		default:
			values[x.Name] = x.Value.String()
		}
	})
	return values
}

// report is what a mode hands back: fields for machines, a table for people.
type report interface {
	writeTable(w io.Writer) error
}

// finish writes a report where the flags say: the file, and standard output.
func (f *commonFlags) finish(r report) error {
	if f.out != "" {
		if err := writeReportFile(f.out, r); err != nil {
			return err
		}
	}
	return writeReport(os.Stdout, r, f.asJSON)
}

// wrongs collects what a verdict has against a run.
type wrongs []error

// count adds what happened n times and should not have happened once.
func (w *wrongs) count(n int64, what string) {
	if n != 0 {
		*w = append(*w, fmt.Errorf("bench: %d %s", n, what))
	}
}

// judgedReport is a report that can be a failure.
type judgedReport interface {
	report
	verdict() error
}

// conclude ends a mode with what its run returned: the report is written, also
// where its verdict is an error.
func (f *commonFlags) conclude(r judgedReport, err error) error {
	if err != nil {
		return err
	}
	if err := f.finish(r); err != nil {
		return err
	}
	return r.verdict()
}

func writeReportFile(path string, r report) error {
	b, err := encodeReport(r)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = os.WriteFile(path, b, 0o644)
	}
	if err != nil {
		return fmt.Errorf("bench: -o: %w", err)
	}
	return nil
}

func encodeReport(r report) ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("bench: report: %w", err)
	}
	return append(b, '\n'), nil
}

// writeReport prints r as indented JSON or as a table.
func writeReport(w io.Writer, r report, asJSON bool) error {
	if !asJSON {
		return r.writeTable(w)
	}
	b, err := encodeReport(r)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// columns aligns rows of tab-separated cells.
func columns(w io.Writer) *tabwriter.Writer {
	return tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
}
