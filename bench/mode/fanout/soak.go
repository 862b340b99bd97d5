//go:build linux

package fanout

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"sync"
	"time"

	"sluice/bench/load"
	"sluice/bench/proc"
	"sluice/bench/rig"
)

// soakFlags are the settings of the soak mode.
type soakFlags struct {
	Flags
	duration, sample, warmUp time.Duration
	churn, stalled           int
	load                     float64
	calibrate                int
}

// SetupSoak declares the flags of the mode soak, and returns what runs it.
func SetupSoak(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &soakFlags{}
	f.Mode, f.Pattern, f.Conns, f.InFlight, f.Rounds, f.Rate = "soak", string(PatternPaced), 1, 64, 1, 1
	f.Register(fs)
	fs.DurationVar(&f.duration, "duration", 30*time.Minute, "how long")
	fs.DurationVar(&f.sample, "sample", 10*time.Second, "time between two looks at the server")
	fs.DurationVar(&f.warmUp, "warm-up", 0, "looks in this time do not count (default: a sixth of -duration)")
	fs.IntVar(&f.Streams, "streams", 2000, "streams that stay")
	fs.IntVar(&f.churn, "churn", 100, "streams that come and go, all in about a second")
	fs.IntVar(&f.stalled, "stalled", 20, "streams that do not read; replaced with every look")
	fs.IntVar(&f.Size, "size", 128, "bytes of JSON data per message")
	fs.Float64Var(&f.load, "load", 0.5, "share of the messages per second that the machine can take, as measured first")
	fs.IntVar(&f.calibrate, "calibrate", 300, "messages that are sent, one at a time, to measure that")
	return func(ctx context.Context) error {
		return f.Conclude(runSoak(ctx, f))
	}
}

func (f *soakFlags) check() error {
	f.Messages = max(1, f.calibrate)
	if err := f.Flags.check(); err != nil {
		return err
	}
	if f.warmUp == 0 {
		f.warmUp = f.duration / 6
	}
	if f.sample <= 0 || f.duration < f.warmUp+3*f.sample {
		return fmt.Errorf("bench: -duration should leave room for the warm-up (%v) and three times -sample (%v), not be %v", f.warmUp, f.sample, f.duration)
	}
	if f.load <= 0 || f.load > 1 || f.churn < 0 || f.stalled < 0 {
		return errors.New("bench: -load should be above 0 and at most 1, -churn and -stalled not negative")
	}
	return nil
}

// soakRun is a running soak.
type soakRun struct {
	f      *soakFlags
	r      *rig.Rig
	side   *side
	report *soakReport
	begin  time.Time

	mu sync.Mutex // held while streams come or go, and while a sample is taken
	// Guarded by mu.
	source  int // next group of source addresses
	stalled *load.Client
	churned int64
}

func runSoak(ctx context.Context, f *soakFlags) (*soakReport, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	return rig.With(ctx, &f.CommonFlags, f.Streams+f.churn+f.stalled+64, func(r *rig.Rig) (*soakReport, error) {
		if len(r.Target.PIDs) == 0 {
			return nil, proc.ErrNoPID
		}
		x := &soakRun{f: f, r: r, source: load.SourcesOf(f.Streams), report: newSoakReport(f, r)}
		return x.report, x.run(ctx)
	})
}

// run opens the streams that stay, measures the machine, and then publishes in
// turns of one sample each while others come and go.
func (x *soakRun) run(ctx context.Context) (err error) {
	if x.side, err = openHost(ctx, &x.f.Flags, x.r, &x.r.Host, nil); err != nil {
		return err
	}
	defer x.side.close()
	x.r.Progress.Say("measuring what the machine can take")
	most, _, err := x.side.runAs(ctx, &x.f.Flags, PatternClosed, x.f.calibrate)
	if err != nil {
		return err
	}
	x.report.Most = most.PerSecond / float64(x.f.Streams)
	x.report.Rate = max(1, x.report.Most*x.f.load)
	x.f.Rate = x.report.Rate
	x.report.take(most)

	churning, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- x.churn(churning) }()
	err = x.soak(ctx)
	stop()
	err = errors.Join(err, <-done)
	if x.stalled != nil {
		x.stalled.Close()
	}
	x.report.Churned = x.churned
	x.report.sumUp()
	return err
}

// soak publishes and samples until the time is over.
func (x *soakRun) soak(ctx context.Context) error {
	x.begin = time.Now()
	messages := max(1, int(x.f.Rate*x.f.sample.Seconds()))
	for time.Since(x.begin) < x.f.duration {
		x.r.Progress.Show(x.line)
		res, _, err := x.side.run(ctx, &x.f.Flags, messages)
		if err != nil {
			return err
		}
		x.report.take(res)
		if err := x.look(ctx, res); err != nil {
			return err
		}
	}
	return nil
}

// line is the progress line.
func (x *soakRun) line() string {
	return fmt.Sprintf("soak: %v of %v, %.0f messages/s to %d streams, %d messages of this sample delivered",
		time.Since(x.begin).Round(time.Second), x.f.duration, x.f.Rate, x.f.Streams,
		(x.side.goal.Arrived.Load()-x.side.goal.From.Load())/x.side.each)
}

// look takes a sample, and replaces the streams that do not read.
func (x *soakRun) look(ctx context.Context, res roundResult) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	// Who has just gone does not count.
	if err := proc.AwaitSockets(ctx, x.r.Streams.Port(), x.f.Streams+x.f.stalled+x.f.Conns, x.f.Quiet); err != nil {
		return err
	}
	s := soakSample{Seconds: time.Since(x.begin).Seconds(), PerSecond: res.PerSecond, P99: res.Lag.P99}
	m, err := proc.ReadMemory(x.r.Target.PIDs)
	if err != nil {
		return err
	}
	s.RSS, s.Threads = m.RSS, int(m.Threads)
	if s.Files, err = proc.OpenFiles(x.r.Target.PIDs); err != nil {
		return err
	}
	s.Goroutines = proc.Goroutines(ctx, x.r.Streams.String())
	x.report.Samples = append(x.report.Samples, s)
	return x.stall(ctx)
}

// stall replaces the streams that do not read. The caller holds mu.
func (x *soakRun) stall(ctx context.Context) error {
	if x.stalled != nil {
		x.stalled.Close()
		x.stalled = nil
	}
	if x.f.stalled == 0 {
		return nil
	}
	c, err := x.open(ctx, x.f.stalled, true)
	x.stalled = c
	return err
}

// churnSources is how many groups of source addresses are used in turns: closed
// connections hold their ports for a minute.
const churnSources = 50

// open opens n more streams. The caller holds mu.
func (x *soakRun) open(ctx context.Context, n int, stalled bool) (*load.Client, error) {
	requests, err := x.r.Requests(n)
	if err != nil {
		return nil, err
	}
	x.source++
	cfg := x.r.ClientConfig(&x.r.Host, requests, load.SourcesOf(x.f.Streams)+x.source%churnSources, load.Ignore)
	if stalled {
		cfg.Stall, cfg.Receive = true, load.StalledReceive
	}
	c, err := load.New(cfg)
	if err != nil {
		return nil, err
	}
	if err := c.Open(ctx, n, x.f.Quiet); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// How long a generation of streams that come and go stays, and how long after
// it the next one comes.
const (
	churnStay  = 300 * time.Millisecond
	churnEvery = 500 * time.Millisecond
)

// churn lets streams come and go until ctx ends.
func (x *soakRun) churn(ctx context.Context) error {
	for x.f.churn > 0 && ctx.Err() == nil {
		if err := x.generation(ctx); err != nil && ctx.Err() == nil {
			return fmt.Errorf("bench: streams that come and go: %w", err)
		}
		// Ended is no error.
		_ = proc.Pause(ctx, churnEvery)
	}
	return nil
}

// generation is one coming and going.
func (x *soakRun) generation(ctx context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	c, err := x.open(ctx, x.f.churn, false)
	if err != nil {
		return err
	}
	defer c.Close()
	x.churned += int64(x.f.churn)
	// They are open while some messages are sent.
	if err := proc.Pause(ctx, churnStay); err != nil {
		return err
	}
	return c.Err()
}
