//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"
)

// publishFlags are the settings of the publish mode.
type publishFlags struct {
	commonFlags
	conns, size, rounds int
	duration            time.Duration
}

func setupPublish(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &publishFlags{}
	f.register(fs)
	f.registerPeers(fs)
	fs.IntVar(&f.conns, "conns", 64, "keep-alive connections, each with one request in flight")
	fs.IntVar(&f.size, "size", 128, "bytes of JSON data per message")
	fs.IntVar(&f.rounds, "rounds", 5, "rounds, in each of which every server takes a turn")
	fs.DurationVar(&f.duration, "duration", 2*time.Second, "how long to publish at the most, and again at half of that rate")
	return func(ctx context.Context) error {
		r, err := runPublish(ctx, f)
		if err != nil {
			return err
		}
		return f.finish(r)
	}
}

// The budgets of publishing: three times what the reference server did on the
// machine of DESIGN section 6, requests/s, and the p99 of an answer, ms.
const (
	publishBudget       = 3 * 22_000.0
	publishAnswerBudget = 5.0
)

// publishTurn is one turn of one server.
type publishTurn struct {
	Side      string    `json:"side"`
	Round     int       `json:"round"`
	PerSecond float64   `json:"requests_per_second"`
	CPU       *float64  `json:"cpu_us_per_request"` // nil where the pid is not known
	BenchCPU  float64   `json:"bench_cpu_us_per_request"`
	Full      quantiles `json:"answer_ms_at_full_rate"`
	HalfRate  float64   `json:"half_rate"`
	Half      quantiles `json:"answer_ms_at_half_rate"`
}

// publishSide is one server over all rounds.
type publishSide struct {
	Name      string  `json:"name"`
	PerSecond spread  `json:"requests_per_second"`
	CPU       *spread `json:"cpu_us_per_request"`
	HalfP99   spread  `json:"answer_p99_ms_at_half_rate"`
	Over      *spread `json:"ours_over_peer"` // requests/s, round by round; nil for ours
}

// publishReport is the result of the publish mode.
type publishReport struct {
	header
	Conns  int           `json:"connections"`
	Size   int           `json:"size"`
	Rounds []publishTurn `json:"rounds"`
	Sides  []publishSide `json:"sides"`
}

func runPublish(ctx context.Context, f *publishFlags) (*publishReport, error) {
	if f.conns < 1 || f.rounds < 1 || f.duration <= 0 {
		return nil, errors.New("bench: -conns, -rounds and -duration should be above zero")
	}
	return withRig(ctx, &f.commonFlags, 2*f.conns+64, func(r *rig) (*publishReport, error) {
		return publishRate(ctx, f, r)
	})
}

// publishRate lets the servers take turns.
func publishRate(ctx context.Context, f *publishFlags, r *rig) (*publishReport, error) {
	report := &publishReport{header: r.header("publish"), Conns: f.conns, Size: f.size}
	hosts := r.hosts()
	for round := range f.rounds + 1 { // the first warms up
		for i := range hosts {
			h := hosts[(i+round)%len(hosts)]
			r.progress.say("round %d of %d, %s: publishing without subscribers", round, f.rounds, h.name)
			turn, err := publishOn(ctx, f, r, h)
			if err != nil {
				return nil, fmt.Errorf("bench: round %d, %s: %w", round, h.name, err)
			}
			if turn.Round = round; round > 0 {
				report.Rounds = append(report.Rounds, turn)
			}
		}
	}
	for _, h := range hosts {
		report.Sides = append(report.Sides, publishSide{Name: h.name})
	}
	report.sumUp()
	return report, nil
}

// publishOn is the turn of one server.
func publishOn(ctx context.Context, f *publishFlags, r *rig, h *host) (turn publishTurn, err error) {
	turn.Side = h.name
	hammer, err := hammerOn(ctx, r, h, f.conns, f.size)
	if err != nil {
		return turn, err
	}
	defer hammer.close()
	own0 := ownCPU()
	cpu0, cpuErr := processCPU(h.target.pids)
	full, err := hammer.run(ctx, f.duration, 0)
	if err != nil {
		return turn, err
	}
	micros := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / float64(full.answers) }
	turn.BenchCPU = micros(ownCPU() - own0)
	if cpuErr == nil {
		cpu1, err := processCPU(h.target.pids)
		if err != nil {
			return turn, err
		}
		v := micros(cpu1 - cpu0)
		turn.CPU = &v
	}
	turn.PerSecond, turn.Full = float64(full.answers)/full.elapsed.Seconds(), quantilesOf(full.lag)
	turn.HalfRate = turn.PerSecond / 2
	half, err := hammer.run(ctx, f.duration, turn.HalfRate)
	if err != nil {
		return turn, err
	}
	turn.Half = quantilesOf(half.lag)
	return turn, nil
}

// hammerOn connects to the API of h, to publish messages of size bytes.
func hammerOn(ctx context.Context, r *rig, h *host, conns, size int) (*hammer, error) {
	if err := h.target.needsAPI(); err != nil {
		return nil, err
	}
	addr, u, err := resolve(ctx, h.target.apiURL, r.flags.allowRemote)
	if err != nil {
		return nil, err
	}
	payload, err := newPayload(size)
	if err != nil {
		return nil, err
	}
	stampPayload(payload, message{sent: time.Now().UnixNano()})
	d := h.target.dialect()
	request, _, err := d.publish(u, h.target.apiKey, h.target.channel, payload)
	if err != nil {
		return nil, err
	}
	return newHammer(addr, conns, request, d.accepts, r.flags.quiet)
}

// values are a figure of a side, by round.
func (r *publishReport) values(name string, f func(t publishTurn) float64) (values []float64) {
	for _, t := range r.Rounds {
		if t.Side == name {
			values = append(values, f(t))
		}
	}
	return values
}

// sumUp fills in the sides from the rounds.
func (r *publishReport) sumUp() {
	perSecond := func(t publishTurn) float64 { return t.PerSecond }
	for i := range r.Sides {
		s := &r.Sides[i]
		s.PerSecond = spreadOf(r.values(s.Name, perSecond))
		s.HalfP99 = spreadOf(r.values(s.Name, func(t publishTurn) float64 { return t.Half.P99 }))
		cpu := r.values(s.Name, func(t publishTurn) float64 {
			if t.CPU == nil {
				return 0
			}
			return *t.CPU
		})
		if sum := spreadOf(cpu); sum.Min > 0 {
			s.CPU = &sum
		}
		if i > 0 {
			s.Over = quotients(r.values(r.Sides[0].Name, perSecond), r.values(s.Name, perSecond))
		}
	}
}

func (r *publishReport) writeTable(w io.Writer) error {
	fmt.Fprintf(w, "publish: messages of %d B over %d keep-alive connections with one request in flight each, nobody subscribed; then half as many per second on a schedule\n%s\n%s\n\n",
		r.Size, r.Conns, r.Server, r.Machine)
	t := columns(w)
	fmt.Fprintln(t, "round\tside\trequests/s\tCPU µs/request\tbench CPU\tp50 ms\tp99\tat half: p50 ms\tp99\tp99.9\tmax\t")
	for _, x := range r.Rounds {
		fmt.Fprintf(t, "%d\t%s\t%.0f\t%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", x.Round, x.Side, x.PerSecond, known(x.CPU), x.BenchCPU,
			x.Full.P50, x.Full.P99, x.Half.P50, x.Half.P99, x.Half.P999, x.Half.Max)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, s := range r.Sides {
		fmt.Fprintf(w, "%s: requests/s %.0f (%.0f–%.0f), p99 of an answer at half the rate, ms  %s\n", s.Name, s.PerSecond.Median, s.PerSecond.Min, s.PerSecond.Max, s.HalfP99)
		if s.Over != nil {
			fmt.Fprintf(w, "requests/s, ours ÷ %s  %s\n", s.Name, s.Over)
		}
	}
	ours := r.Sides[0]
	_, err := fmt.Fprintf(w, "requests/s %s (three times the reference server's 22,000 on the machine of the design)\nanswer %s ms\nan answer's time counts from when its request was due; median of the rounds (lowest–highest)\n",
		budgetAtLeast(ours.PerSecond.Median, publishBudget), budget(ours.HalfP99.Median, publishAnswerBudget))
	return err
}

// budgetAtLeast says whether a figure keeps a budget from below.
func budgetAtLeast(v, least float64) string {
	if v >= least {
		return fmt.Sprintf("budget ≥ %g: kept", least)
	}
	return fmt.Sprintf("budget ≥ %g: MISSED", least)
}
