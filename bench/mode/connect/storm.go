//go:build linux

package connect

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"sluice/bench/figures"
	"sluice/bench/load"
	"sluice/bench/proc"
	"sluice/bench/rig"
)

// StormFlags are the settings of the storm mode.
type StormFlags struct {
	rig.CommonFlags
	Streams, Rounds int
	Rate            float64 // connects/s in open loop; 0: closed loop
	Soon, late      time.Duration
}

// stormSources is how many addresses the streams come from, in turns: each may have some
// hundred connects under way (http_server.half_open_limit).
const stormSources = 32

// stormRamp is how many streams connect at a time by default.
const stormRamp = "1000"

// The budgets of a storm of connects: memory per stream behind it, KiB, and connects/s
// as a multiple of those of the program before (-before).
const (
	StormBudget      = 1.5  // soon
	stormLateBudget  = 1.25 // late
	StormSpeedBudget = 2.0
)

// SetupStorm declares the flags of the mode storm, and returns what runs it.
func SetupStorm(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &StormFlags{}
	f.Register(fs)
	f.RegisterPeers(fs)
	ramp := fs.Lookup("ramp")
	ramp.DefValue = stormRamp
	fs.IntVar(&f.Streams, "streams", 15_000, "streams, all on one channel, that connect as fast as they can")
	fs.Float64Var(&f.Rate, "rate", 0, "open loop: begin so many connects a second, whatever becomes of those before; 0: closed loop, -ramp at a time")
	fs.DurationVar(&f.Soon, "soon", 5*time.Second, "after the last connect, when memory is read")
	fs.DurationVar(&f.late, "late", time.Minute, "when it is read again; 0: it is not")
	fs.IntVar(&f.Rounds, "rounds", 1, "storms of each server, each on a fresh one; 1 with -url")
	if err := ramp.Value.Set(stormRamp); err != nil {
		panic("BUG: " + err.Error())
	}
	return func(ctx context.Context) error {
		return f.Conclude(RunStorm(ctx, f))
	}
}

func (f *StormFlags) check() error {
	if f.Streams < 1 || f.Rounds < 1 || f.Rate < 0 || f.Soon < 0 || f.late != 0 && f.late < f.Soon {
		return errors.New("bench: -streams and -rounds should be above zero, -rate and -soon not negative, and -late 0 or not below -soon")
	}
	return f.FreshRounds(f.Rounds, "storm")
}

// RunStorm runs the mode storm.
func RunStorm(ctx context.Context, f *StormFlags) (*StormReport, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	report := &StormReport{Streams: f.Streams, Ramp: f.Ramp, Rate: f.Rate, Soon: f.Soon.String(), Late: f.late.String()}
	for round := 1; round <= f.Rounds; round++ {
		if err := stormRoundOf(ctx, f, report, round); err != nil {
			return nil, err
		}
	}
	report.sumUp()
	return report, nil
}

// stormRoundOf starts the servers and lets each have its storm; who goes first
// alternates.
func stormRoundOf(ctx context.Context, f *StormFlags, report *StormReport, round int) error {
	r, err := rig.New(ctx, &f.CommonFlags, f.Streams+64)
	if err != nil {
		return err
	}
	defer r.Close()
	report.Header = r.Header("storm")
	hosts := r.Hosts()
	if report.Sides == nil {
		for _, h := range hosts {
			report.Sides = append(report.Sides, stormSide{Name: h.Name})
		}
	}
	for i := range hosts {
		h := hosts[(i+round-1)%len(hosts)]
		x, err := stormOnce(ctx, f, r, h)
		if err != nil {
			if ctx.Err() == nil {
				err = r.Explain(err)
			}
			return fmt.Errorf("bench: round %d, %s: %w", round, h.Name, err)
		}
		x.Side, x.Round = h.Name, round
		report.Rounds = append(report.Rounds, x)
	}
	return nil
}

// stormOnce opens all streams of one server, and looks.
func stormOnce(ctx context.Context, f *StormFlags, r *rig.Rig, h *rig.Host) (x stormRound, err error) {
	pids := h.Target.PIDs
	if x.Empty, err = proc.ReadMemory(pids); err != nil {
		return x, err
	}
	openings := load.NewOpenings(f.Streams)
	c, err := stormClient(f, r, h, openings)
	if err != nil {
		return x, err
	}
	defer c.Close()
	cpu0, err := proc.RestedCPU(ctx, pids, f.Quiet)
	if err != nil {
		return x, err
	}
	peak, err := proc.WatchPeak(pids)
	if err != nil {
		return x, err
	}
	r.Progress.Show(func() string { return fmt.Sprintf("%s: %d of %d streams open", h.Name, c.Opened.Load(), f.Streams) })
	own0 := proc.OwnCPU()
	last, err := x.connect(ctx, f, c, openings)
	x.BenchCPU = figures.MicrosEach(proc.OwnCPU()-own0, f.Streams)
	look := func(after time.Duration) (m proc.Memory, err error) {
		r.Progress.Show(func() string {
			return fmt.Sprintf("%s: %d streams open, memory is read in %v", h.Name, f.Streams, (after - time.Since(last)).Round(time.Second))
		})
		if err := proc.Pause(ctx, after-time.Since(last)); err != nil {
			return m, err
		}
		if err := c.Err(); err != nil {
			return m, fmt.Errorf("%d of %d streams did not stay open: %w", c.Closed.Load(), f.Streams, err)
		}
		return proc.ReadMemory(pids)
	}
	if err == nil {
		x.Soon, err = look(f.Soon)
	}
	var peakErr error
	x.Peak, peakErr = peak.End()
	cpu1, cpuErr := proc.CPU(pids)
	if err = errors.Join(err, peakErr, cpuErr); err != nil {
		return x, err
	}
	x.CPU = figures.MicrosEach(cpu1-cpu0, f.Streams)
	x.SoonEach = figures.KiBEach(x.Soon.RSS-x.Empty.RSS, f.Streams)
	x.SoonAnonymous = figures.KiBEach(x.Soon.Anonymous-x.Empty.Anonymous, f.Streams)
	if f.late > 0 {
		late, err := look(f.late)
		if err != nil {
			return x, err
		}
		each := figures.KiBEach(late.RSS-x.Empty.RSS, f.Streams)
		x.Late, x.LateEach = &late, &each
	}
	return x, nil
}

// stormClient is the client of all streams, which in open loop may all connect at a time.
func stormClient(f *StormFlags, r *rig.Rig, h *rig.Host, openings *load.Openings) (*load.Client, error) {
	requests, err := h.Requests(f.Streams)
	if err != nil {
		return nil, err
	}
	config := r.ClientConfig(h, requests, 0, openings.Handler)
	config.Spread = stormSources
	if f.Rate > 0 {
		config.InFlight = f.Streams * f.Workers
	}
	return load.New(config)
}

// connect opens the streams, and returns when the last one was open.
func (x *stormRound) connect(ctx context.Context, f *StormFlags, c *load.Client, openings *load.Openings) (last time.Time, err error) {
	begin := time.Now()
	if f.Rate == 0 {
		err = c.Open(ctx, f.Streams, f.Quiet)
	} else {
		begin, err = c.OpenAt(ctx, f.Streams, f.Rate, f.Quiet)
	}
	last = time.Now()
	x.Seconds = last.Sub(begin).Seconds()
	x.PerSecond = float64(f.Streams) / x.Seconds
	if err != nil || f.Rate == 0 {
		return last, err
	}
	lag := figures.NewHistogram()
	for i := range f.Streams {
		figures.RecordMicros(lag, openings.Late(i, begin, f.Rate).Nanoseconds())
	}
	q := figures.QuantilesOf(lag)
	x.Lag = &q
	return last, nil
}
