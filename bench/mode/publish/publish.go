//go:build linux

package publish

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"time"

	"sluice/bench/figures"
	"sluice/bench/load"
	"sluice/bench/proc"
	"sluice/bench/rig"
)

// Flags are the settings of the publish mode.
type Flags struct {
	rig.CommonFlags
	Conns, Size, Rounds int
	Duration            time.Duration
}

// Setup declares the flags of the mode publish, and returns what runs it.
func Setup(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &Flags{}
	f.Register(fs)
	f.RegisterPeers(fs)
	fs.IntVar(&f.Conns, "conns", 64, "keep-alive connections, each with one request in flight")
	fs.IntVar(&f.Size, "size", 128, "bytes of JSON data per message")
	fs.IntVar(&f.Rounds, "rounds", 5, "rounds, in each of which every server takes a turn")
	fs.DurationVar(&f.Duration, "duration", 2*time.Second, "how long to publish at the most, and again at half of that rate")
	return func(ctx context.Context) error {
		return f.Conclude(Run(ctx, f))
	}
}

// The budgets of publishing: three times what the reference server did on the
// machine of DESIGN section 6, requests/s, the p99 of an answer, ms, and requests/s as a
// multiple of those of the program before (-before).
const (
	Budget       = 3 * 22_000.0
	AnswerBudget = 5.0
	BeforeBudget = 1.2
)

// publishTurn is one turn of one server.
type publishTurn struct {
	Side      string            `json:"side"`
	Round     int               `json:"round"`
	PerSecond float64           `json:"requests_per_second"`
	CPU       *float64          `json:"cpu_us_per_request"` // nil where the pid is not known
	BenchCPU  float64           `json:"bench_cpu_us_per_request"`
	Full      figures.Quantiles `json:"answer_ms_at_full_rate"`
	HalfRate  float64           `json:"half_rate"`
	Half      figures.Quantiles `json:"answer_ms_at_half_rate"`
}

// publishSide is one server over all rounds.
type publishSide struct {
	Name      string          `json:"name"`
	PerSecond figures.Spread  `json:"requests_per_second"`
	CPU       *figures.Spread `json:"cpu_us_per_request"`
	HalfP99   figures.Spread  `json:"answer_p99_ms_at_half_rate"`
	Over      *figures.Spread `json:"ours_over_peer"`     // requests/s, round by round; nil for ours
	CPUOver   *figures.Spread `json:"cpu_ours_over_peer"` // likewise, and nil where a pid is not known
}

// Report is the result of the publish mode.
type Report struct {
	figures.Header
	Conns  int           `json:"connections"`
	Size   int           `json:"size"`
	Rounds []publishTurn `json:"rounds"`
	Sides  []publishSide `json:"sides"`
}

// Run runs the mode publish.
func Run(ctx context.Context, f *Flags) (*Report, error) {
	if f.Conns < 1 || f.Rounds < 1 || f.Duration <= 0 {
		return nil, errors.New("bench: -conns, -rounds and -duration should be above zero")
	}
	return rig.With(ctx, &f.CommonFlags, 2*f.Conns+64, func(r *rig.Rig) (*Report, error) {
		return publishRate(ctx, f, r)
	})
}

// publishRate lets the servers take turns.
func publishRate(ctx context.Context, f *Flags, r *rig.Rig) (*Report, error) {
	report := &Report{Header: r.Header("publish"), Conns: f.Conns, Size: f.Size}
	hosts := r.Hosts()
	for round := range f.Rounds + 1 { // the first warms up
		for i := range hosts {
			h := hosts[(i+round)%len(hosts)]
			r.Progress.Say("round %d of %d, %s: publishing without subscribers", round, f.Rounds, h.Name)
			turn, err := publishOn(ctx, f, r, h)
			if err != nil {
				return nil, fmt.Errorf("bench: round %d, %s: %w", round, h.Name, err)
			}
			if turn.Round = round; round > 0 {
				report.Rounds = append(report.Rounds, turn)
			}
		}
	}
	for _, h := range hosts {
		report.Sides = append(report.Sides, publishSide{Name: h.Name})
	}
	report.sumUp()
	return report, nil
}

// publishOn is the turn of one server.
func publishOn(ctx context.Context, f *Flags, r *rig.Rig, h *rig.Host) (turn publishTurn, err error) {
	turn.Side = h.Name
	hammer, err := On(ctx, r, h, f.Conns, f.Size)
	if err != nil {
		return turn, err
	}
	defer hammer.Close()
	own0 := proc.OwnCPU()
	cpu0, cpuErr := proc.CPU(h.Target.PIDs)
	full, err := hammer.Run(ctx, f.Duration, 0)
	if err != nil {
		return turn, err
	}
	turn.BenchCPU = figures.MicrosEach(proc.OwnCPU()-own0, full.Answers)
	if cpuErr == nil {
		cpu1, err := proc.CPU(h.Target.PIDs)
		if err != nil {
			return turn, err
		}
		v := figures.MicrosEach(cpu1-cpu0, full.Answers)
		turn.CPU = &v
	}
	turn.PerSecond, turn.Full = full.PerSecond(), figures.QuantilesOf(full.Lag)
	turn.HalfRate = turn.PerSecond / 2
	half, err := hammer.Run(ctx, f.Duration, turn.HalfRate)
	if err != nil {
		return turn, err
	}
	turn.Half = figures.QuantilesOf(half.Lag)
	return turn, nil
}

// On connects to the API of h, to publish messages of size bytes into the target's channel.
func On(ctx context.Context, r *rig.Rig, h *rig.Host, conns, size int) (*Hammer, error) {
	addr, u, payload, err := reach(ctx, r, h, size)
	if err != nil {
		return nil, err
	}
	d := h.Target.Dialect()
	request, payloadAt, err := d.Publish(u, h.Target.APIKey, h.Target.Channel, payload)
	if err != nil {
		return nil, err
	}
	return newHammer(addr, conns, request, payloadAt, d.Accepts, r.Flags.Quiet)
}

// Batches is On with n messages in each request. They are not stamped: nobody hears them.
func Batches(ctx context.Context, r *rig.Rig, h *rig.Host, conns, size, n int) (*Hammer, error) {
	addr, u, payload, err := reach(ctx, r, h, size)
	if err != nil {
		return nil, err
	}
	request, accepts, err := load.Batch(u, h.Target.APIKey, h.Target.Channel, payload, n)
	if err != nil {
		return nil, err
	}
	return newHammer(addr, conns, request, -1, accepts, r.Flags.Quiet)
}

// reach is where the API of h is, and a message.
func reach(ctx context.Context, r *rig.Rig, h *rig.Host, size int) (addr netip.AddrPort, u *url.URL, payload []byte, err error) {
	if err = h.Target.NeedsAPI(); err != nil {
		return addr, nil, nil, err
	}
	if addr, u, err = load.Resolve(ctx, h.Target.APIURL, r.Flags.AllowRemote); err != nil {
		return addr, nil, nil, err
	}
	payload, err = load.NewPayload(size)
	return addr, u, payload, err
}

// values are a figure of a side, by round.
func (r *Report) values(name string, f func(t publishTurn) float64) []float64 {
	return figures.Of(r.Rounds, func(t publishTurn) bool { return t.Side == name }, f)
}

// sumUp fills in the sides from the rounds.
func (r *Report) sumUp() {
	perSecond := func(t publishTurn) float64 { return t.PerSecond }
	cpuOf := func(t publishTurn) float64 {
		if t.CPU == nil {
			return 0
		}
		return *t.CPU
	}
	for i := range r.Sides {
		s := &r.Sides[i]
		s.PerSecond = figures.SpreadOf(r.values(s.Name, perSecond))
		s.HalfP99 = figures.SpreadOf(r.values(s.Name, func(t publishTurn) float64 { return t.Half.P99 }))
		cpu := r.values(s.Name, cpuOf)
		if sum := figures.SpreadOf(cpu); sum.Min > 0 {
			s.CPU = &sum
		}
		if i > 0 {
			s.Over = figures.Quotients(r.values(r.Sides[0].Name, perSecond), r.values(s.Name, perSecond))
			s.CPUOver = figures.Quotients(r.values(r.Sides[0].Name, cpuOf), cpu)
		}
	}
}

// WriteTable implements figures.Report.
func (r *Report) WriteTable(w io.Writer) error {
	r.WriteTitle(w, "publish: messages of %d B over %d keep-alive connections with one request in flight each, nobody subscribed; then half as many per second on a schedule",
		r.Size, r.Conns)
	t := figures.Columns(w)
	fmt.Fprintln(t, "round\tside\trequests/s\tCPU µs/request\tbench CPU\tp50 ms\tp99\tat half: p50 ms\tp99\tp99.9\tmax\t")
	for _, x := range r.Rounds {
		fmt.Fprintf(t, "%d\t%s\t%.0f\t%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", x.Round, x.Side, x.PerSecond, figures.Known(x.CPU), x.BenchCPU,
			x.Full.P50, x.Full.P99, x.Half.P50, x.Half.P99, x.Half.P999, x.Half.Max)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, s := range r.Sides {
		fmt.Fprintf(w, "%s: requests/s %.0f (%.0f–%.0f), p99 of an answer at half the rate, ms  %s\n", s.Name, s.PerSecond.Median, s.PerSecond.Min, s.PerSecond.Max, s.HalfP99)
		if s.Over != nil {
			budget := ""
			if s.Name == rig.BeforeSide {
				budget = "  " + figures.BudgetAtLeast(s.Over.Median, BeforeBudget)
			}
			fmt.Fprintf(w, "requests/s, ours ÷ %s  %s%s\n", s.Name, s.Over, budget)
		}
		if s.CPUOver != nil {
			fmt.Fprintf(w, "CPU per request, ours ÷ %s  %s\n", s.Name, s.CPUOver)
		}
	}
	ours := r.Sides[0]
	_, err := fmt.Fprintf(w, "requests/s %s (three times the reference server's 22,000 on the machine of the design)\nanswer %s ms\nan answer's time counts from when its request was due; median of the rounds (lowest–highest)\n",
		figures.BudgetAtLeast(ours.PerSecond.Median, Budget), figures.Budget(ours.HalfP99.Median, AnswerBudget))
	return err
}
