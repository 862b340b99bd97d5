package jetstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/broker/follow"
	"sluice/gateway/broker/history"
	core "sluice/gateway/broker/nats"
	"sluice/gateway/nats"
	"sluice/gateway/reference"
)

// Options of an [Engine]. Zero fields mean the defaults named.
type Options struct {
	// NATS has the connections, of which the engine takes the feed. Its owner closes it, after the
	// engine.
	NATS *nats.NATS
	// Node is the id of this node: a part of the subjects of its probes.
	Node string
	// Shards is how many streams channels are spread over, the same on all nodes; 4.
	Shards int
	// Replicas of each stream; 1. Memory keeps them in memory. MaxBytes bounds each, 0: by the limits of
	// the account.
	Replicas int
	Memory   bool
	MaxBytes int64
	// HistorySize is the largest that channels are known to have; streams are made for larger ones when
	// they come.
	HistorySize int
	// Wait is how long a publication, join or leave may take; 1 s.
	Wait time.Duration
	// CallWait is the same for all other calls whose context does not end before; 5 s.
	CallWait time.Duration
	// ProbeEvery is how often a write and its delivery are tried; 1 s. ProbeLate is when the last one
	// that worked is too long ago to be ready; 5 s, or three times that.
	ProbeEvery, ProbeLate time.Duration
	// Binary reports whether a channel's format is binary; nil: none is.
	Binary func(channel string) bool
	// JSON bounds the JSON that other nodes and foreign publishers send.
	JSON codec.Limits
	// Log is told of losses, comparisons and failed probes, a few a second at most; nil: nobody.
	Log *slog.Logger
}

// ShardsMost bounds Options.Shards.
const ShardsMost = 64

func (o *Options) defaults() {
	if o.Shards <= 0 {
		o.Shards = 4
	}
	o.Replicas = max(o.Replicas, 1)
	if o.Wait <= 0 {
		o.Wait = time.Second
	}
	if o.CallWait <= 0 {
		o.CallWait = 5 * time.Second
	}
	if o.ProbeEvery <= 0 {
		o.ProbeEvery = time.Second
	}
	if o.ProbeLate <= 0 {
		o.ProbeLate = max(5*time.Second, 3*o.ProbeEvery)
	}
	if o.Binary == nil {
		o.Binary = func(string) bool { return false }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Engine implements broker.Broker, and the Carrier of package cluster. Make it with [New].
type Engine struct {
	core.Carrier

	// Immutable after Start.
	opt     Options
	nats    *nats.NATS
	api     *nats.API
	manager *nats.Manager
	subj    subjects
	shards  []*shard
	follow  *follow.Follower
	janitor *janitor
	lanes   lanes

	ctx    context.Context // of the intake: ends with StopIntake
	cancel context.CancelFunc
	over   context.Context // ends with Close
	end    context.CancelFunc
	done   sync.WaitGroup
	making sync.Mutex // held while streams are made, or made longer
	calls  callStats
	stats  engineStats

	idPrefix string // of batches

	refusals refusals

	// Atomic.
	batches atomic.Uint64
	oldest  atomic.Bool           // no batches are used, as with the oldest servers (tests)
	level   atomic.Int32          // of the servers' API, 0: not known yet
	ahead   atomic.Int64          // how far the clock of the server is ahead of ours, in ns
	refuse  atomic.Pointer[error] // what the servers refuse for good of streams
	denied  atomic.Pointer[error] // why nothing can be subscribed to, as far as they say
}

var _ broker.Broker = (*Engine)(nil)

// New returns an engine that delivers nothing before Start.
func New(opt Options) (*Engine, error) {
	opt.defaults()
	manager, err := opt.NATS.Manager()
	if err != nil {
		return nil, err
	}
	e := &Engine{opt: opt, nats: opt.NATS, api: opt.NATS.API(), manager: manager, subj: subjects{opt.NATS.Prefix()}}
	e.Carrier = core.NewCarrier(opt.NATS, opt.Wait, opt.CallWait, e.sent)
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.over, e.end = context.WithCancel(context.Background())
	for i := range opt.Shards {
		e.shards = append(e.shards, newShard(e, i))
	}
	e.idPrefix = history.NewEpoch() + "."
	e.lanes.init()
	e.janitor = newJanitor(e)
	return e, nil
}

// Check returns what the servers refuse for good, nil if they do not, or cannot be asked now: a
// version that is too old, or streams that were made with other options.
func (e *Engine) Check(ctx context.Context) error {
	err := e.ensure(ctx)
	if errors.Is(err, nats.ErrRefused) {
		return err
	}
	return nil
}

// Abilities implements broker.Broker.
func (e *Engine) Abilities() broker.Abilities {
	return broker.Abilities{History: true, Nodes: true, Bounded: true}
}

// Start implements broker.Broker.
func (e *Engine) Start(sink broker.Sink) error {
	e.follow = follow.New(sink, e)
	e.follow.KeepPrevious()
	e.done.Go(func() { e.follow.Run(e.ctx) })
	e.done.Go(func() { e.janitor.run(e.over) })
	for _, s := range e.shards {
		e.done.Go(func() { s.run(e.over) })
	}
	e.nats.Feed().Start((*intake)(e))
	return e.nats.Feed().Subscribe(append(e.advisorySubjects(), e.subj.live(nobody))...)
}

// shardOf returns that of a channel.
func (e *Engine) shardOf(channel string) *shard { return e.shards[e.Slot(channel)] }

// Subscribe implements broker.Broker: a marker through the leader of each shard comes back behind the
// subscriptions, on the way that publications come.
func (e *Engine) Subscribe(ctx context.Context, channels []string) error {
	ctx, cancel := context.WithTimeout(ctx, e.opt.CallWait+time.Duration(len(channels))*callEach)
	defer cancel()
	began := time.Now()
	if ctx.Err() != nil {
		return e.failed("subscribe", context.Cause(ctx))
	}
	e.follow.Add(channels)
	if err := e.nats.Feed().Subscribe(e.subj.lives(channels)...); err != nil {
		return e.failed("subscribe", err)
	}
	used := make([]bool, len(e.shards))
	for _, ch := range channels {
		used[e.Slot(ch)] = true
	}
	err := e.each(func(s *shard) bool { return used[s.index] }, func(s *shard) error { return s.marker(ctx) })
	e.calls.took(callSubscribe, time.Since(began))
	if err == nil {
		err = cmp.Or(e.nats.Feed().Refused(ctx, e.subj.lives(channels)...), e.refusals.of(channels))
	}
	if err != nil {
		return e.failed("subscribe", err)
	}
	return nil
}

// callEach is what a call may take more for each of its channels.
const callEach = 100 * time.Microsecond

// Unsubscribe implements broker.Broker. It does not fail: the connection that the server was not told on
// is none any more.
func (e *Engine) Unsubscribe(_ context.Context, channels []string) error {
	e.nats.Feed().Unsubscribe(e.subj.lives(channels)...)
	e.refusals.forget(channels)
	e.follow.Remove(channels)
	return nil
}

// each runs f for every shard that is meant, side by side, and joins the errors.
func (e *Engine) each(meant func(*shard) bool, f func(*shard) error) error {
	var busy []*shard
	for _, s := range e.shards {
		if meant(s) {
			busy = append(busy, s)
		}
	}
	if len(busy) == 1 {
		return f(busy[0])
	}
	errs := make([]error, len(busy))
	var wait sync.WaitGroup
	for i, s := range busy {
		wait.Go(func() { errs[i] = f(s) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

func all(*shard) bool { return true }

// Barrier implements broker.Broker: markers go through all shards, and what is to be compared then is
// waited for.
func (e *Engine) Barrier(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, e.opt.CallWait)
	defer cancel()
	suspects := e.follow.TakeSuspects()
	if err := e.follow.AwaitUp(ctx); err != nil { // what comes before is compared then
		return e.failed("barrier", fmt.Errorf("streams are not delivered yet, see /ready: %w: %w", nats.ErrUnavailable, err))
	}
	if err := e.each(all, func(s *shard) error { return s.marker(ctx) }); err != nil {
		return e.failed("barrier", err)
	}
	if err := e.follow.Await(ctx, suspects); err != nil {
		return e.failed("barrier", fmt.Errorf("channels are compared with their histories: %w: %w", nats.ErrUnavailable, err))
	}
	return nil
}

// StopIntake implements broker.Broker. Commands of nodes still arrive.
func (e *Engine) StopIntake(context.Context) error {
	e.cancel()
	if e.follow != nil {
		e.follow.Stop()
	}
	return nil
}

// Close implements broker.Broker.
func (e *Engine) Close(ctx context.Context) error {
	_ = e.StopIntake(ctx)
	e.end()
	e.done.Wait()
	for _, s := range e.shards {
		s.markers.Wait()
	}
	return nil
}

// sent counts a command to other nodes.
func (e *Engine) sent(err error, took time.Duration) {
	e.calls.took(callSend, took)
	if err != nil {
		e.calls.failed(err)
	}
}

// failed counts what failed, and says it in the words of package broker.
func (e *Engine) failed(what string, err error) error {
	e.calls.failed(err)
	return core.Failed(what, err)
}

// limits are those of what comes in a channel whose epoch is known.
func (e *Engine) limits(channel, epoch string) reference.Limits {
	return reference.Limits{JSON: e.opt.JSON, Binary: e.opt.Binary(channel), Epoch: epoch}
}

// now is the time of the server, as far as it is known.
func (e *Engine) now() time.Time { return time.Now().Add(time.Duration(e.ahead.Load())) }

// storage is where streams are kept.
func (e *Engine) storage() jetstream.StorageType {
	if e.opt.Memory {
		return jetstream.MemoryStorage
	}
	return jetstream.FileStorage
}
