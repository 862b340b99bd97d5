//go:build linux

package fanout

import (
	"errors"
	"fmt"
	"io"
	"math"

	"sluice/bench/figures"
	"sluice/bench/rig"
)

// soakBudget is how much a figure may grow, in percent per ten minutes.
const soakBudget = 1.0

// soakSample is the server at one moment.
type soakSample struct {
	Seconds    float64 `json:"seconds"` // since the start
	RSS        int64   `json:"rss"`
	Files      int     `json:"open_files"`
	Goroutines int     `json:"goroutines"` // -1: the server has no pprof page
	Threads    int     `json:"threads"`
	PerSecond  float64 `json:"deliveries_per_second"`
	P99        float64 `json:"p99_lag_ms"`
}

// What a trend says.
const (
	trendFlat   = "flat"
	trendGrows  = "GROWS"
	trendUnsure = "too noisy to tell, run longer"
)

// trend is how a figure moved, in percent of its mean per ten minutes.
type trend struct {
	Name    string  `json:"name"`
	Mean    float64 `json:"mean"`
	Percent float64 `json:"percent_per_10_minutes"`
	Error   float64 `json:"standard_error"` // of Percent
	Verdict string  `json:"verdict"`
}

// newTrend fits a line through the figure.
func newTrend(name string, seconds, values []float64) trend {
	l := figures.FitLine(seconds, values)
	t := trend{Name: name, Mean: l.Mean, Verdict: trendFlat}
	if l.Mean != 0 {
		t.Percent, t.Error = l.Slope*600/l.Mean*100, l.Error*600/math.Abs(l.Mean)*100
	}
	switch {
	case t.Percent-2*t.Error > soakBudget:
		t.Verdict = trendGrows
	case t.Percent > soakBudget || t.Error > 2*soakBudget:
		// Why: a short run's line leans one way or the other by chance.
		t.Verdict = trendUnsure
	}
	return t
}

// soakReport is the result of the soak mode.
type soakReport struct {
	figures.Header
	Streams    int          `json:"streams"`
	Churn      int          `json:"churn"`
	Stalled    int          `json:"stalled"`
	Churned    int64        `json:"connects_of_churn"`
	Size       int          `json:"size"`
	Most       float64      `json:"most_messages_per_second"`
	Rate       float64      `json:"messages_per_second"`
	WarmUp     float64      `json:"warm_up_seconds"`
	Deliveries int64        `json:"deliveries"`
	Lost       int64        `json:"lost"`
	Duplicated int64        `json:"duplicated"`
	Foreign    int64        `json:"foreign"`
	Samples    []soakSample `json:"samples"`
	Trends     []trend      `json:"trends"`
}

func newSoakReport(f *soakFlags, r *rig.Rig) *soakReport {
	return &soakReport{
		Header: r.Header("soak"), Streams: f.Streams, Churn: f.churn, Stalled: f.stalled, Size: f.Size, WarmUp: f.warmUp.Seconds(),
	}
}

// take counts what a turn delivered.
func (r *soakReport) take(x roundResult) {
	r.Deliveries += x.Deliveries
	r.Lost += x.Lost
	r.Duplicated += x.Duplicated
	r.Foreign += x.Foreign
}

// sumUp fits the trends through the samples behind the warm-up.
func (r *soakReport) sumUp() {
	r.Trends = nil
	add := func(name string, f func(s soakSample) float64) {
		var seconds, values []float64
		for _, s := range r.Samples {
			if s.Seconds < r.WarmUp {
				continue
			}
			if f(s) < 0 {
				return
			}
			seconds, values = append(seconds, s.Seconds), append(values, f(s))
		}
		r.Trends = append(r.Trends, newTrend(name, seconds, values))
	}
	add("RSS, MiB", func(s soakSample) float64 { return float64(s.RSS) / (1 << 20) })
	add("open files", func(s soakSample) float64 { return float64(s.Files) })
	before := len(r.Trends)
	add("goroutines", func(s soakSample) float64 { return float64(s.Goroutines) })
	if len(r.Trends) == before { // nobody tells
		add("threads", func(s soakSample) float64 { return float64(s.Threads) })
	}
}

// Verdict is an error where messages were lost or repeated, or a figure grows.
func (r *soakReport) Verdict() error {
	var errs []error
	if r.Lost != 0 || r.Duplicated != 0 {
		errs = append(errs, fmt.Errorf("bench: %d deliveries were lost and %d repeated", r.Lost, r.Duplicated))
	}
	for _, t := range r.Trends {
		if t.Verdict == trendGrows {
			errs = append(errs, fmt.Errorf("bench: %s grows by %.2f %% per 10 minutes, more than %g", t.Name, t.Percent, soakBudget))
		}
	}
	return errors.Join(errs...)
}

// WriteTable implements figures.Report.
func (r *soakReport) WriteTable(w io.Writer) error {
	r.WriteTitle(w, "soak: %d streams that stay, %d that come and go, %d that do not read; %.0f messages/s of %d B, of %.0f that the machine takes",
		r.Streams, r.Churn, r.Stalled, r.Rate, r.Size, r.Most)
	t := figures.Columns(w)
	fmt.Fprintln(t, "seconds\tRSS MiB\topen files\tgoroutines\tthreads\tdeliveries/s\tp99 lag ms\t")
	for _, s := range r.Samples {
		fmt.Fprintf(t, "%.0f\t%.2f\t%d\t%d\t%d\t%.0f\t%.2f\t\n", s.Seconds, float64(s.RSS)/(1<<20), s.Files, s.Goroutines, s.Threads, s.PerSecond, s.P99)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	t = figures.Columns(w)
	fmt.Fprintf(t, "after %.0f s\tmean\t%% per 10 minutes\tstandard error\tbudget ≤ %g\t\n", r.WarmUp, soakBudget)
	for _, x := range r.Trends {
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.2f\t%s\t\n", x.Name, x.Mean, x.Percent, x.Error, x.Verdict)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d deliveries, %d lost, %d repeated, %d foreign; %d connects of streams that came and went\n",
		r.Deliveries, r.Lost, r.Duplicated, r.Foreign, r.Churned)
	return err
}
