//go:build linux

package connect

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"sluice/bench/figures"
	"sluice/bench/load"
	"sluice/bench/proc"
	"sluice/bench/rig"
)

// TLSFlags are the settings of the tls mode.
type TLSFlags struct {
	rig.CommonFlags
	Connects, Rounds int
}

// TLSBudget is what handshakes/s must be of those of the program before (-before).
const TLSBudget = 1.0

// SetupTLS declares the flags of the mode tls, and returns what runs it.
func SetupTLS(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &TLSFlags{}
	f.Register(fs)
	fs.StringVar(&f.Before, "before", "", "another binary of ours, such as an older one, to measure in turns with the new one, configured alike")
	fs.IntVar(&f.Connects, "connects", 1000, "streams behind TLS that are opened and then closed in each turn")
	fs.IntVar(&f.Rounds, "rounds", 5, "rounds, in each of which every server takes a turn with full and one with resumed handshakes")
	return func(ctx context.Context) error {
		return f.Conclude(RunTLS(ctx, f))
	}
}

// The kinds of handshakes.
const (
	KindFull    = "full"
	KindResumed = "resumed" // by the ticket of a session before
)

// tlsTurn is one turn of one server. CPU in µs per connect, handshake included.
type tlsTurn struct {
	Side      string  `json:"side"`
	Kind      string  `json:"kind"`
	Round     int     `json:"round"`
	PerSecond float64 `json:"handshakes_per_second"`
	Open      float64 `json:"open_cpu_us"`
	CPU       float64 `json:"open_and_close_cpu_us"`
	BenchCPU  float64 `json:"bench_open_cpu_us"`
}

// tlsSeries is a server and a kind over all rounds. Ratios are ours ÷ those of the
// program before, round by round; nil for that one.
type tlsSeries struct {
	Side      string          `json:"side"`
	Kind      string          `json:"kind"`
	PerSecond figures.Spread  `json:"handshakes_per_second"`
	CPU       figures.Spread  `json:"open_cpu_us"`
	SpeedOver *figures.Spread `json:"handshakes_per_second_over_before"`
	CPUOver   *figures.Spread `json:"open_cpu_over_before"`
	WholeOver *figures.Spread `json:"open_and_close_cpu_over_before"`
}

// TLSReport is the result of the tls mode.
type TLSReport struct {
	figures.Header
	Connects int         `json:"connects_per_turn"`
	Ramp     int         `json:"ramp"`
	Turns    []tlsTurn   `json:"turns"`
	Series   []tlsSeries `json:"series"`
}

// RunTLS runs the mode tls.
func RunTLS(ctx context.Context, f *TLSFlags) (*TLSReport, error) {
	if f.Connects < 1 || f.Rounds < 1 {
		return nil, errors.New("bench: -connects and -rounds should be above zero")
	}
	if f.URL != "" {
		return nil, errors.New("bench: handshakes are measured with servers of our own, which show a certificate of the run's; give -server BINARY or nothing")
	}
	f.Own.TLS = true
	return rig.With(ctx, &f.CommonFlags, f.Connects+64, func(r *rig.Rig) (*TLSReport, error) {
		report := &TLSReport{Header: r.Header("tls"), Connects: f.Connects, Ramp: f.Ramp}
		source := 0
		hosts := r.Hosts()
		for round := range f.Rounds + 1 { // the first warms up
			for i := range 2 * len(hosts) {
				i = (i + round) % (2 * len(hosts))
				turn := tlsTurn{Side: hosts[i/2].Name, Kind: []string{KindFull, KindResumed}[i%2], Round: round}
				r.Progress.Say("round %d of %d, %s, %s handshakes", round, f.Rounds, turn.Side, turn.Kind)
				if err := turn.run(ctx, f, r, hosts[i/2], source); err != nil {
					return nil, fmt.Errorf("bench: round %d, %s, %s: %w", round, turn.Side, turn.Kind, err)
				}
				if source += load.SourcesOf(f.Connects + 1); round > 0 {
					report.Turns = append(report.Turns, turn)
				}
			}
		}
		report.sumUp()
		return report, nil
	})
}

// run opens the streams, and closes them. The first of resumed ones, which has a full
// handshake, is not counted.
func (t *tlsTurn) run(ctx context.Context, f *TLSFlags, r *rig.Rig, h *rig.Host, source int) error {
	c, err := r.SecureClient(h, f.Connects+1, source, t.Kind == KindResumed)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Open(ctx, 1, f.Quiet); err != nil {
		return err
	}
	cpu0, err := proc.RestedCPU(ctx, h.Target.PIDs, f.Quiet)
	if err != nil {
		return err
	}
	own0, begin := proc.OwnCPU(), time.Now()
	if err := c.Open(ctx, f.Connects, f.Quiet); err != nil {
		return err
	}
	t.PerSecond = float64(f.Connects) / time.Since(begin).Seconds()
	t.BenchCPU = figures.MicrosEach(proc.OwnCPU()-own0, f.Connects)
	cpu1, err := proc.RestedCPU(ctx, h.Target.PIDs, f.Quiet)
	if err != nil {
		return err
	}
	if err := c.Err(); err != nil {
		return err
	}
	if got, want := c.Resumed.Load(), int64(f.Connects); t.Kind == KindResumed && got != want {
		return fmt.Errorf("expected %d resumed sessions, got %d", want, got)
	}
	c.Close()
	cpu2, err := proc.RestedCPU(ctx, h.Target.PIDs, f.Quiet)
	t.Open, t.CPU = figures.MicrosEach(cpu1-cpu0, f.Connects), figures.MicrosEach(cpu2-cpu0, f.Connects)
	return err
}

// Over is handshakes/s of a kind ÷ those of the program before; nil without it.
func (r *TLSReport) Over(kind string) *figures.Spread {
	for _, s := range r.Series {
		if s.Side == rig.OurSide && s.Kind == kind {
			return s.SpeedOver
		}
	}
	return nil
}

// sumUp computes medians and ratios.
func (r *TLSReport) sumUp() {
	for _, side := range []string{rig.OurSide, rig.BeforeSide} {
		for _, kind := range []string{KindFull, KindResumed} {
			values := func(side string, f func(t tlsTurn) float64) []float64 {
				return figures.Of(r.Turns, func(t tlsTurn) bool { return t.Side == side && t.Kind == kind }, f)
			}
			perSecond := func(t tlsTurn) float64 { return t.PerSecond }
			open := func(t tlsTurn) float64 { return t.Open }
			whole := func(t tlsTurn) float64 { return t.CPU }
			own := values(side, perSecond)
			if len(own) == 0 {
				continue
			}
			s := tlsSeries{Side: side, Kind: kind, PerSecond: figures.SpreadOf(own), CPU: figures.SpreadOf(values(side, open))}
			if side == rig.OurSide {
				s.SpeedOver = figures.Quotients(own, values(rig.BeforeSide, perSecond))
				s.CPUOver = figures.Quotients(values(side, open), values(rig.BeforeSide, open))
				s.WholeOver = figures.Quotients(values(side, whole), values(rig.BeforeSide, whole))
			}
			r.Series = append(r.Series, s)
		}
	}
}

// WriteTable implements figures.Report.
func (r *TLSReport) WriteTable(w io.Writer) error {
	r.WriteTitle(w, "tls: %d streams behind TLS opened (%d at a time) and then closed in each turn, with full handshakes and with resumed sessions", r.Connects, r.Ramp)
	t := figures.Columns(w)
	fmt.Fprintln(t, "round\tserver\thandshakes\topening, CPU µs\twith closing\tbench CPU\thandshakes/s\t")
	for _, x := range r.Turns {
		fmt.Fprintf(t, "%d\t%s\t%s\t%.1f\t%.1f\t%.1f\t%.0f\t\n", x.Round, x.Side, x.Kind, x.Open, x.CPU, x.BenchCPU, x.PerSecond)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, s := range r.Series {
		fmt.Fprintf(w, "%s, %s: handshakes/s %.0f (%.0f–%.0f), opening, CPU µs %s\n", s.Side, s.Kind, s.PerSecond.Median, s.PerSecond.Min, s.PerSecond.Max, s.CPU)
	}
	for _, s := range r.Series {
		if s.SpeedOver != nil && s.CPUOver != nil && s.WholeOver != nil {
			fmt.Fprintf(w, "%s, ours ÷ before: handshakes/s %s  %s; CPU, opening %s, with closing %s\n",
				s.Kind, s.SpeedOver, figures.BudgetAtLeast(s.SpeedOver.Median, TLSBudget), s.CPUOver, s.WholeOver)
		}
	}
	_, err := fmt.Fprintln(w, "median of the rounds (lowest–highest), ratios round by round; CPU of the server, until it is at rest; the bench's own part of the CPUs is in the table")
	return err
}
