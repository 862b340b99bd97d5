//go:build linux

package connect

import (
	"fmt"
	"io"

	"sluice/bench/figures"
	"sluice/bench/proc"
	"sluice/bench/rig"
)

// stormRound is one storm of one server. Memory in bytes.
type stormRound struct {
	Side      string             `json:"side"`
	Round     int                `json:"round"`
	Seconds   float64            `json:"seconds"`
	PerSecond float64            `json:"connects_per_second"`
	CPU       float64            `json:"cpu_us_per_connect"`
	BenchCPU  float64            `json:"bench_cpu_us_per_connect"`
	Lag       *figures.Quantiles `json:"connect_ms"` // since each connect was due; nil in closed loop
	Empty     proc.Memory        `json:"empty"`
	Peak      int64              `json:"rss_peak"` // from the first connect to the first reading
	Soon      proc.Memory        `json:"soon"`
	Late      *proc.Memory       `json:"late"` // nil: not read
	// KiB per stream.
	SoonEach      float64  `json:"soon_kib_per_stream"`
	SoonAnonymous float64  `json:"soon_anonymous_kib_per_stream"` // the part that is no file, such as the text of the program
	LateEach      *float64 `json:"late_kib_per_stream"`
}

// stormSide is one server over all rounds. What is ours ÷ this one's is taken round by
// round, and nil for ours.
type stormSide struct {
	Name      string          `json:"name"`
	PerSecond figures.Spread  `json:"connects_per_second"`
	CPU       figures.Spread  `json:"cpu_us_per_connect"`
	SoonEach  figures.Spread  `json:"soon_kib_per_stream"`
	Anonymous figures.Spread  `json:"soon_anonymous_kib_per_stream"`
	LateEach  *figures.Spread `json:"late_kib_per_stream"`
	SpeedOver *figures.Spread `json:"connects_per_second_ours_over"`
	CPUOver   *figures.Spread `json:"cpu_ours_over"`
	LagOver   *figures.Spread `json:"connect_p99_ours_over"` // nil in closed loop, too
}

// StormReport is the result of the storm mode.
type StormReport struct {
	figures.Header
	Streams int          `json:"streams"`
	Ramp    int          `json:"ramp"`
	Rate    float64      `json:"rate,omitempty"` // 0: closed loop
	Soon    string       `json:"soon"`
	Late    string       `json:"late"`
	Rounds  []stormRound `json:"rounds"`
	Sides   []stormSide  `json:"sides"` // ours first
}

// sumUp computes medians and ratios.
func (r *StormReport) sumUp() {
	values := func(side string, f func(x stormRound) float64) []float64 {
		return figures.Of(r.Rounds, func(x stormRound) bool { return x.Side == side }, f)
	}
	perSecond := func(x stormRound) float64 { return x.PerSecond }
	cpu := func(x stormRound) float64 { return x.CPU }
	p99 := func(x stormRound) float64 {
		if x.Lag == nil {
			return 0
		}
		return x.Lag.P99
	}
	for i := range r.Sides {
		s := &r.Sides[i]
		s.PerSecond, s.CPU = figures.SpreadOf(values(s.Name, perSecond)), figures.SpreadOf(values(s.Name, cpu))
		s.SoonEach = figures.SpreadOf(values(s.Name, func(x stormRound) float64 { return x.SoonEach }))
		s.Anonymous = figures.SpreadOf(values(s.Name, func(x stormRound) float64 { return x.SoonAnonymous }))
		late := figures.Of(r.Rounds, func(x stormRound) bool { return x.Side == s.Name && x.LateEach != nil }, func(x stormRound) float64 { return *x.LateEach })
		if len(late) > 0 {
			l := figures.SpreadOf(late)
			s.LateEach = &l
		}
		if i > 0 {
			s.SpeedOver = figures.Quotients(values(rig.OurSide, perSecond), values(s.Name, perSecond))
			s.CPUOver = figures.Quotients(values(rig.OurSide, cpu), values(s.Name, cpu))
			s.LagOver = figures.Quotients(values(rig.OurSide, p99), values(s.Name, p99))
		}
	}
}

// WriteTable implements figures.Report.
func (r *StormReport) WriteTable(w io.Writer) error {
	how := fmt.Sprintf("as fast as they can, %d at a time", r.Ramp)
	if r.Rate > 0 {
		how = fmt.Sprintf("%g a second, whatever becomes of those before", r.Rate)
	}
	r.WriteTitle(w, "storm: %d streams on one channel connect %s; memory per stream %s and later", r.Streams, how, r.Soon)
	if err := r.writeRounds(w); err != nil {
		return err
	}
	for _, s := range r.Sides {
		fmt.Fprintf(w, "\n%s\nconnects/s  %s\nRSS per stream %s after the storm, KiB  %s, anonymous part of it %s", s.Name, s.PerSecond, r.Soon, s.SoonEach, s.Anonymous)
		if s.Name == rig.OurSide {
			fmt.Fprint(w, "  ", figures.Budget(s.SoonEach.Median, StormBudget))
		}
		fmt.Fprintln(w)
		if s.LateEach != nil {
			fmt.Fprintf(w, "RSS per stream %s after the storm, KiB  %s", r.Late, s.LateEach)
			if s.Name == rig.OurSide {
				fmt.Fprint(w, "  ", figures.Budget(s.LateEach.Median, stormLateBudget))
			}
			fmt.Fprintln(w)
		}
		s.writeRatios(w)
	}
	_, err := fmt.Fprintln(w, "\nper stream: (RSS − RSS before the first stream) ÷ streams; median of the rounds (lowest–highest), ratios round by round;\n"+
		"CPU of a storm counts all that the server did up to the first reading; the bench shares the CPUs: its own part of a connect is in the table")
	return err
}

// writeRatios prints how ours stands to this server.
func (s *stormSide) writeRatios(w io.Writer) {
	if s.SpeedOver != nil {
		budget := ""
		if s.Name == rig.BeforeSide {
			budget = figures.BudgetAtLeast(s.SpeedOver.Median, StormSpeedBudget)
		}
		fmt.Fprintf(w, "connects/s, ours ÷ %s  %s  %s\n", s.Name, s.SpeedOver, budget)
	}
	if s.CPUOver != nil {
		fmt.Fprintf(w, "CPU per connect, ours ÷ %s  %s\n", s.Name, s.CPUOver)
	}
	if s.LagOver != nil {
		fmt.Fprintf(w, "p99 of a connect, ours ÷ %s  %s\n", s.Name, s.LagOver)
	}
}

// writeRounds prints every storm.
func (r *StormReport) writeRounds(w io.Writer) error {
	t := figures.Columns(w)
	fmt.Fprintln(t, "round\tserver\tseconds\tconnects/s\tCPU µs/connect\tbench CPU\tconnect p50 ms\tp99\tmax\tRSS empty MiB\tpeak\tsoon\tlate\tsoon, KiB/stream\tlate\t")
	const mib = 1 << 20
	for _, x := range r.Rounds {
		late, lag := "-", "-\t-\t-"
		if x.Late != nil {
			late = fmt.Sprintf("%.2f", float64(x.Late.RSS)/mib)
		}
		if x.Lag != nil {
			lag = fmt.Sprintf("%.1f\t%.1f\t%.1f", x.Lag.P50, x.Lag.P99, x.Lag.Max)
		}
		fmt.Fprintf(t, "%d\t%s\t%.2f\t%.0f\t%.1f\t%.1f\t%s\t%.2f\t%.2f\t%.2f\t%s\t%.2f\t%s\t\n", x.Round, x.Side, x.Seconds, x.PerSecond, x.CPU, x.BenchCPU, lag,
			float64(x.Empty.RSS)/mib, float64(x.Peak)/mib, float64(x.Soon.RSS)/mib, late, x.SoonEach, figures.Known(x.LateEach))
	}
	return t.Flush()
}
