//go:build linux

package compress

import (
	"fmt"
	"io"
	"time"

	"sluice/bench/figures"
	"sluice/bench/rig"
)

// The budgets of the mode, as ratios to streams without a coding.
const (
	IndependentBudget = 0.45 // bytes, where events share no context
	GroupsBudget      = 0.33 // bytes, where they do
	CPUBudget         = 1.1  // CPU per delivery
)

// Turn is one turn of one side.
type Turn struct {
	Side    string  `json:"side"`
	Round   int     `json:"round"`
	Seconds float64 `json:"seconds"`
	Bytes   float64 `json:"bytes_per_delivery"`
	CPU     float64 `json:"cpu_us_per_delivery"` // of the server, publishing and compressing included
}

func (t *Turn) fill(deliveries int, bytes int64, cpu time.Duration) {
	t.Bytes = float64(bytes) / float64(deliveries)
	t.CPU = figures.MicrosEach(cpu, deliveries)
}

// Report is the result of the mode.
type Report struct {
	figures.Header
	Streams  int    `json:"streams"`
	Size     int    `json:"size"`
	Messages int    `json:"messages_per_turn"`
	Turns    []Turn `json:"turns"`
}

func newReport(f *Flags, r *rig.Rig) *Report {
	return &Report{Header: r.Header("compress"), Streams: f.Streams, Size: f.Size, Messages: f.Messages}
}

// of returns a figure of all turns of a side, in order of rounds.
func (r *Report) of(name string, figure func(t Turn) float64) []float64 {
	return figures.Of(r.Turns, func(t Turn) bool { return t.Side == name }, figure)
}

// Ratios are what a side has next to that without a coding, over all rounds.
func (r *Report) Ratios(name string) (bytes, cpu *figures.Spread) {
	size, work := func(t Turn) float64 { return t.Bytes }, func(t Turn) float64 { return t.CPU }
	return figures.Quotients(r.of(name, size), r.of("identity", size)), figures.Quotients(r.of(name, work), r.of("identity", work))
}

// WriteTable implements figures.Report.
func (r *Report) WriteTable(w io.Writer) error {
	r.WriteTitle(w, "compress: one message at a time, the next when every stream has it\n%d streams of each side, about %d B of JSON, %d messages a turn", r.Streams, r.Size, r.Messages)
	bytes, cpu := func(t Turn) float64 { return t.Bytes }, func(t Turn) float64 { return t.CPU }
	t := figures.Columns(w)
	fmt.Fprintln(t, "side\tbytes/delivery\t÷ identity\tbudget\tCPU µs/delivery\t÷ identity\tbudget\t")
	for _, s := range sides() {
		b, c := figures.SpreadOf(r.of(s.name, bytes)), figures.SpreadOf(r.of(s.name, cpu))
		if s.accept == "" {
			fmt.Fprintf(t, "%s\t%.0f\t\t\t%s\t\t\t\n", s.name, b.Median, c)
			continue
		}
		most := GroupsBudget
		if s.others != nil {
			most = IndependentBudget
		}
		size, work := r.Ratios(s.name)
		fmt.Fprintf(t, "%s\t%.0f\t%.3f\t%s\t%s\t%s\t%s\t\n", s.name, b.Median, size.Median, figures.Budget(size.Median, most), c, work, figures.Budget(work.Median, CPUBudget))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "ratios: median of the rounds (lowest–highest); bytes with chunk heads")
	return err
}
