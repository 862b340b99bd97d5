//go:build linux

package engine

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"sluice/bench/figures"
	"sluice/bench/proc"
	"sluice/bench/rig"
)

// Flags are the settings of the mode engine.
type Flags struct {
	rig.CommonFlags
	Conns, Size, Rounds         int
	Duration                    time.Duration
	Streams, Messages, InFlight int
	Publishers                  int
	More                        bool // measure what has no budget too
}

// The budgets of issue 14: publications/s ÷ redis-benchmark's; p99 on the other node ÷
// (twice that on the publishing one + LagMore ms); commands of Redis per publication;
// CPU per delivery ÷ the memory engine's.
const (
	PublishBudget  = 0.7
	LagBudget      = 1.0
	LagTimes       = 2.0
	LagMore        = 2.0
	CommandsBudget = 1.0
	CPUBudget      = 1.1
)

// CommandsMore are the commands per publication that a node may send of its own accord:
// it looks once a second whether Redis is there.
const CommandsMore = 0.01

// Setup declares the flags of the mode engine, and returns what runs it.
func Setup(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &Flags{More: true}
	f.Register(fs)
	fs.IntVar(&f.Conns, "conns", 64, "keep-alive connections, each with one publication in flight, and clients of redis-benchmark")
	fs.IntVar(&f.Size, "size", 128, "bytes of JSON data per message")
	fs.IntVar(&f.Rounds, "rounds", 5, "rounds, in each of which every side takes a turn")
	fs.DurationVar(&f.Duration, "duration", 2*time.Second, "how long each side publishes")
	fs.IntVar(&f.Streams, "streams", 1000, "open streams of the burst, all on one channel")
	fs.IntVar(&f.Messages, "messages", 500, "messages of the burst")
	fs.IntVar(&f.InFlight, "in-flight", 256, "publications in flight in the burst, over all publishing connections")
	fs.IntVar(&f.Publishers, "publishers", 16, "publishing connections of the burst")
	return func(ctx context.Context) error {
		return f.Conclude(Run(ctx, f))
	}
}

// fleet is what is measured: two nodes on Redis, and one with the memory engine.
type fleet struct {
	near, far, memory *rig.Host // publications go to near
	redis             *rig.Redis
}

// Run runs the mode engine. rig.ErrNoProgram: Redis is not installed.
func Run(ctx context.Context, f *Flags) (*Report, error) {
	if f.Conns < 1 || f.Rounds < 1 || f.Duration <= 0 || f.Streams < 1 || f.Messages < 1 {
		return nil, errors.New("bench: -conns, -rounds, -duration, -streams and -messages should be above zero")
	}
	if f.URL != "" {
		return nil, errors.New("bench: this mode starts nodes and a redis-server of its own; give -server BINARY or nothing")
	}
	f.Own = rig.OwnServer{Namespace: true, OnRedis: true}
	return rig.With(ctx, &f.CommonFlags, 2*f.Streams+2*f.Conns+128, func(r *rig.Rig) (*Report, error) {
		x := &fleet{near: &r.Host, redis: r.Redis}
		var err error
		if x.far, err = r.AddNode(ctx, "far", f.Own); err != nil {
			return nil, err
		}
		if x.memory, err = r.AddNode(ctx, "memory", rig.OwnServer{Namespace: true}); err != nil {
			return nil, err
		}
		return measure(ctx, f, r, x)
	})
}

// measure lets all sides take turns.
func measure(ctx context.Context, f *Flags, r *rig.Rig, x *fleet) (*Report, error) {
	report := newReport(f, r)
	forms, err := prepare(ctx, f, r, x)
	if err != nil {
		return nil, err
	}
	for round := range f.Rounds + 1 { // the first warms up
		turns, lag, err := playRound(ctx, f, r, x, forms, round)
		if err != nil {
			return nil, fmt.Errorf("bench: round %d: %w", round, err)
		}
		if round > 0 {
			report.Publish = append(report.Publish, turns...)
			report.Lag = append(report.Lag, lag)
		}
	}
	if report.Burst, err = burst(ctx, f, r, x); err != nil {
		return nil, fmt.Errorf("bench: burst: %w", err)
	}
	report.sumUp()
	return report, nil
}

// playRound is one round of publishing and of lag.
func playRound(ctx context.Context, f *Flags, r *rig.Rig, x *fleet, forms []*form, round int) (turns []publishTurn, lag lagTurn, err error) {
	fastest := 0.0 // with history
	for i := range forms {
		m := forms[(i+round)%len(forms)]
		r.Progress.Say("round %d of %d: publishing, %s", round, f.Rounds, m.Name)
		turn, err := m.measure(ctx, f, r, x, round)
		if err != nil {
			return nil, lag, fmt.Errorf("%s: %w", m.Name, err)
		}
		turns = append(turns, turn)
		if m.history {
			fastest = turn.PerSecond
		}
	}
	r.Progress.Say("round %d of %d: lag on both nodes", round, f.Rounds)
	lag, err = measureLag(ctx, f, r, x, round, fastest/2)
	return turns, lag, err
}

// restLimit bounds the wait for rest: nodes on Redis never are quite at rest, for they
// look whether it is there, and on a busy machine that takes them longer.
const restLimit = time.Second

// rest waits until no node has anything left to do, as far as that can be seen.
func (x *fleet) rest(ctx context.Context) error {
	var pids []int
	for _, h := range []*rig.Host{x.near, x.far, x.memory} {
		pids = append(pids, h.Target.PIDs...)
	}
	_, _ = proc.RestedCPU(ctx, pids, restLimit)
	return ctx.Err()
}

// meter measures CPU between two moments.
type meter struct {
	node, redis, own time.Duration
}

// read reads the clocks of a node, of Redis and of this process.
func (x *fleet) read(h *rig.Host) (m meter, err error) {
	if m.node, err = proc.CPU(h.Target.PIDs); err == nil && x.redis != nil {
		m.redis, err = proc.CPU(x.redis.PIDs())
	}
	m.own = proc.OwnCPU()
	return m, err
}

// each is what n things took since m was read, in µs.
func (x *fleet) each(h *rig.Host, m meter, n int64) (CPU, error) {
	now, err := x.read(h)
	return CPU{
		Node: figures.MicrosEach(now.node-m.node, n), Redis: figures.MicrosEach(now.redis-m.redis, n),
		Bench: figures.MicrosEach(now.own-m.own, n),
	}, err
}

// CPU is who used how much of it for one publication, µs.
type CPU struct {
	Node  float64 `json:"node"`
	Redis float64 `json:"redis"`
	Bench float64 `json:"bench"`
}
