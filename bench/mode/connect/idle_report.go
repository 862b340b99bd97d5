//go:build linux

package connect

import (
	"fmt"
	"io"
	"strconv"

	"sluice/bench/figures"
)

// WriteTable implements figures.Report.
func (r *IdleReport) WriteTable(w io.Writer) error {
	who := "anonymous"
	if r.Token {
		who = "users with an HS256 token each"
	}
	how := "one server that grows from step to step"
	if r.Fresh {
		how = "a fresh server for each step"
	}
	r.WriteTitle(w, "idle: streams on one channel, %s, or connections that wait for their client; %s, read %s after each ramp",
		who, how, r.Settle)
	if err := r.writeSteps(w); err != nil {
		return err
	}
	for _, s := range r.Series {
		s.write(w, s.Name == r.Series[0].Name)
	}
	rounds := len(r.Series[0].Rounds)
	if rounds == 1 {
		_, err := fmt.Fprintln(w, "\none sample: slopes scatter from run to run; take the median of several (-rounds) before judging a budget")
		return err
	}
	_, err := fmt.Fprintf(w, "\nmedian of %d rounds (lowest–highest)\n", rounds)
	return err
}

// write prints the slopes, and whether ours keep their budgets.
func (s *idleSeries) write(w io.Writer, ours bool) {
	fmt.Fprintf(w, "\n%s, %s\nRSS each (slope), KiB  %s, anonymous part of it %s", s.Name, s.Kind, s.RSS, s.Anonymous)
	most := budgetOf(s.Kind)
	judged := ours && most > 0
	if s.Kind != KindStream {
		fmt.Fprintf(w, "; bytes  %.0f", 1024*s.RSS.Median)
	}
	if judged {
		fmt.Fprint(w, "  ", figures.Budget(1024*s.RSS.Median, most))
	}
	fmt.Fprintf(w, "\nkernel, both ends of a connection, with whatever else the machine did, KiB  %s\n", s.Kernel)
	if s.Goroutines != nil {
		fmt.Fprintf(w, "goroutines each  %.4f", s.Goroutines.Median)
		if judged {
			fmt.Fprint(w, "  ", figures.Budget(s.Goroutines.Median, GoroutinesTolerance))
		}
		fmt.Fprintln(w)
	}
	if s.Over != nil {
		fmt.Fprintf(w, "RSS each, ours ÷ %s  %s\n", s.Name, s.Over)
	}
}

// writeSteps prints every measurement.
func (r *IdleReport) writeSteps(w io.Writer) error {
	t := figures.Columns(w)
	fmt.Fprintln(t, "round\tserver\tkind\topen\tRSS MiB\tanonymous MiB\twhole growth, KiB each\tthreads\tgoroutines\tkernel MiB\t")
	const mib = 1 << 20
	for _, series := range r.Series {
		for i, x := range series.Rounds {
			for _, s := range x.Steps {
				goroutines := "-"
				if s.Goroutines >= 0 {
					goroutines = strconv.Itoa(s.Goroutines)
				}
				growth := "-"
				if s.Streams > 0 {
					growth = fmt.Sprintf("%.2f", figures.KiBEach(s.Memory.RSS-s.Empty.RSS, s.Streams))
				}
				fmt.Fprintf(t, "%d\t%s\t%s\t%d\t%.2f\t%.2f\t%s\t%d\t%s\t%.2f\t\n", i+1, series.Name, series.Kind, s.Streams, float64(s.Memory.RSS)/mib,
					float64(s.Memory.Anonymous)/mib, growth, s.Memory.Threads, goroutines, float64(s.Kernel)/mib)
			}
		}
	}
	return t.Flush()
}
