//go:build linux

package fanout

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"sluice/bench/figures"
	"sluice/bench/load"
	"sluice/bench/proc"
	"sluice/bench/rig"
)

// HealthFlags are the settings of the health mode.
type HealthFlags struct {
	Flags
	Every time.Duration
	Rest  time.Duration // how long a turn at rest asks
	url   string
}

// SetupHealth declares the flags of the mode health, and returns what runs it.
func SetupHealth(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &HealthFlags{}
	f.Mode, f.Pattern, f.Rate = "health", string(PatternBurst), 1
	f.Register(fs)
	fs.StringVar(&f.url, "health-url", "", "health URL of the running server (default: /health where its streams are)")
	fs.DurationVar(&f.Every, "every", 5*time.Millisecond, "time between questions")
	fs.DurationVar(&f.Rest, "rest", time.Second, "how long a turn at rest asks")
	fs.IntVar(&f.Streams, "streams", 1000, "open streams, all on one channel")
	fs.IntVar(&f.Size, "size", 128, "bytes of JSON data per message")
	fs.IntVar(&f.Messages, "messages", 8000, "messages per saturated turn")
	fs.IntVar(&f.Rounds, "rounds", 5, "rounds, in each of which there is a saturated turn and one at rest")
	fs.IntVar(&f.Conns, "conns", 16, "publishing connections")
	fs.IntVar(&f.InFlight, "in-flight", 256, "publications in flight, over all connections")
	return func(ctx context.Context) error {
		return f.Conclude(RunHealth(ctx, f))
	}
}

// HealthBudget is the p99 of an answer of a saturated server, ms.
const HealthBudget = 25.0

// healthTurn is one turn.
type healthTurn struct {
	Round     int               `json:"round"`
	Saturated bool              `json:"saturated"`
	Answers   int64             `json:"answers"`
	MS        figures.Quantiles `json:"answer_ms"`
}

// HealthReport is the result of the health mode. In the rounds are the
// saturated turns.
type HealthReport struct {
	Report
	Every string         `json:"every"`
	Turns []healthTurn   `json:"turns"`
	Busy  figures.Spread `json:"answer_p99_ms_saturated"`
	Rest  figures.Spread `json:"answer_p99_ms_at_rest"`
}

// RunHealth runs the mode health.
func RunHealth(ctx context.Context, f *HealthFlags) (*HealthReport, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	if f.Every <= 0 {
		return nil, errors.New("bench: -every should be above zero")
	}
	return rig.With(ctx, &f.CommonFlags, f.Streams+f.Conns+64, func(r *rig.Rig) (*HealthReport, error) {
		return healthUnderLoad(ctx, f, r)
	})
}

// healthUnderLoad lets turns under load and at rest follow each other.
func healthUnderLoad(ctx context.Context, f *HealthFlags, r *rig.Rig) (*HealthReport, error) {
	where := f.url
	if where == "" {
		where = (&url.URL{Scheme: "http", Host: r.StreamURL.Host, Path: "/health"}).String()
	}
	addr, u, err := load.Resolve(ctx, where, f.AllowRemote)
	if err != nil {
		return nil, err
	}
	p := &prober{addr: addr, request: fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", u.EscapedPath(), u.Host), every: f.Every, quiet: f.Quiet}
	s, err := openHost(ctx, &f.Flags, r, &r.Host, nil)
	if err != nil {
		return nil, err
	}
	defer s.close()
	report := &HealthReport{Report: *newReport(&f.Flags, r, 0), Every: f.Every.String()}
	for round := range f.Rounds + 1 { // the first warms up
		r.Progress.Say("round %d of %d: asking a saturated server", round, f.Rounds)
		var res roundResult
		var lag *hdrhistogram.Histogram
		busy, err := p.during(ctx, func() (err error) {
			res, lag, err = s.run(ctx, &f.Flags, f.Messages)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("bench: round %d: %w", round, err)
		}
		r.Progress.Say("round %d of %d: asking a server at rest", round, f.Rounds)
		rest, err := p.during(ctx, func() error { return proc.Pause(ctx, f.Rest) })
		if err != nil {
			return nil, fmt.Errorf("bench: round %d: %w", round, err)
		}
		if res.Round = round; round == 0 {
			report.WarmUp.add(res)
			continue
		}
		report.add(res, lag)
		report.Turns = append(report.Turns, newHealthTurn(round, true, busy), newHealthTurn(round, false, rest))
	}
	report.sumUp()
	return report, nil
}

func newHealthTurn(round int, saturated bool, h *hdrhistogram.Histogram) healthTurn {
	return healthTurn{Round: round, Saturated: saturated, Answers: h.TotalCount(), MS: figures.QuantilesOf(h)}
}

// sumUp fills in the medians.
func (r *HealthReport) sumUp() {
	r.Report.sumUp()
	p99 := func(saturated bool) figures.Spread {
		return figures.SpreadOf(figures.Of(r.Turns, func(t healthTurn) bool { return t.Saturated == saturated },
			func(t healthTurn) float64 { return t.MS.P99 }))
	}
	r.Busy, r.Rest = p99(true), p99(false)
}

// WriteTable implements figures.Report.
func (r *HealthReport) WriteTable(w io.Writer) error {
	r.WriteTitle(w, "health: asked every %s while %d publications are in flight to %d streams, and at rest",
		r.Every, r.InFlight, r.Streams)
	t := figures.Columns(w)
	fmt.Fprintln(t, "round\tserver\tanswers\tp50 ms\tp99\tp99.9\tmax\t")
	for _, x := range r.Turns {
		how := "at rest"
		if x.Saturated {
			how = "saturated"
		}
		fmt.Fprintf(t, "%d\t%s\t%d\t%.2f\t%.2f\t%.2f\t%.2f\t\n", x.Round, how, x.Answers, x.MS.P50, x.MS.P99, x.MS.P999, x.MS.Max)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if r.Own != nil {
		fmt.Fprintf(w, "\ndeliveries/s meanwhile  %.0f (%.0f–%.0f)\n", r.Own.PerSecond.Median, r.Own.PerSecond.Min, r.Own.PerSecond.Max)
	}
	_, err := fmt.Fprintf(w, "p99 of an answer, saturated, ms  %s  %s\np99 of an answer, at rest, ms    %s\n"+
		"an answer's time ends when its bytes reached the socket, by the kernel's clock; questions that a late answer held up are counted as late; median of the rounds (lowest–highest)\n",
		r.Busy, figures.Budget(r.Busy.Median, HealthBudget), r.Rest)
	return err
}
