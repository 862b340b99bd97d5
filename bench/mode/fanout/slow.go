//go:build linux

package fanout

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"sluice/bench/load"
	"sluice/bench/proc"
	"sluice/bench/rig"
)

// SlowFlags are the settings of the slow mode.
type SlowFlags struct {
	Flags
	Percent int
	Fill    int
}

// SetupSlow declares the flags of the mode slow, and returns what runs it.
func SetupSlow(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &SlowFlags{}
	f.Mode, f.Pattern, f.Conns, f.InFlight = "slow", string(PatternPaced), 1, 64
	f.Register(fs)
	fs.IntVar(&f.Streams, "streams", 1000, "streams that read")
	fs.IntVar(&f.Percent, "stalled", 20, "percent of all streams that do not, in every other turn")
	fs.IntVar(&f.Size, "size", 4096, "bytes of JSON data per message")
	fs.IntVar(&f.Fill, "fill", 128, "messages that are published before each turn, to fill what stalled streams have in the kernel")
	fs.IntVar(&f.Messages, "messages", 60, "messages per turn")
	fs.Float64Var(&f.Rate, "rate", 20, "messages per second")
	fs.IntVar(&f.Rounds, "rounds", 5, "rounds, in each of which there is a turn with and one without stalled streams")
	return func(ctx context.Context) error {
		return f.Conclude(RunSlow(ctx, f))
	}
}

func (f *SlowFlags) check() error {
	if err := f.Flags.check(); err != nil {
		return err
	}
	if f.Percent < 1 || f.Percent > 90 || f.Fill < 0 {
		return errors.New("bench: -stalled should be 1 to 90, and -fill not negative")
	}
	return nil
}

// stalled is how many streams do not read, next to those that do.
func (f *SlowFlags) stalled() int { return max(1, f.Streams*f.Percent/(100-f.Percent)) }

// stalledSide is what a turn with stalled streams is called.
const stalledSide = "stalled"

// slowRun runs the turns of a slow mode.
type slowRun struct {
	f       *SlowFlags
	r       *rig.Rig
	healthy *side
	source  int // next group of source addresses
	report  *SlowReport
}

// RunSlow runs the mode slow.
func RunSlow(ctx context.Context, f *SlowFlags) (*SlowReport, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	return rig.With(ctx, &f.CommonFlags, f.Streams+f.stalled()+64, func(r *rig.Rig) (*SlowReport, error) {
		x := &slowRun{f: f, r: r, source: load.SourcesOf(f.Streams), report: &SlowReport{
			Report: *newReport(&f.Flags, r, 0), Percent: f.Percent, Count: f.stalled(), Fill: f.Fill,
		}}
		return x.report, x.run(ctx)
	})
}

// run opens the healthy streams, and lets turns with and without stalled ones
// follow each other; which comes first alternates.
func (x *slowRun) run(ctx context.Context) (err error) {
	if x.healthy, err = openHost(ctx, &x.f.Flags, x.r, &x.r.Host, nil); err != nil {
		return err
	}
	defer x.healthy.close()
	// The first turn warms up.
	if _, err := x.turn(ctx, false, 0); err != nil {
		return err
	}
	for round := 1; round <= x.f.Rounds; round++ {
		for i := range 2 {
			turn, err := x.turn(ctx, (i+round)%2 == 0, round)
			if err != nil {
				return fmt.Errorf("bench: round %d: %w", round, err)
			}
			x.report.Turns = append(x.report.Turns, turn)
		}
	}
	x.report.sumUp()
	return nil
}

// turn publishes to the healthy streams, with stalled ones next to them or not.
func (x *slowRun) turn(ctx context.Context, stalled bool, round int) (turn slowTurn, err error) {
	turn.Round = round
	name := "none stalled"
	if stalled {
		name = stalledSide
		c, err := x.stall(ctx)
		if err != nil {
			return turn, err
		}
		defer func() {
			c.Close()
			err = errors.Join(err, proc.AwaitSockets(ctx, x.r.Streams.Port(), x.f.Streams+x.f.Conns, x.f.Quiet))
		}()
	}
	before, err := x.look()
	if err != nil {
		return turn, err
	}
	x.r.Progress.Say("round %d of %d, %s: filling", round, x.f.Rounds, name)
	if x.f.Fill > 0 {
		fill, _, err := x.healthy.runAs(ctx, &x.f.Flags, PatternBurst, x.f.Fill)
		if err != nil {
			return turn, err
		}
		x.report.WarmUp.add(fill)
	}
	x.r.Progress.Say("round %d of %d, %s: publishing", round, x.f.Rounds, name)
	res, lag, err := x.healthy.run(ctx, &x.f.Flags, x.f.Messages)
	if err != nil {
		return turn, err
	}
	if res.Round = round; round == 0 {
		x.report.WarmUp.add(res)
		return turn, nil
	}
	if stalled {
		res.Side = stalledSide
	}
	x.report.add(res, lag)
	after, err := x.look()
	turn.fill(stalled, x.f.stalled(), before, after)
	return turn, err
}

// stall opens streams that do not read.
func (x *slowRun) stall(ctx context.Context) (*load.Client, error) {
	requests, err := x.r.Requests(x.f.stalled())
	if err != nil {
		return nil, err
	}
	cfg := x.r.ClientConfig(&x.r.Host, requests, x.source, load.Ignore)
	cfg.Stall, cfg.Receive = true, load.StalledReceive
	x.source += load.SourcesOf(len(requests))
	c, err := load.New(cfg)
	if err != nil {
		return nil, err
	}
	if err := c.Open(ctx, len(requests), x.f.Quiet); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// slowLook is what is held at one moment.
type slowLook struct {
	sockets proc.SocketMemory
	memory  proc.Memory
}

func (x *slowRun) look() (l slowLook, err error) {
	if l.sockets, err = proc.ReadSocketMemory(x.r.Streams.Port()); err != nil {
		return l, err
	}
	l.memory, err = proc.ReadMemory(x.r.Target.PIDs)
	return l, err
}
