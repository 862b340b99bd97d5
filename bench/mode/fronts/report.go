//go:build linux

package fronts

import (
	"fmt"
	"io"

	"sluice/bench/figures"
	"sluice/bench/rig"
)

// direct is the side without a front.
const direct = "direct"

// Report is the result of the mode fronts.
type Report struct {
	figures.Header
	Size  int     `json:"size"`
	Rate  float64 `json:"per_second"`
	Turns []turn  `json:"turns"`
	Sides []Side  `json:"sides"`
}

// Side is what one way was like: medians of the rounds, ms.
type Side struct {
	Name  string         `json:"name"`
	P50   figures.Spread `json:"p50_ms"`
	P99   figures.Spread `json:"p99_ms"`
	Added figures.Spread `json:"p50_added_ms"` // to the direct one, round by round
	// The same, as quotients.
	OverP50 *figures.Spread `json:"p50_over_direct"`
	OverP99 *figures.Spread `json:"p99_over_direct"`
}

func newReport(f *Flags, r *rig.Rig, sides []side) *Report {
	report := &Report{Header: r.Header("fronts"), Size: f.Size, Rate: f.Rate}
	for _, s := range sides {
		report.Sides = append(report.Sides, Side{Name: s.name})
	}
	return report
}

// of are figures of a side's turns, in the order of rounds.
func (r *Report) of(name string, figure func(q figures.Quantiles) float64) []float64 {
	return figures.Of(r.Turns, func(t turn) bool { return t.Side == name }, func(t turn) float64 { return figure(t.Lag) })
}

// sumUp fills in the sides.
func (r *Report) sumUp() {
	p50 := func(q figures.Quantiles) float64 { return q.P50 }
	p99 := func(q figures.Quantiles) float64 { return q.P99 }
	straight50, straight99 := r.of(direct, p50), r.of(direct, p99)
	for i := range r.Sides {
		s := &r.Sides[i]
		own50, own99 := r.of(s.Name, p50), r.of(s.Name, p99)
		s.P50, s.P99 = figures.SpreadOf(own50), figures.SpreadOf(own99)
		added := make([]float64, len(own50))
		for k := range own50 {
			added[k] = own50[k] - straight50[k]
		}
		s.Added = figures.SpreadOf(added)
		s.OverP50, s.OverP99 = figures.Quotients(own50, straight50), figures.Quotients(own99, straight99)
	}
}

// Verdict implements figures.Report: a message that is lost or repeated ends the run
// before.
func (r *Report) Verdict() error { return nil }

// WriteTable implements figures.Report.
func (r *Report) WriteTable(w io.Writer) error {
	r.WriteTitle(w, "fronts: lag of an event of %d B on one stream, %g a second, ms since it was due", r.Size, r.Rate)
	t := figures.Columns(w)
	fmt.Fprintln(t, "way\tp50\tp99\tp50 added\tp50 ÷ direct\tp99 ÷ direct\t")
	for _, s := range r.Sides {
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.2f (%.2f–%.2f)\t%s\t%s\t\n", s.Name, s.P50.Median, s.P99.Median,
			s.Added.Median, s.Added.Min, s.Added.Max, s.OverP50, s.OverP99)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "\nmedians of the rounds (lowest–highest)")
	return err
}
