//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// idleFlags are the settings of the idle mode.
type idleFlags struct {
	commonFlags
	stepList string
	steps    []int
	settle   time.Duration
	rounds   int
	grow     bool
}

func setupIdle(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &idleFlags{}
	f.register(fs)
	f.registerPeers(fs)
	fs.StringVar(&f.stepList, "steps", "5000,15000", "numbers of streams, growing")
	fs.DurationVar(&f.settle, "settle", time.Minute, "how long to wait after each ramp before memory is read")
	fs.IntVar(&f.rounds, "rounds", 1, "how often all steps are measured, each time with fresh servers; the slopes are medians; 1 with -url")
	fs.BoolVar(&f.grow, "grow", false, "let one server grow from step to step instead of starting a fresh one for each; always so with -url")
	return func(ctx context.Context) error {
		r, err := runIdle(ctx, f)
		if err != nil {
			return err
		}
		return f.finish(r)
	}
}

func (f *idleFlags) check() error {
	last := 0
	for s := range strings.SplitSeq(f.stepList, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n <= last {
			return fmt.Errorf("bench: -steps should be growing numbers such as 5000,15000, not %q", f.stepList)
		}
		f.steps = append(f.steps, n)
		last = n
	}
	if f.settle < 0 || f.rounds < 1 {
		return errors.New("bench: -settle should not be negative, and -rounds should be above zero")
	}
	if f.rounds > 1 && f.url != "" {
		return errors.New("bench: a running server keeps what the first round left in its heap; with -url leave -rounds at 1")
	}
	return nil
}

// idleStep is what was seen with so many streams open. Memory in bytes.
type idleStep struct {
	Streams    int           `json:"streams"`
	Empty      processMemory `json:"empty"` // the same process before its first stream
	Memory     processMemory `json:"memory"`
	Goroutines int           `json:"goroutines"` // -1: the server has no pprof page
	Kernel     int64         `json:"kernel"`     // slab and TCP pages of the machine
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
	Name       string      `json:"name"`
	Rounds     []idleRound `json:"rounds"`
	RSS        spread      `json:"rss_kib_per_stream"`
	Anonymous  spread      `json:"anonymous_kib_per_stream"`
	Kernel     spread      `json:"kernel_kib_per_stream_both_ends"`
	Goroutines *spread     `json:"goroutines_per_stream"`
	Over       *spread     `json:"ours_over_peer"` // RSS of ours ÷ this one's, round by round; nil for ours
}

// idleReport is the result of the idle mode.
type idleReport struct {
	header
	Token  bool         `json:"token"` // each stream is a user with an HS256 token; peers may ignore it
	Settle string       `json:"settle"`
	Fresh  bool         `json:"fresh"` // a server of its own for each step
	Series []idleSeries `json:"series"`
}

// silent is the eventHandler of streams whose events do not matter.
type silent struct{}

func (silent) Opened(int, []byte)       {}
func (silent) Event(int, []byte, int64) {}
func (silent) Flush()                   {}

// runIdle measures each step with a fresh server, unless told to grow one.
//
// Why: a server that grows could take what the first ramp left in its heap for
// the second; with a fresh one each step is what a server with that many
// streams holds, and the steps differ in nothing else. Whether the two ways
// really differ is within the scatter of a few runs, so neither is quoted from
// one run.
func runIdle(ctx context.Context, f *idleFlags) (*idleReport, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	report := &idleReport{Settle: f.settle.String(), Fresh: !f.grow && f.url == ""}
	ramps := [][]int{f.steps}
	if report.Fresh {
		ramps = nil
		for _, n := range f.steps {
			ramps = append(ramps, []int{n})
		}
	}
	for round := range f.rounds {
		for _, ramp := range ramps {
			if err := idleRamp(ctx, f, ramp, report, round); err != nil {
				return nil, err
			}
		}
	}
	report.sumUp()
	return report, nil
}

// idleRamp starts the servers, and opens the numbers of streams in ramp on one
// of them after the other.
func idleRamp(ctx context.Context, f *idleFlags, ramp []int, report *idleReport, round int) error {
	r, err := newRig(ctx, &f.commonFlags, ramp[len(ramp)-1]+64)
	if err != nil {
		return err
	}
	defer r.close()
	report.header, report.Token = r.header("idle"), r.target.secret != ""
	for i, h := range r.hosts() {
		if len(report.Series) == i {
			report.Series = append(report.Series, idleSeries{Name: h.name})
		}
		s := &report.Series[i]
		if len(s.Rounds) == round {
			s.Rounds = append(s.Rounds, idleRound{})
		}
		if err := idleHost(ctx, f, r, h, ramp, &s.Rounds[round]); err != nil {
			return r.explain(err)
		}
	}
	return nil
}

// idleHost opens the numbers of streams in ramp on h, and closes them.
func idleHost(ctx context.Context, f *idleFlags, r *rig, h *host, ramp []int, round *idleRound) error {
	if len(h.target.pids) == 0 {
		return errNoPID
	}
	c, err := r.newClient(h, ramp[len(ramp)-1], func(int) eventHandler { return silent{} })
	if err != nil {
		return err
	}
	defer c.close()
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

// idleAt grows to n streams, waits, and looks.
func idleAt(ctx context.Context, f *idleFlags, r *rig, h *host, c *client, n int) (idleStep, error) {
	step := idleStep{Streams: n}
	if n > 0 {
		r.progress.show(func() string { return fmt.Sprintf("%s: %d of %d streams open", h.name, c.opened.Load(), n) })
		if err := c.open(ctx, n-int(c.opened.Load()), f.quiet); err != nil {
			return step, err
		}
		until := time.Now().Add(f.settle)
		r.progress.show(func() string {
			return fmt.Sprintf("%s: %d streams open, settling for %v more", h.name, n, time.Until(until).Round(time.Second))
		})
		timer := time.NewTimer(f.settle)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return step, ctx.Err()
		case <-timer.C:
		}
		if err := c.err(); err != nil {
			return step, fmt.Errorf("%d of %d streams did not stay open: %w", c.closed.Load(), n, err)
		}
	}
	var err error
	// Why: the memory is read first; asking for goroutines makes some.
	step.Memory, err = readMemory(h.target.pids)
	step.Kernel = kernelMemory()
	step.Goroutines = goroutines(ctx, h.streams.String())
	return step, err
}

// sumUp computes slopes, medians and ratios.
func (r *idleReport) sumUp() {
	slopes := func(s *idleSeries) (values []float64) {
		for _, x := range s.Rounds {
			values = append(values, x.RSS)
		}
		return values
	}
	for i := range r.Series {
		s := &r.Series[i]
		s.sumUp()
		if i > 0 {
			s.Over = quotients(slopes(&r.Series[0]), slopes(s))
		}
	}
}

// sumUp computes the medians.
func (s *idleSeries) sumUp() {
	for i := range s.Rounds {
		s.Rounds[i].sumUp()
	}
	over := func(f func(x idleRound) float64) spread {
		values := make([]float64, len(s.Rounds))
		for i, x := range s.Rounds {
			values[i] = f(x)
		}
		return spreadOf(values)
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
