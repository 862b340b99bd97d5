//go:build linux

package engine

import (
	"context"
	"slices"
	"strings"
	"time"

	"sluice/bench/figures"
	"sluice/bench/mode/publish"
	"sluice/bench/rig"
)

// form is a kind of publication: into a channel that keeps a history, or not.
type form struct {
	Name    string
	channel string
	history bool
	command []string // what the node sends Redis for one
	rate    float64  // of redis-benchmark, commands/s, when it was last measured
}

// publishTurn is one turn of one form.
type publishTurn struct {
	Form  string `json:"form"`
	Round int    `json:"round"`
	// redis-benchmark: commands/s, and CPU of Redis for each, µs.
	Benchmark    float64 `json:"benchmark_per_second"`
	BenchmarkCPU float64 `json:"benchmark_redis_cpu_us"`
	// Ours: publications/s over connections with one in flight each.
	PerSecond float64           `json:"publications_per_second"`
	Over      float64           `json:"ours_over_benchmark"`
	CPU       CPU               `json:"cpu_us_per_publication"`
	Answer    figures.Quantiles `json:"answer_ms"`
	Commands  float64           `json:"commands_per_publication"` // sent by nodes
	Executed  float64           `json:"executed_per_publication"` // with those that scripts call
	Reads     float64           `json:"redis_reads_per_publication"`
	// For information; 0: not measured. Publications/s with many in flight on pipelined
	// connections, and those of the memory engine, with one in flight each.
	Flight float64 `json:"in_flight_per_second"`
	Memory float64 `json:"memory_per_second"`
	// The same without a request for each publication.
	Batch  shape `json:"batch"`
	Engine shape `json:"engine_in_process"`
}

// scripted reports whether the command runs a script.
func (m *form) scripted() bool { return slices.Contains(scripts, strings.ToLower(m.command[0])) }

// calibration is how many commands redis-benchmark sends while its pace is not known.
const calibration = 10_000

// prepare finds what the nodes send Redis.
func prepare(ctx context.Context, f *Flags, r *rig.Rig, x *fleet) (forms []*form, err error) {
	for _, m := range []*form{
		{Name: "with history", channel: rig.RecoverablePrefix + f.Channel, history: true},
		{Name: "without history", channel: f.Channel},
	} {
		r.Progress.Say("looking at what a publication %s is to Redis", m.Name)
		p, err := r.Publishers(ctx, x.near.On(m.channel), rig.Publishing{Conns: 1, InFlight: 1, Size: f.Size})
		if err != nil {
			return nil, err
		}
		if err := p.Prepare(ctx); err != nil {
			return nil, err
		}
		m.command, err = commandOf(ctx, x.redis, func() error {
			if err := p.Start(ctx, 1); err != nil {
				return err
			}
			return p.Finish()
		})
		p.Close()
		if err != nil {
			return nil, err
		}
		forms = append(forms, m)
	}
	return forms, nil
}

// measure is a turn of the form: redis-benchmark's first in every second round.
func (m *form) measure(ctx context.Context, f *Flags, r *rig.Rig, x *fleet, round int) (turn publishTurn, err error) {
	turn = publishTurn{Form: m.Name, Round: round}
	first, second := m.benchmark, m.ours
	if round%2 == 1 {
		first, second = second, first
	}
	for _, side := range []func(ctx context.Context, f *Flags, r *rig.Rig, x *fleet, turn *publishTurn) error{first, second} {
		if err = x.rest(ctx); err != nil {
			return turn, err
		}
		if err = side(ctx, f, r, x, &turn); err != nil {
			return turn, err
		}
	}
	turn.Over = turn.PerSecond / turn.Benchmark
	if f.More {
		err = m.more(ctx, f, r, x, &turn)
	}
	return turn, err
}

// benchmark is redis-benchmark's side.
func (m *form) benchmark(ctx context.Context, f *Flags, _ *rig.Rig, x *fleet, turn *publishTurn) (err error) {
	n := calibration
	if m.rate > 0 {
		n = max(f.Conns, int(m.rate*f.Duration.Seconds()))
	}
	before, err := x.read(x.near)
	if err != nil {
		return err
	}
	if turn.Benchmark, err = replay(ctx, x.redis, m.command, f.Conns, n); err != nil {
		return err
	}
	cpu, err := x.each(x.near, before, int64(n))
	m.rate, turn.BenchmarkCPU = turn.Benchmark, cpu.Redis
	return err
}

// ours is the node's side.
func (m *form) ours(ctx context.Context, f *Flags, r *rig.Rig, x *fleet, turn *publishTurn) error {
	hammer, err := publish.On(ctx, r, x.near.On(m.channel), f.Conns, f.Size)
	if err != nil {
		return err
	}
	defer hammer.Close()
	did, err := readStats(ctx, x.redis)
	if err != nil {
		return err
	}
	before, err := x.read(x.near)
	if err != nil {
		return err
	}
	got, err := hammer.Run(ctx, f.Duration, 0)
	if err != nil {
		return err
	}
	if turn.CPU, err = x.each(x.near, before, got.Answers); err != nil {
		return err
	}
	now, err := readStats(ctx, x.redis)
	if err != nil {
		return err
	}
	did = now.since(did)
	each := func(n int64) float64 { return float64(n) / float64(got.Answers) }
	turn.PerSecond, turn.Answer = got.PerSecond(), figures.QuantilesOf(got.Lag)
	turn.Commands, turn.Executed, turn.Reads = each(did.sent(m.scripted())), each(did.executed()), each(did.reads)
	return nil
}

// more measures what has no budget: publications with many in flight, and the memory
// engine, which shows how far publishing over HTTP is from redis-benchmark without Redis.
func (m *form) more(ctx context.Context, f *Flags, r *rig.Rig, x *fleet, turn *publishTurn) error {
	n := max(f.InFlight, int(turn.PerSecond*f.Duration.Seconds()))
	took, err := pour(ctx, f, r, x.near.On(m.channel), n)
	if err != nil {
		return err
	}
	turn.Flight = float64(n) / took.Seconds()
	hammer, err := publish.On(ctx, r, x.memory.On(m.channel), f.Conns, f.Size)
	if err != nil {
		return err
	}
	defer hammer.Close()
	got, err := hammer.Run(ctx, f.Duration, 0)
	if err != nil {
		return err
	}
	turn.Memory = got.PerSecond()
	return m.shapes(ctx, f, r, x, turn)
}

// pour publishes n messages into the channel of h, in flight as in the burst.
func pour(ctx context.Context, f *Flags, r *rig.Rig, h *rig.Host, n int) (time.Duration, error) {
	p, err := r.Publishers(ctx, h, rig.Publishing{Conns: f.Publishers, InFlight: f.InFlight, Size: f.Size})
	if err != nil {
		return 0, err
	}
	defer p.Close()
	if err := p.Prepare(ctx); err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := p.Start(ctx, n); err != nil {
		return 0, err
	}
	err = p.Finish()
	return time.Since(begin), err
}
