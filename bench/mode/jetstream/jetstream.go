//go:build linux

package jetstream

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"sluice/bench/figures"
	"sluice/bench/rig"
	"sluice/codec"
	"sluice/gateway/broker"
	engine "sluice/gateway/broker/jetstream"
	"sluice/gateway/nats"
)

// PublishBudget is publications/s ÷ those of batches of the same size. LagTimes and LagMore say what p99 on the other node may be:
// so many times that on the publishing one, and so many ms.
const (
	PublishBudget = 0.5
	LagTimes      = 2.0
	LagMore       = 2.0
)

// Flags are the settings of the mode.
type Flags struct {
	Binary                        string
	Batch, Size, Rounds, Channels int
	Duration                      time.Duration
}

// Setup declares the flags of the mode jetstream, and returns what runs it.
func Setup(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &Flags{}
	fs.StringVar(&f.Binary, "nats-server", "", "the program of nats-server; none: it is built from its module")
	fs.IntVar(&f.Batch, "batch", 100, "publications in flight, all on one channel")
	fs.IntVar(&f.Size, "size", 128, "bytes of JSON data per message")
	fs.IntVar(&f.Rounds, "rounds", 5, "rounds, in each of which both sides take a turn")
	fs.IntVar(&f.Channels, "channels", 100_000, "channels of which the memory is measured")
	fs.DurationVar(&f.Duration, "duration", 2*time.Second, "how long each side publishes")
	return func(ctx context.Context) error { return Run(ctx, f) }
}

// history is what the hot channel keeps.
var history = broker.HistoryOptions{Size: 1000, TTL: time.Minute, MetaTTL: time.Hour}

// sink takes what an engine delivers: it notes how long publications took that say when they began.
type sink struct {
	mu  sync.Mutex
	lag *hdrhistogram.Histogram // nil: not measured
	n   atomic.Int64
}

func (s *sink) Publication(_ string, p, _ *codec.Publication, credit *broker.Credit) {
	credit.Release()
	s.n.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lag == nil {
		return
	}
	text := strings.Trim(p.Data.String(), `"`)
	if at, _, ok := strings.Cut(text, " "); ok {
		if ns, err := strconv.ParseInt(at, 10, 64); err == nil {
			_ = s.lag.RecordValue(max(time.Now().UnixNano()-ns, 0) / 1000)
		}
	}
}
func (s *sink) Join(_ string, _ *codec.ClientInfo, credit *broker.Credit)  { credit.Release() }
func (s *sink) Leave(_ string, _ *codec.ClientInfo, credit *broker.Credit) { credit.Release() }
func (s *sink) Resynced(string, broker.Position)                           {}
func (s *sink) Lost(string)                                                {}
func (s *sink) Credit(_ context.Context, size int) (*broker.Credit, error) {
	return broker.NewCredit(int64(size)+1, func(int64) {}), nil
}

// node is an engine with what it delivered.
type node struct {
	*engine.Engine
	nats *nats.NATS
	sink *sink
}

func startNode(ctx context.Context, addr, name string) (*node, error) {
	n := &node{sink: &sink{}}
	var err error
	if n.nats, err = nats.Open(nats.Options{URL: addr, Prefix: "bench", Node: name}); err != nil {
		return nil, err
	}
	n.Engine, err = engine.New(engine.Options{NATS: n.nats, Node: name, Shards: 1, Memory: true, HistorySize: history.Size, Wait: 30 * time.Second})
	if err == nil {
		if err = n.Check(ctx); err == nil {
			err = n.Start(n.sink)
		}
	}
	if err != nil {
		return nil, err
	}
	for n.Ready() != nil {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("bench: the engine is not ready: %w", n.Ready())
		}
	}
	return n, nil
}

func (n *node) close() {
	_ = n.Close(context.Background())
	n.nats.Close()
}

// Run runs the mode, and prints a table.
func Run(ctx context.Context, f *Flags) error {
	if f.Batch < 2 || f.Rounds < 1 || f.Size < 32 || f.Duration <= 0 {
		return errors.New("bench: -batch above one, -rounds and -duration above zero and -size of 32 or more expected")
	}
	dir, err := os.MkdirTemp("", "bench-jetstream")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	server, err := rig.StartNATS(ctx, dir, f.Binary)
	if err != nil {
		return err
	}
	defer server.Stop()
	near, err := startNode(ctx, server.Addr(), "near")
	if err != nil {
		return err
	}
	defer near.close()
	far, err := startNode(ctx, server.Addr(), "far")
	if err != nil {
		return err
	}
	defer far.close()
	var ratios, rates, floors, groups, lags []float64
	for round := range f.Rounds + 1 { // the first warms up
		t, err := play(ctx, f, near, far, server.Addr(), round)
		if err != nil {
			return err
		}
		fmt.Printf("round %d: ours %.0f/s in groups of %.0f, batches of %d %.0f/s: %.2f; lag p99 near %.2f ms, far %.2f ms at %.0f/s\n",
			round, t.ours, t.group, t.floorSize, t.floor, t.ours/t.floor, t.near.P99, t.far.P99, t.rate)
		if round > 0 {
			ratios, rates, floors, groups = append(ratios, t.ours/t.floor), append(rates, t.ours), append(floors, t.floor), append(groups, t.group)
			lags = append(lags, t.far.P99/(LagTimes*t.near.P99+LagMore))
		}
	}
	subscribed, err := memory(ctx, f, far)
	if err != nil {
		return err
	}
	fmt.Println()
	row := func(what string, s figures.Spread, must string) {
		fmt.Printf("%-62s %.2f (%.2f-%.2f)  must %s\n", what, s.Median, s.Min, s.Max, must)
	}
	row("publications/s over batches of the same size", figures.SpreadOf(ratios), fmt.Sprint(">= ", PublishBudget))
	row("p99 on the other node over what it may be (2 x near + 2 ms)", figures.SpreadOf(lags), "<= 1")
	row("publications/s", figures.SpreadOf(rates), "-")
	row("batches' messages/s", figures.SpreadOf(floors), "-")
	row("publications in a group", figures.SpreadOf(groups), "-")
	fmt.Printf("%-62s %.0f B (of our heap; %d channels subscribed)\n", "memory per channel with a subscriber", subscribed, f.Channels)
	if s := figures.SpreadOf(ratios); s.Median < PublishBudget {
		return fmt.Errorf("bench: publications/s are %.2f of those of batches: %.2f expected", s.Median, PublishBudget)
	}
	return nil
}

// turn is one round.
type turn struct {
	ours, group, floor, rate float64
	floorSize                int
	near, far                figures.Quantiles
}

func play(ctx context.Context, f *Flags, near, far *node, addr string, round int) (t turn, err error) {
	ours := func() error {
		before := near.Stats()
		t.ours, err = publish(ctx, f, near, f.Duration)
		now := near.Stats()
		t.group = float64(now.Batched-before.Batched) / float64(max(now.Batches-before.Batches, 1))
		return err
	}
	floor := func() error {
		t.floorSize = f.Batch
		t.floor, err = batches(ctx, f, addr, t.floorSize)
		return err
	}
	turns := []func() error{ours, floor}
	if round%2 == 1 {
		turns[0], turns[1] = turns[1], turns[0]
	}
	for _, turn := range turns {
		if err := turn(); err != nil {
			return t, err
		}
	}
	t.rate = min(t.ours/2, 5000)
	t.near, t.far, err = measureLag(ctx, f, near, far, t.rate)
	return t, err
}

// publish has f.Batch publishers, each with one in flight, publish into one channel, and returns
// publications/s.
func publish(ctx context.Context, f *Flags, n *node, d time.Duration) (float64, error) {
	var done atomic.Int64
	var failed atomic.Pointer[error]
	data := codec.QuoteJSON(strings.Repeat("x", f.Size-2))
	begun := time.Now()
	var wait sync.WaitGroup
	for range f.Batch {
		wait.Go(func() {
			for time.Since(begun) < d && ctx.Err() == nil && failed.Load() == nil {
				p := &codec.Publication{Data: data, Time: time.Now().UnixMilli()}
				if _, err := n.Publish(ctx, "hot", p, broker.PublishOptions{History: history}); err != nil {
					failed.Store(&err)
					return
				}
				done.Add(1)
			}
		})
	}
	wait.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(done.Load()) / time.Since(begun).Seconds(), ctx.Err()
}

// measureLag publishes on a schedule, and waits for nothing, into a channel that both nodes are subscribed to.
func measureLag(ctx context.Context, f *Flags, near, far *node, rate float64) (a, b figures.Quantiles, err error) {
	const channel = "lag"
	for _, n := range []*node{near, far} {
		n.sink.mu.Lock()
		n.sink.lag = hdrhistogram.New(1, 60_000_000, 3)
		n.sink.mu.Unlock()
		n.sink.n.Store(0)
		if err := n.Subscribe(ctx, []string{channel}); err != nil {
			return a, b, err
		}
	}
	pause := time.Duration(float64(time.Second) / rate)
	var wait sync.WaitGroup
	var failed atomic.Int64
	total := int64(0)
	begun := time.Now()
	for due := begun; due.Sub(begun) < f.Duration; due = due.Add(pause) {
		if d := time.Until(due); d > 0 {
			time.Sleep(d)
		}
		total++
		p := &codec.Publication{Data: codec.QuoteJSON(strconv.FormatInt(due.UnixNano(), 10) + " " + strings.Repeat("x", max(f.Size-22, 0)))}
		wait.Go(func() {
			if _, err := near.Publish(ctx, channel, p, broker.PublishOptions{History: history}); err != nil {
				failed.Add(1)
			}
		})
	}
	wait.Wait()
	if failed.Load() > 0 {
		return a, b, fmt.Errorf("bench: %d publications failed", failed.Load())
	}
	for _, n := range []*node{near, far} {
		for deadline := time.Now().Add(30 * time.Second); n.sink.n.Load() < total; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				return a, b, fmt.Errorf("bench: %d of %d publications arrived", n.sink.n.Load(), total)
			}
		}
		if err := n.Unsubscribe(ctx, []string{channel}); err != nil {
			return a, b, err
		}
	}
	read := func(n *node) figures.Quantiles {
		n.sink.mu.Lock()
		defer n.sink.mu.Unlock()
		q := figures.QuantilesOf(n.sink.lag)
		n.sink.lag = nil
		return q
	}
	return read(near), read(far), nil
}

// memory is what a channel with a subscriber takes of our heap, in bytes.
func memory(ctx context.Context, f *Flags, n *node) (float64, error) {
	names := make([]string, f.Channels)
	for i := range names {
		names[i] = "m:" + strconv.Itoa(i)
	}
	before := heap()
	for rest := names; len(rest) > 0; {
		some := rest[:min(1000, len(rest))]
		if err := n.Subscribe(ctx, some); err != nil {
			return 0, err
		}
		rest = rest[len(some):]
	}
	after := heap()
	runtime.KeepAlive(names)
	return float64(int64(after)-int64(before)) / float64(f.Channels), nil
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
