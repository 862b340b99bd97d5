package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/broker/history"
	rds "sluice/gateway/redis"
	"sluice/gateway/reference"
)

// Options of an [Engine]. Zero fields mean the defaults named.
type Options struct {
	// Redis has the connections. Its owner closes it, after the engine.
	Redis *rds.Redis
	// Node is the id of this node: a part of the name of the probe's key.
	Node string
	// Lists keeps histories in lists, as nodes of the reference with history_use_lists
	// do: versions travel and are not compared (Stats.Unversioned), no deltas are made.
	Lists bool
	// Wait is how long a publication, join or leave may take; 1 s. In an outage it
	// waits that long for a connection.
	Wait time.Duration
	// CallWait is the same for all other calls whose context does not end before; 5 s.
	CallWait time.Duration
	// ProbeEvery is how often a write and its delivery are tried; 1 s. ProbeLate is
	// when the last one that worked is too long ago to be ready; 5 s, or three times that.
	ProbeEvery, ProbeLate time.Duration
	// Binary reports whether a channel's format is binary; nil: none is.
	Binary func(channel string) bool
	// JSON bounds the JSON that other nodes and foreign publishers send.
	JSON codec.Limits
	// Log is told of losses, comparisons and failed probes, a few a second at most; nil: nobody.
	Log *slog.Logger
}

func (o *Options) defaults() {
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
	// Immutable after Start.
	opt   Options
	redis *rds.Redis
	// newEpoch makes one for a channel that has none: history.NewEpoch, but in tests.
	newEpoch func() string
	links    []*link // in the order of the shards
	shards   map[*rds.Shard]*link

	ctx    context.Context // of the intake: ends with StopIntake
	cancel context.CancelFunc
	over   context.Context // ends with Close
	end    context.CancelFunc
	done   sync.WaitGroup

	calls  callStats
	epochs epochs
	texts  keptTexts

	// Atomic.
	sender      atomic.Uint32 // the shard that took the last command to nodes
	unversioned atomic.Uint64 // publications with a version that nothing compared
}

var _ broker.Broker = (*Engine)(nil)

// New returns an engine that delivers nothing before Start.
func New(opt Options) *Engine {
	opt.defaults()
	e := &Engine{opt: opt, redis: opt.Redis, newEpoch: history.NewEpoch, shards: make(map[*rds.Shard]*link)}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.over, e.end = context.WithCancel(context.Background())
	return e
}

// Abilities implements broker.Broker.
func (e *Engine) Abilities() broker.Abilities {
	return broker.Abilities{History: true, Nodes: true, Bounded: true}
}

// Start implements broker.Broker.
func (e *Engine) Start(sink broker.Sink) error {
	for i, s := range e.redis.Shards() {
		l := newLink(e, i, s, sink)
		e.links = append(e.links, l)
		e.shards[s] = l
	}
	for _, l := range e.links {
		l.start()
	}
	return nil
}

// link returns that of a channel's shard.
func (e *Engine) link(channel string) *link {
	if len(e.links) == 1 {
		return e.links[0]
	}
	return e.shards[e.redis.ShardOf(channel)]
}

// byLink divides items by the shards of their channels; the lists hold their indexes.
func (e *Engine) byLink(n int, channel func(i int) string) [][]int {
	lists := make([][]int, len(e.links))
	for i := range n {
		l := e.link(channel(i))
		lists[l.index] = append(lists[l.index], i)
	}
	return lists
}

// each runs f for every link that has something to do, side by side, and joins the errors.
func (e *Engine) each(has func(l *link) bool, f func(l *link) error) error {
	var busy []*link
	for _, l := range e.links {
		if has(l) {
			busy = append(busy, l)
		}
	}
	if len(busy) == 1 {
		return f(busy[0])
	}
	errs := make([]error, len(busy))
	var wait sync.WaitGroup
	for i, l := range busy {
		wait.Go(func() { errs[i] = f(l) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

func all(*link) bool { return true }

// callEach is what a call may take more for each of its channels.
const callEach = 100 * time.Microsecond

// Subscribe implements broker.Broker.
func (e *Engine) Subscribe(ctx context.Context, channels []string) error {
	return e.eachOf(ctx, channels, func(ctx context.Context, l *link, mine []string) error {
		l.follower.Add(mine)
		if err := l.reader.Subscribe(ctx, l.names(mine)...); err != nil {
			return e.failed("subscribe", err)
		}
		return nil
	})
}

// Unsubscribe implements broker.Broker. It does not fail: what the reader cannot tell Redis
// now, it does not subscribe again.
func (e *Engine) Unsubscribe(ctx context.Context, channels []string) error {
	return e.eachOf(ctx, channels, func(ctx context.Context, l *link, mine []string) error {
		if err := l.reader.Unsubscribe(ctx, l.names(mine)...); err != nil {
			e.opt.Log.Debug("redis: unsubscribe", "shard", l.shard.Name(), "channels", len(mine), "error", err)
		}
		l.follower.Remove(mine)
		return nil
	})
}

// eachOf runs f for every link with its channels.
func (e *Engine) eachOf(ctx context.Context, channels []string, f func(ctx context.Context, l *link, mine []string) error) error {
	ctx, cancel := context.WithTimeout(ctx, e.opt.CallWait+time.Duration(len(channels))*callEach)
	defer cancel()
	lists := make([][]string, len(e.links))
	for _, ch := range channels {
		i := e.link(ch).index
		lists[i] = append(lists[i], ch)
	}
	return e.each(func(l *link) bool { return len(lists[l.index]) > 0 }, func(l *link) error { return f(ctx, l, lists[l.index]) })
}

// Barrier implements broker.Broker: markers go through all shards, and what is to be compared
// then is waited for, also what reads found to be behind before the call.
func (e *Engine) Barrier(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, e.opt.CallWait)
	defer cancel()
	return e.each(all, func(l *link) error {
		if err := l.barrier(ctx); err != nil {
			return e.failed("barrier", err)
		}
		return nil
	})
}

// Ready implements broker.Broker.
func (e *Engine) Ready() error {
	var errs []error
	for _, l := range e.links {
		if err := l.ready(time.Now()); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// StopIntake implements broker.Broker. Commands of nodes still arrive.
func (e *Engine) StopIntake(context.Context) error {
	e.cancel()
	for _, l := range e.links {
		l.follower.Stop()
	}
	return nil
}

// Close implements broker.Broker.
func (e *Engine) Close(ctx context.Context) error {
	_ = e.StopIntake(ctx)
	e.end()
	for _, l := range e.links {
		l.reader.Close()
	}
	e.done.Wait()
	return nil
}

// failed says what failed, in the words of package broker.
func (e *Engine) failed(what string, err error) error {
	kind := error(nil)
	switch {
	case errors.Is(err, rds.ErrUnavailable):
		kind = broker.ErrUnavailable
	case errors.Is(err, rds.ErrUnknown):
		kind = broker.ErrUnknown
	}
	e.calls.failed(err)
	if kind == nil {
		return fmt.Errorf("redis: %s: %w", what, err)
	}
	return fmt.Errorf("redis: %s: %w: %w", what, kind, err)
}

// limits are those of what comes in a channel whose epoch is known.
func (e *Engine) limits(channel, epoch string) reference.Limits {
	return reference.Limits{JSON: e.opt.JSON, Binary: e.opt.Binary(channel), Epoch: epoch}
}
