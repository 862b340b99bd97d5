//go:build linux

package connect

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"sluice/bench/figures"
	"sluice/bench/rig"
)

// The budgets of a connect: CPU of an anonymous one as a multiple of the
// floor's and of nchan's, and µs more for a token with HS256 that was not seen before.
const (
	Budget      = 2.5
	NchanBudget = 1.1
	HS256Budget = 12.0
)

// connectTurn is one turn of one kind. CPU in µs per connect.
type connectTurn struct {
	Kind      string  `json:"kind"`
	Round     int     `json:"round"`
	PerSecond float64 `json:"connects_per_second"`
	Open      float64 `json:"open_cpu_us"`           // up to all connect pushes
	CPU       float64 `json:"open_and_close_cpu_us"` // and back to rest after all were closed
}

// fill computes the figures of n connects.
func (t *connectTurn) fill(n int, elapsed, open, all time.Duration) {
	t.PerSecond = float64(n) / elapsed.Seconds()
	t.Open, t.CPU = figures.MicrosEach(open, n), figures.MicrosEach(all, n)
}

// connectFigure is a cost over all rounds, in µs per connect.
type connectFigure struct {
	CPU       figures.Spread  `json:"cpu_us"`
	OverFloor *figures.Spread `json:"over_floor"`             // ÷ the floor's, round by round; nil without a floor
	More      *figures.Spread `json:"more_us_than_anonymous"` // round by round; nil for anonymous, the floor and peers
	OursOver  *figures.Spread `json:"ours_over_peer"`         // anonymous of ours ÷ this peer's, round by round; nil for ours and the floor
}

// connectSummary is one kind over all rounds.
type connectSummary struct {
	Kind      string          `json:"kind"`
	PerSecond figures.Spread  `json:"connects_per_second"`
	SpeedOver *figures.Spread `json:"connects_per_second_ours_over_peer"` // as OursOver
	Open      connectFigure   `json:"open"`
	Whole     connectFigure   `json:"open_and_close"`
}

// Report is the result of the connect mode.
type Report struct {
	figures.Header
	Connects int              `json:"connects_per_turn"`
	Ramp     int              `json:"ramp"`
	Peers    []string         `json:"peers"`
	Turns    []connectTurn    `json:"turns"`
	Kinds    []connectSummary `json:"kinds"`
}

func newReport(f *Flags, r *rig.Rig) *Report {
	rep := &Report{Header: r.Header("connect"), Connects: f.Connects, Ramp: f.Ramp}
	for _, h := range r.Peers {
		rep.Peers = append(rep.Peers, h.Name)
	}
	return rep
}

// values are a figure of a kind, by round.
func (r *Report) values(kind string, f func(t connectTurn) float64) []float64 {
	return figures.Of(r.Turns, func(t connectTurn) bool { return t.Kind == kind }, f)
}

func openCPU(t connectTurn) float64 { return t.Open }

func wholeCPU(t connectTurn) float64 { return t.CPU }

// figure compares one cost of a kind with those of the floor and of anonymous
// connects.
func (r *Report) figure(kind string, f func(t connectTurn) float64) connectFigure {
	own := r.values(kind, f)
	x := connectFigure{CPU: figures.SpreadOf(own)}
	if kind != KindFloor {
		x.OverFloor = figures.Quotients(own, r.values(KindFloor, f))
	}
	switch {
	case kind == KindFloor || kind == KindAnonymous:
	case slices.Contains(r.Peers, kind):
		x.OursOver = figures.Quotients(r.values(KindAnonymous, f), own)
	case strings.HasPrefix(kind, nameBefore("")):
		x.More = figures.Differences(own, r.values(rig.BeforeSide, f))
	default:
		x.More = figures.Differences(own, r.values(KindAnonymous, f))
	}
	return x
}

// sumUp fills in the kinds from the turns.
func (r *Report) sumUp() {
	perSecond := func(t connectTurn) float64 { return t.PerSecond }
	ours := []string{KindAnonymous, kindCached, KindHS256, kindRS256}
	kinds := append(append([]string{KindFloor}, ours...), r.Peers...)
	for _, kind := range ours[1:] {
		kinds = append(kinds, nameBefore(kind))
	}
	for _, kind := range kinds {
		speeds := r.values(kind, perSecond)
		if len(speeds) == 0 {
			continue
		}
		s := connectSummary{Kind: kind, PerSecond: figures.SpreadOf(speeds), Open: r.figure(kind, openCPU), Whole: r.figure(kind, wholeCPU)}
		if slices.Contains(r.Peers, kind) {
			s.SpeedOver = figures.Quotients(r.values(KindAnonymous, perSecond), speeds)
		}
		r.Kinds = append(r.Kinds, s)
	}
}

// budgets are the lines that compare with the budgets.
func (r *Report) budgets() (lines []string) {
	add := func(what string, s *figures.Spread, most float64) {
		if s != nil {
			lines = append(lines, fmt.Sprintf("%-38s %s  %s", what, s, figures.Budget(s.Median, most)))
		}
	}
	for _, s := range r.Kinds {
		switch s.Kind {
		case KindAnonymous:
			add("anonymous ÷ floor, opening", s.Open.OverFloor, Budget)
			add("anonymous ÷ floor, with closing", s.Whole.OverFloor, Budget)
		case KindHS256:
			add("HS256 − anonymous, µs, opening", s.Open.More, HS256Budget)
			add("HS256 − anonymous, µs, with closing", s.Whole.More, HS256Budget)
		case rig.NchanSide:
			add("anonymous ÷ nchan, opening", s.Open.OursOver, NchanBudget)
			add("anonymous ÷ nchan, with closing", s.Whole.OursOver, NchanBudget)
		}
	}
	return lines
}

// WriteTable implements figures.Report.
func (r *Report) WriteTable(w io.Writer) error {
	r.WriteTitle(w, "connect: CPU of the server per connect, %d streams opened (%d at a time) and then closed in each turn, all on one channel",
		r.Connects, r.Ramp)
	t := figures.Columns(w)
	fmt.Fprintln(t, "round\tkind\topening, CPU µs\twith closing\tconnects/s\t")
	for _, x := range r.Turns {
		fmt.Fprintf(t, "%d\t%s\t%.2f\t%.2f\t%.0f\t\n", x.Round, x.Kind, x.Open, x.CPU, x.PerSecond)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	orDash := func(s *figures.Spread) string {
		if s == nil {
			return "-"
		}
		return s.String()
	}
	t = figures.Columns(w)
	fmt.Fprintln(t, "median\topening, CPU µs\t÷ floor\t− anonymous, µs\twith closing\t÷ floor\t− anonymous, µs\t")
	for _, s := range r.Kinds {
		fmt.Fprintf(t, "%s\t", s.Kind)
		for _, x := range []connectFigure{s.Open, s.Whole} {
			fmt.Fprintf(t, "%s\t%s\t%s\t", x.CPU, orDash(x.OverFloor), orDash(x.More))
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, s := range r.Kinds {
		if s.Open.OursOver != nil {
			fmt.Fprintf(w, "anonymous ÷ %s: opening %s, with closing %s, connects/s %s\n", s.Kind, s.Open.OursOver, s.Whole.OursOver, orDash(s.SpeedOver))
		}
	}
	for _, line := range r.budgets() {
		fmt.Fprintln(w, line)
	}
	_, err := fmt.Fprintf(w, "median of the rounds (lowest–highest); ratios and differences are taken round by round\n"+
		"CPU until the server is at rest after the last connect push (opening) and after the last close, collector included; HS256 and RS256: every token is new to the server; HS256 cached: %d tokens that it has seen\n"+
		"the floor takes, answers and closes one connection after the other: head and connect push of an anonymous stream in one send, nothing parsed\n", repeatedUsers)
	return err
}
