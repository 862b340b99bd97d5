//go:build linux

package connect

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/bench/figures"
	"sluice/bench/proc"
	"sluice/bench/rig"
)

// IdleFlags are the settings of the idle mode.
type IdleFlags struct {
	rig.CommonFlags
	StepList string
	steps    []int
	Kinds    string
	kinds    []string
	Settle   time.Duration
	Rounds   int
	grow     bool
}

// SetupIdle declares the flags of the mode idle, and returns what runs it.
func SetupIdle(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &IdleFlags{}
	f.Register(fs)
	f.RegisterPeers(fs)
	fs.StringVar(&f.StepList, "steps", "5000,15000", "numbers of streams, growing")
	fs.StringVar(&f.Kinds, "kinds", KindStream, "what is held open: some of "+strings.Join(idleKinds, ", ")+" (connections that asked for /health; that published once; that sent nothing; that sent half a request; 60 KiB of one), streams behind TLS")
	fs.DurationVar(&f.Settle, "settle", time.Minute, "how long to wait after each ramp before memory is read")
	fs.IntVar(&f.Rounds, "rounds", 1, "how often all steps are measured, each time with fresh servers; the slopes are medians; 1 with -url")
	fs.BoolVar(&f.grow, "grow", false, "let one server grow from step to step instead of starting a fresh one for each; always so with -url")
	return func(ctx context.Context) error {
		return f.Conclude(RunIdle(ctx, f))
	}
}

func (f *IdleFlags) check() error {
	last := 0
	for s := range strings.SplitSeq(f.StepList, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n <= last {
			return fmt.Errorf("bench: -steps should be growing numbers such as 5000,15000, not %q", f.StepList)
		}
		f.steps = append(f.steps, n)
		last = n
	}
	if f.Settle < 0 || f.Rounds < 1 {
		return errors.New("bench: -settle should not be negative, and -rounds should be above zero")
	}
	if err := f.takeKinds(); err != nil {
		return err
	}
	return f.FreshRounds(f.Rounds, "round")
}

// idleStep is what was seen with so many streams open. Memory in bytes.
type idleStep struct {
	Streams    int         `json:"streams"`
	Empty      proc.Memory `json:"empty"` // the same process before its first stream
	Memory     proc.Memory `json:"memory"`
	Goroutines int         `json:"goroutines"` // -1: the server has no pprof page
	Kernel     int64       `json:"kernel"`     // slab and TCP pages of the machine
}

// idleRound is one measurement of all steps. The slopes are between the first
// and the last step that was asked for (between none and it, if only one was).
type idleRound struct {
	Steps []idleStep `json:"steps"` // the first is before any stream
	// KiB per stream. Kernel is both ends of a connection, for the whole machine.
	RSS        float64  `json:"rss_kib_per_stream"`
	Anonymous  float64  `json:"anonymous_kib_per_stream"`
	Kernel     float64  `json:"kernel_kib_per_stream_both_ends"`
	Goroutines *float64 `json:"goroutines_per_stream"`
}

// idleSeries is one server over all rounds. Its slopes are medians of the
// rounds' ones.
type idleSeries struct {
	Name       string          `json:"name"`
	Kind       string          `json:"kind"`
	Rounds     []idleRound     `json:"rounds"`
	RSS        figures.Spread  `json:"rss_kib_per_stream"`
	Anonymous  figures.Spread  `json:"anonymous_kib_per_stream"`
	Kernel     figures.Spread  `json:"kernel_kib_per_stream_both_ends"`
	Goroutines *figures.Spread `json:"goroutines_per_stream"`
	Over       *figures.Spread `json:"ours_over_peer"` // RSS of ours ÷ this one's, round by round; nil for ours
}

// IdleReport is the result of the idle mode.
type IdleReport struct {
	figures.Header
	Token  bool         `json:"token"` // each stream is a user with an HS256 token; peers may ignore it
	Settle string       `json:"settle"`
	Fresh  bool         `json:"fresh"` // a server of its own for each step
	Series []idleSeries `json:"series"`
}

// RunIdle measures each step with a fresh server, unless told to grow one.
//
// Why: a server that grows could take what the first ramp left in its heap for
// the second; with a fresh one each step is what a server with that many
// streams holds, and the steps differ in nothing else. Whether the two ways
// really differ is within the scatter of a few runs, so neither is quoted from
// one run.
func RunIdle(ctx context.Context, f *IdleFlags) (*IdleReport, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	report := &IdleReport{Settle: f.Settle.String(), Fresh: !f.grow && f.URL == ""}
	ramps := [][]int{f.steps}
	if report.Fresh {
		ramps = nil
		for _, n := range f.steps {
			ramps = append(ramps, []int{n})
		}
	}
	for round := range f.Rounds {
		for _, kind := range f.kinds {
			for _, ramp := range ramps {
				if err := idleRamp(ctx, f, kind, ramp, report, round); err != nil {
					return nil, err
				}
			}
		}
	}
	report.sumUp()
	return report, nil
}

// idleRamp starts the servers, and opens the numbers of connections in ramp on one
// of them after the other.
func idleRamp(ctx context.Context, f *IdleFlags, kind string, ramp []int, report *IdleReport, round int) error {
	f.Own.TLS, f.Own.Waiting = kind == KindTLS, kind != KindStream && kind != KindTLS
	r, err := rig.New(ctx, &f.CommonFlags, ramp[len(ramp)-1]+64)
	if err != nil {
		return err
	}
	defer r.Close()
	report.Header, report.Token = r.Header("idle"), r.Target.Secret != ""
	for _, h := range r.Hosts() {
		s := report.of(h.Name, kind)
		if len(s.Rounds) == round {
			s.Rounds = append(s.Rounds, idleRound{})
		}
		if err := idleHost(ctx, f, r, h, kind, ramp, &s.Rounds[round]); err != nil {
			return r.Explain(fmt.Errorf("bench: round %d, %s, %s: %w", round+1, h.Name, kind, err))
		}
	}
	return nil
}

// of is the series of a server and a kind.
func (r *IdleReport) of(name, kind string) *idleSeries {
	i := slices.IndexFunc(r.Series, func(s idleSeries) bool { return s.Name == name && s.Kind == kind })
	if i < 0 {
		i = len(r.Series)
		r.Series = append(r.Series, idleSeries{Name: name, Kind: kind})
	}
	return &r.Series[i]
}

// idleHost opens the numbers of connections in ramp to h, and closes them.
func idleHost(ctx context.Context, f *IdleFlags, r *rig.Rig, h *rig.Host, kind string, ramp []int, round *idleRound) error {
	if len(h.Target.PIDs) == 0 {
		return proc.ErrNoPID
	}
	c, err := f.hold(ctx, r, h, kind, ramp[len(ramp)-1])
	if err != nil {
		return err
	}
	defer c.Close()
	empty, err := idleAt(ctx, f, r, h, c, 0)
	if err != nil {
		return err
	}
	empty.Empty = empty.Memory
	if len(round.Steps) == 0 {
		round.Steps = append(round.Steps, empty)
	}
	for _, n := range ramp {
		step, err := idleAt(ctx, f, r, h, c, n)
		if err != nil {
			return err
		}
		step.Empty = empty.Memory
		round.Steps = append(round.Steps, step)
	}
	return nil
}

// idleAt grows to n connections, waits, and looks.
func idleAt(ctx context.Context, f *IdleFlags, r *rig.Rig, h *rig.Host, c holder, n int) (idleStep, error) {
	step := idleStep{Streams: n}
	if n > 0 {
		r.Progress.Show(func() string { return fmt.Sprintf("%s: %d of %d open", h.Name, c.Held(), n) })
		if err := c.Open(ctx, n-int(c.Held()), f.Quiet); err != nil {
			return step, err
		}
		until := time.Now().Add(f.Settle)
		r.Progress.Show(func() string {
			return fmt.Sprintf("%s: %d open, settling for %v more", h.Name, n, time.Until(until).Round(time.Second))
		})
		if err := proc.Pause(ctx, f.Settle); err != nil {
			return step, err
		}
		if err := c.Err(); err != nil {
			return step, fmt.Errorf("not all of %d stayed open: %w", n, err)
		}
	}
	var err error
	// Why: the memory is read first; asking for goroutines makes some.
	step.Memory, err = proc.ReadMemory(h.Target.PIDs)
	step.Kernel = proc.KernelMemory()
	step.Goroutines = proc.Goroutines(ctx, h.Inside())
	return step, err
}

// sumUp computes slopes, medians and ratios.
func (r *IdleReport) sumUp() {
	slopes := func(s *idleSeries) []float64 {
		return figures.Of(s.Rounds, nil, func(x idleRound) float64 { return x.RSS })
	}
	for i := range r.Series {
		s := &r.Series[i]
		s.sumUp()
		if ours := r.of(r.Series[0].Name, s.Kind); ours.Name != s.Name {
			s.Over = figures.Quotients(slopes(ours), slopes(s))
		}
	}
}

// sumUp computes the medians.
func (s *idleSeries) sumUp() {
	for i := range s.Rounds {
		s.Rounds[i].sumUp()
	}
	over := func(f func(x idleRound) float64) figures.Spread {
		return figures.SpreadOf(figures.Of(s.Rounds, nil, f))
	}
	s.RSS = over(func(x idleRound) float64 { return x.RSS })
	s.Anonymous = over(func(x idleRound) float64 { return x.Anonymous })
	s.Kernel = over(func(x idleRound) float64 { return x.Kernel })
	for _, x := range s.Rounds {
		if x.Goroutines == nil {
			return
		}
	}
	g := over(func(x idleRound) float64 { return *x.Goroutines })
	s.Goroutines = &g
}

// sumUp computes the slopes.
func (r *idleRound) sumUp() {
	from, to := r.Steps[min(1, len(r.Steps)-2)], r.Steps[len(r.Steps)-1]
	n := float64(to.Streams - from.Streams)
	kib := func(a, b int64) float64 { return float64(b-a) / 1024 / n }
	r.RSS = kib(from.Memory.RSS, to.Memory.RSS)
	r.Anonymous = kib(from.Memory.Anonymous, to.Memory.Anonymous)
	r.Kernel = kib(from.Kernel, to.Kernel)
	if from.Goroutines >= 0 && to.Goroutines >= 0 {
		g := float64(to.Goroutines-from.Goroutines) / n
		r.Goroutines = &g
	}
}
