//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
)

// slowFlags are the settings of the slow mode.
type slowFlags struct {
	fanOutFlags
	percent int
	fill    int
}

func setupSlow(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &slowFlags{}
	f.mode, f.pattern, f.conns, f.inFlight = "slow", string(patternPaced), 1, 64
	f.register(fs)
	fs.IntVar(&f.streams, "streams", 1000, "streams that read")
	fs.IntVar(&f.percent, "stalled", 20, "percent of all streams that do not, in every other turn")
	fs.IntVar(&f.size, "size", 4096, "bytes of JSON data per message")
	fs.IntVar(&f.fill, "fill", 128, "messages that are published before each turn, to fill what stalled streams have in the kernel")
	fs.IntVar(&f.messages, "messages", 60, "messages per turn")
	fs.Float64Var(&f.rate, "rate", 20, "messages per second")
	fs.IntVar(&f.rounds, "rounds", 5, "rounds, in each of which there is a turn with and one without stalled streams")
	return func(ctx context.Context) error {
		return f.conclude(runSlow(ctx, f))
	}
}

func (f *slowFlags) check() error {
	if err := f.fanOutFlags.check(); err != nil {
		return err
	}
	if f.percent < 1 || f.percent > 90 || f.fill < 0 {
		return errors.New("bench: -stalled should be 1 to 90, and -fill not negative")
	}
	return nil
}

// stalled is how many streams do not read, next to those that do.
func (f *slowFlags) stalled() int { return max(1, f.streams*f.percent/(100-f.percent)) }

// stalledReceive is the receive buffer of a stream that does not read: small,
// so that what it does not take stays with the server, as it does with a
// client far away.
const stalledReceive = 4096

// stalledSide is what a turn with stalled streams is called.
const stalledSide = "stalled"

// slowRun runs the turns of a slow mode.
type slowRun struct {
	f       *slowFlags
	r       *rig
	healthy *side
	source  int // next group of source addresses
	report  *slowReport
}

func runSlow(ctx context.Context, f *slowFlags) (*slowReport, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	return withRig(ctx, &f.commonFlags, f.streams+f.stalled()+64, func(r *rig) (*slowReport, error) {
		x := &slowRun{f: f, r: r, source: sourcesOf(f.streams), report: &slowReport{
			fanOutReport: *newFanOutReport(&f.fanOutFlags, r, 0), Percent: f.percent, Count: f.stalled(), Fill: f.fill,
		}}
		return x.report, x.run(ctx)
	})
}

// run opens the healthy streams, and lets turns with and without stalled ones
// follow each other; which comes first alternates.
func (x *slowRun) run(ctx context.Context) (err error) {
	if x.healthy, err = openHost(ctx, &x.f.fanOutFlags, x.r, &x.r.host, nil); err != nil {
		return err
	}
	defer x.healthy.close()
	// The first turn warms up.
	if _, err := x.turn(ctx, false, 0); err != nil {
		return err
	}
	for round := 1; round <= x.f.rounds; round++ {
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
			c.close()
			err = errors.Join(err, awaitSockets(ctx, x.r.streams.Port(), x.f.streams+x.f.conns, x.f.quiet))
		}()
	}
	before, err := x.look()
	if err != nil {
		return turn, err
	}
	x.r.progress.say("round %d of %d, %s: filling", round, x.f.rounds, name)
	if x.f.fill > 0 {
		fill, _, err := x.healthy.runAs(ctx, &x.f.fanOutFlags, patternBurst, x.f.fill)
		if err != nil {
			return turn, err
		}
		x.report.WarmUp.add(fill)
	}
	x.r.progress.say("round %d of %d, %s: publishing", round, x.f.rounds, name)
	res, lag, err := x.healthy.run(ctx, &x.f.fanOutFlags, x.f.messages)
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
func (x *slowRun) stall(ctx context.Context) (*client, error) {
	requests, err := x.r.requests(x.f.stalled())
	if err != nil {
		return nil, err
	}
	cfg := x.r.clientConfig(&x.r.host, requests, x.source, func(int) eventHandler { return silent{} })
	cfg.stall, cfg.receive = true, stalledReceive
	x.source += sourcesOf(len(requests))
	c, err := newClient(cfg)
	if err != nil {
		return nil, err
	}
	if err := c.open(ctx, len(requests), x.f.quiet); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// slowLook is what is held at one moment.
type slowLook struct {
	sockets socketMemory
	memory  processMemory
}

func (x *slowRun) look() (l slowLook, err error) {
	if l.sockets, err = readSocketMemory(x.r.streams.Port()); err != nil {
		return l, err
	}
	l.memory, err = readMemory(x.r.target.pids)
	return l, err
}
