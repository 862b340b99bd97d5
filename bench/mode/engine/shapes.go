//go:build linux

package engine

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"sluice/bench/figures"
	"sluice/bench/load"
	"sluice/bench/mode/publish"
	"sluice/bench/proc"
	"sluice/bench/rig"
	"sluice/codec"
	"sluice/gateway/broker"
	engine "sluice/gateway/broker/redis"
	rds "sluice/gateway/redis"
)

// batchOf is how many publications a request of batch has.
const batchOf = 16

// shape is another way to publish than a request for each publication.
type shape struct {
	PerSecond float64 `json:"publications_per_second"`
	Over      float64 `json:"over_benchmark"`
	// CPU for each publication. Of the engine in this process Node is zero: it is in Bench.
	CPU CPU `json:"cpu_us_per_publication"`
}

// shapes measures other ways to publish: batch, over as many connections as the requests
// for one each; and the engine of a node by itself, in this process, which as many callers
// call: what redis-benchmark does, with the engine in between and no HTTP.
func (m *form) shapes(ctx context.Context, f *Flags, r *rig.Rig, x *fleet, turn *publishTurn) (err error) {
	if turn.Batch, err = m.batch(ctx, f, r, x); err != nil {
		return err
	}
	if x.redis == nil {
		return nil
	}
	if turn.Engine, err = m.inProcess(ctx, f, x); err != nil {
		return err
	}
	turn.Batch.Over, turn.Engine.Over = turn.Batch.PerSecond/turn.Benchmark, turn.Engine.PerSecond/turn.Benchmark
	return nil
}

func (m *form) batch(ctx context.Context, f *Flags, r *rig.Rig, x *fleet) (s shape, err error) {
	hammer, err := publish.Batches(ctx, r, x.near.On(m.channel), f.Conns, f.Size, batchOf)
	if err != nil {
		return s, err
	}
	defer hammer.Close()
	before, err := x.read(x.near)
	if err != nil {
		return s, err
	}
	got, err := hammer.Run(ctx, f.Duration, 0)
	if err != nil {
		return s, err
	}
	s.PerSecond = batchOf * got.PerSecond()
	s.CPU, err = x.each(x.near, before, batchOf*got.Answers)
	return s, err
}

// inProcess lets callers publish through an engine of this process.
func (m *form) inProcess(ctx context.Context, f *Flags, x *fleet) (s shape, err error) {
	payload, err := load.NewPayload(f.Size)
	if err != nil {
		return s, err
	}
	data, err := codec.Compact(payload, codec.Limits{})
	if err != nil {
		return s, err
	}
	e, end, err := openEngine(ctx, x.redis.Addr())
	if err != nil {
		return s, err
	}
	defer end()
	opt := broker.PublishOptions{}
	if m.history {
		opt.History = broker.HistoryOptions{Size: rig.HistorySize, TTL: rig.HistoryTTL}
	}
	call := func() error {
		_, err := e.Publish(ctx, m.channel, &codec.Publication{Data: data, Time: time.Now().UnixMilli()}, opt)
		return err
	}
	if err = call(); err != nil { // the script, the connection
		return s, err
	}
	redis, err := proc.CPU(x.redis.PIDs())
	if err != nil {
		return s, err
	}
	own, began := proc.OwnCPU(), time.Now()
	n, err := hurry(f.Conns, f.Duration, call)
	if err != nil {
		return s, err
	}
	s.PerSecond = float64(n) / time.Since(began).Seconds()
	s.CPU.Bench = figures.MicrosEach(proc.OwnCPU()-own, n)
	now, err := proc.CPU(x.redis.PIDs())
	s.CPU.Redis = figures.MicrosEach(now-redis, n)
	return s, err
}

// hurry lets callers call one after the other for d.
func hurry(callers int, d time.Duration, call func() error) (calls int64, err error) {
	var wg sync.WaitGroup
	var n atomic.Int64
	var failed atomic.Pointer[error]
	end := time.Now().Add(d)
	for range callers {
		wg.Go(func() {
			for time.Now().Before(end) && failed.Load() == nil {
				if err := call(); err != nil {
					failed.Store(&err)
					return
				}
				n.Add(1)
			}
		})
	}
	wg.Wait()
	if e := failed.Load(); e != nil {
		return 0, fmt.Errorf("bench: the engine in this process: %w", *e)
	}
	return n.Load(), nil
}

// openEngine makes an engine over a server that runs. end closes it.
func openEngine(ctx context.Context, addr string) (e *engine.Engine, end func(), err error) {
	const name = "bench" // of the node, and of what it writes
	conns, err := rds.Open(rds.Options{Address: []string{addr}, Prefix: name, Node: name})
	if err != nil {
		return nil, nil, fmt.Errorf("bench: %w", err)
	}
	e = engine.New(engine.Options{Redis: conns, Node: name})
	if err := e.Start(nobody{}); err != nil {
		conns.Close()
		return nil, nil, fmt.Errorf("bench: %w", err)
	}
	return e, func() {
		_ = e.Close(ctx) // what it could report changes no figure
		conns.Close()
	}, nil
}

// nobody is a broker.Sink that is not subscribed to anything.
type nobody struct{}

func (nobody) Publication(string, *codec.Publication, *codec.Publication, *broker.Credit) {}
func (nobody) Join(string, *codec.ClientInfo, *broker.Credit)                             {}
func (nobody) Leave(string, *codec.ClientInfo, *broker.Credit)                            {}
func (nobody) Resynced(string, broker.Position)                                           {}
func (nobody) Lost(string)                                                                {}
func (nobody) Credit(_ context.Context, size int) (*broker.Credit, error) {
	return broker.NewCredit(int64(size), func(int64) {}), nil
}
