//go:build linux

package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// The budgets of a connect: CPU of an anonymous one as a multiple of the
// floor's, and µs more for a token with HS256 that was not seen before.
const (
	connectBudget = 4.0
	hs256Budget   = 15.0
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
	micros := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / float64(n) }
	t.PerSecond = float64(n) / elapsed.Seconds()
	t.Open, t.CPU = micros(open), micros(all)
}

// connectFigure is a cost over all rounds, in µs per connect.
type connectFigure struct {
	CPU       spread  `json:"cpu_us"`
	OverFloor *spread `json:"over_floor"`             // ÷ the floor's, round by round; nil without a floor
	More      *spread `json:"more_us_than_anonymous"` // round by round; nil for anonymous, the floor and peers
	OursOver  *spread `json:"ours_over_peer"`         // anonymous of ours ÷ this peer's, round by round; nil for ours and the floor
}

// connectSummary is one kind over all rounds.
type connectSummary struct {
	Kind      string        `json:"kind"`
	PerSecond spread        `json:"connects_per_second"`
	Open      connectFigure `json:"open"`
	Whole     connectFigure `json:"open_and_close"`
}

// connectReport is the result of the connect mode.
type connectReport struct {
	header
	Connects int              `json:"connects_per_turn"`
	Ramp     int              `json:"ramp"`
	Peers    []string         `json:"peers"`
	Turns    []connectTurn    `json:"turns"`
	Kinds    []connectSummary `json:"kinds"`
}

func newConnectReport(f *connectFlags, r *rig) *connectReport {
	rep := &connectReport{header: r.header("connect"), Connects: f.connects, Ramp: f.ramp}
	for _, h := range r.peers {
		rep.Peers = append(rep.Peers, h.name)
	}
	return rep
}

// values are a figure of a kind, by round.
func (r *connectReport) values(kind string, f func(t connectTurn) float64) (values []float64) {
	for _, t := range r.Turns {
		if t.Kind == kind {
			values = append(values, f(t))
		}
	}
	return values
}

func openCPU(t connectTurn) float64  { return t.Open }
func wholeCPU(t connectTurn) float64 { return t.CPU }

// figure compares one cost of a kind with those of the floor and of anonymous
// connects.
func (r *connectReport) figure(kind string, f func(t connectTurn) float64) connectFigure {
	own := r.values(kind, f)
	x := connectFigure{CPU: spreadOf(own)}
	if kind != kindFloor {
		x.OverFloor = quotients(own, r.values(kindFloor, f))
	}
	switch {
	case kind == kindFloor || kind == kindAnonymous:
	case slices.Contains(r.Peers, kind):
		x.OursOver = quotients(r.values(kindAnonymous, f), own)
	default:
		x.More = differences(own, r.values(kindAnonymous, f))
	}
	return x
}

// sumUp fills in the kinds from the turns.
func (r *connectReport) sumUp() {
	perSecond := func(t connectTurn) float64 { return t.PerSecond }
	for _, kind := range append([]string{kindFloor, kindAnonymous, kindCached, kindHS256, kindRS256}, r.Peers...) {
		if speeds := r.values(kind, perSecond); len(speeds) > 0 {
			r.Kinds = append(r.Kinds, connectSummary{
				Kind: kind, PerSecond: spreadOf(speeds), Open: r.figure(kind, openCPU), Whole: r.figure(kind, wholeCPU),
			})
		}
	}
}

// budgets are the lines that compare with the budgets.
func (r *connectReport) budgets() (lines []string) {
	add := func(what string, s *spread, most float64) {
		if s != nil {
			lines = append(lines, fmt.Sprintf("%-38s %s  %s", what, s, budget(s.Median, most)))
		}
	}
	for _, s := range r.Kinds {
		switch s.Kind {
		case kindAnonymous:
			add("anonymous ÷ floor, opening", s.Open.OverFloor, connectBudget)
			add("anonymous ÷ floor, with closing", s.Whole.OverFloor, connectBudget)
		case kindHS256:
			add("HS256 − anonymous, µs, opening", s.Open.More, hs256Budget)
			add("HS256 − anonymous, µs, with closing", s.Whole.More, hs256Budget)
		}
	}
	return lines
}

// budget says whether a figure keeps its budget.
func budget(v, most float64) string {
	if v <= most {
		return fmt.Sprintf("budget ≤ %g: kept", most)
	}
	return fmt.Sprintf("budget ≤ %g: MISSED", most)
}

func (r *connectReport) writeTable(w io.Writer) error {
	fmt.Fprintf(w, "connect: CPU of the server per connect, %d streams opened (%d at a time) and then closed in each turn, all on one channel\n%s\n%s\n\n",
		r.Connects, r.Ramp, r.Server, r.Machine)
	t := columns(w)
	fmt.Fprintln(t, "round\tkind\topening, CPU µs\twith closing\tconnects/s\t")
	for _, x := range r.Turns {
		fmt.Fprintf(t, "%d\t%s\t%.2f\t%.2f\t%.0f\t\n", x.Round, x.Kind, x.Open, x.CPU, x.PerSecond)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	orDash := func(s *spread) string {
		if s == nil {
			return "-"
		}
		return s.String()
	}
	t = columns(w)
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
			fmt.Fprintf(w, "anonymous ÷ %s, opening %s, with closing %s\n", s.Kind, s.Open.OursOver, s.Whole.OursOver)
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
