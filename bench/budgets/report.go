//go:build linux

package budgets

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"sluice/bench/figures"
	"sluice/bench/proc"
)

// budgetRow is one budget, and what was measured.
type budgetRow struct {
	Name      string          `json:"name"`
	Unit      string          `json:"unit,omitempty"`
	Must      float64         `json:"must"`
	Aim       float64         `json:"aim,omitempty"`      // 0: none
	AtLeast   bool            `json:"at_least,omitempty"` // more is better
	Tolerance float64         `json:"tolerance,omitempty"`
	Hard      bool            `json:"hard,omitempty"` // to miss it is a failure: messages or streams were lost
	Note      string          `json:"note,omitempty"`
	Got       *figures.Spread `json:"measured"` // nil: could not be measured
	Verdict   string          `json:"verdict"`
	Failure   string          `json:"failure,omitempty"`
}

// exactly is a figure that was not measured in rounds.
func exactly(v float64) *figures.Spread { return &figures.Spread{Median: v, Min: v, Max: v} }

// What a row says.
const (
	budgetMet    = "met"
	budgetAim    = "met, and the aim"
	budgetMissed = "MISSED"
	budgetFailed = "FAILED"
	budgetShown  = "shown" // not judged: see relative
	budgetNone   = "not measured"
)

// relative reports whether a budget holds on any machine: it is a ratio of two
// measurements of one run, or a count that must be zero. Times, rates and sizes
// depend on the machine and on what else runs on it, and are shown only.
func (b *budgetRow) relative() bool { return strings.HasPrefix(b.Unit, "×") || b.Must == 0 }

// judge sets the verdict from the median.
func (b *budgetRow) judge() {
	keeps := func(limit float64) bool {
		if b.AtLeast {
			return b.Got.Median >= limit
		}
		return b.Got.Median <= limit+b.Tolerance
	}
	switch {
	case b.Failure != "":
		b.Verdict = budgetFailed
	case b.Got == nil:
		b.Verdict = budgetNone
	case !b.relative():
		b.Verdict = budgetShown
	case !keeps(b.Must):
		b.Verdict = budgetMissed
	case b.Aim != 0 && keeps(b.Aim):
		b.Verdict = budgetAim
	default:
		b.Verdict = budgetMet
	}
}

// report is the result of the budgets mode.
type report struct {
	figures.Header
	Rounds  int     `json:"rounds_each"`
	Seconds float64 `json:"seconds"`
	// What part of the CPUs others used before and behind the run; -1: unknown.
	BusyBefore float64     `json:"busy_elsewhere_before"`
	BusyAfter  float64     `json:"busy_elsewhere_after"`
	Rows       []budgetRow `json:"budgets"`
}

// Verdict is an error where something could not be measured, or messages or
// streams were lost; another budget that is missed is none.
func (r *report) Verdict() error {
	for _, b := range r.Rows {
		if b.Failure != "" {
			return fmt.Errorf("bench: %s: %s", b.Name, b.Failure)
		}
		if b.Hard && b.Verdict == budgetMissed {
			return fmt.Errorf("bench: %s: expected at most %s, got %s", b.Name, trim(b.Must), figure(b.Got.Median))
		}
	}
	return nil
}

// figure prints a number with as many digits as it deserves.
func figure(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v >= 1000 || v <= -1000:
		return strconv.FormatFloat(v, 'f', 0, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

// WriteTable implements figures.Report.
func (r *report) WriteTable(w io.Writer) error {
	fmt.Fprintf(w, "budgets, in short form: %d interleaved rounds each, %.0f s in all\n%s\n%s\n%s\n\n", r.Rounds, r.Seconds, r.Server, r.Machine, proc.SayBusy(r.BusyBefore, r.BusyAfter))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "budget\tunit\tmust\taim\tmeasured\tspread\t")
	for _, b := range r.Rows {
		sign := "≤ "
		if b.AtLeast {
			sign = "≥ "
		}
		aim, got, spread := "", "-", ""
		if b.Aim != 0 {
			aim = sign + trim(b.Aim)
		}
		if b.Got != nil {
			got, spread = figure(b.Got.Median), figure(b.Got.Min)+"–"+figure(b.Got.Max)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", b.Name, b.Unit, sign+trim(b.Must), aim, got, spread, b.Verdict)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	counts := map[string]int{}
	for _, b := range r.Rows {
		counts[b.Verdict]++
		if b.Note != "" {
			fmt.Fprintf(w, "%s: %s\n", b.Name, b.Note)
		}
	}
	for _, b := range r.Rows {
		if b.Failure != "" {
			fmt.Fprintf(w, "%s failed: %s\n", b.Name, b.Failure)
		}
	}
	_, err := fmt.Fprintf(w, "\n%d met (%d of them the aim), %d missed, %d shown only (no ratio: it depends on the machine), %d failed or not measured; measured: median of the rounds, spread: lowest–highest\n",
		counts[budgetMet]+counts[budgetAim], counts[budgetAim], counts[budgetMissed], counts[budgetShown], counts[budgetFailed]+counts[budgetNone])
	return err
}

// trim prints a limit without needless zeros.
func trim(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
