// Package relay is an engine that publishes nothing itself: for each channel that
// somebody here wants it holds one stream of another node's broadcast route, the
// origin, and hands on what that brings, with the origin's offsets and epoch. What came
// lately is kept, so that those who come back here, viewers and further relays, resume
// here.
//
//	origin ─ GET /broadcast/{channel} ─► events (bytes) ─► link (offsets, epoch) ─► Sink, kept
//
// Nothing that the origin sends is believed: bytes are bounded and validated, offsets
// have to be dense and rising, and whatever is wrong has a reason that is counted.
// A stream that ends is followed by the next one, which begins behind the last
// checkpoint up to which everything had come; what comes twice is dropped by its offset.
// A hole that cannot be filled is told: positioned subscribers lose their place.
package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/shrink"
)

// Options of an [Engine]. Zero fields mean the defaults named.
type Options struct {
	// Origin is the broadcast route of another node: http or https, host, and the path
	// before the channel, without a slash at its end.
	Origin *url.URL
	Node   string      // the id of this node, for CDN-Loop
	TLS    *tls.Config // for https; nil for Go's defaults
	// Wait is how long an answer of the origin may take, and how long Subscribe waits
	// for a stream; 10 s.
	Wait time.Duration
	// Idle is how long a stream may be silent; 0: three times the time between two
	// checkpoints.
	Idle time.Duration
	// RetryMin and RetryMax bound the pause before a stream that failed is asked for
	// again, which grows from one to the other; 250 ms and 15 s.
	RetryMin, RetryMax time.Duration
	Channels           int   // most channels at once; 10,000
	MessageMax         int   // longest event that is taken, in bytes; 8 MiB
	ChannelMax         int   // most bytes of publications kept of one channel; 8 MiB
	TotalMax           int64 // and of all; 256 MiB
	// Keep says how much is kept of a channel; nil: nothing.
	Keep func(channel string) broker.HistoryOptions
	JSON codec.Limits
	Log  *slog.Logger // nil: none
}

func (o *Options) defaults() {
	for _, d := range []struct {
		of    *time.Duration
		value time.Duration
	}{{&o.Wait, 10 * time.Second}, {&o.RetryMin, 250 * time.Millisecond}, {&o.RetryMax, 15 * time.Second}} {
		if *d.of <= 0 {
			*d.of = d.value
		}
	}
	for _, d := range []struct {
		of    *int
		value int
	}{{&o.Channels, 10_000}, {&o.MessageMax, 8 << 20}, {&o.ChannelMax, 8 << 20}} {
		if *d.of <= 0 {
			*d.of = d.value
		}
	}
	if o.TotalMax <= 0 {
		o.TotalMax = 256 << 20
	}
	if o.Keep == nil {
		o.Keep = func(string) broker.HistoryOptions { return broker.HistoryOptions{} }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// openings is how many streams may be asked for at once.
const openings = 100

// Engine implements broker.Broker. Make it with [New].
type Engine struct {
	// Immutable after Start.
	opt  Options
	http *http.Transport
	sink broker.Sink

	ctx     context.Context // ends with the intake
	stop    context.CancelCauseFunc
	done    sync.WaitGroup // links and the probe
	opening chan struct{}  // has a place for each stream that is asked for

	memory   memory
	counters counters

	// Guarded by mu.
	mu     sync.Mutex
	links  shrink.Map[string, *link]
	absent shrink.Map[string, time.Time] // channels that the origin does not have, and until when

	// Atomic.
	unreachable atomic.Pointer[error] // what the last probe said; of nil if the origin answered
}

var _ broker.Broker = (*Engine)(nil)

var (
	errStopped  = errors.New("relay: this node is stopping")
	errNotAsked = errors.New("relay: the origin was not asked yet")
	errTooMany  = errors.New("relay: as many channels are relayed as relay.max_channels allows")
)

// New returns an engine that has asked for nothing yet.
func New(opt Options) *Engine {
	opt.defaults()
	e := &Engine{opt: opt, http: newTransport(&opt), opening: make(chan struct{}, openings), memory: memory{most: opt.TotalMax}}
	e.ctx, e.stop = context.WithCancelCause(context.Background())
	e.unreachable.Store(&errNotAsked)
	return e
}

// Abilities implements broker.Broker. What is published reaches other processes by the
// origin, not by this engine, so nodes that relay are no fleet.
func (e *Engine) Abilities() broker.Abilities {
	return broker.Abilities{History: true, Synchronous: true, Bounded: true}
}

// Start implements broker.Broker.
func (e *Engine) Start(sink broker.Sink) error {
	e.sink = sink
	e.done.Go(e.probe)
	return nil
}

// Subscribe implements broker.Broker. It returns when the streams have brought what the
// origin had published before. The error of a channel that the origin refuses is one that
// asking again soon does not change: broker.ErrNoChannel or broker.ErrLoop.
func (e *Engine) Subscribe(ctx context.Context, channels []string) error {
	ctx, cancel := context.WithTimeout(ctx, e.opt.Wait)
	defer cancel()
	links := make([]*link, 0, len(channels))
	var err error
	for _, ch := range channels {
		var l *link
		if l, err = e.link(ch, broker.Via(ctx)); err != nil {
			break
		}
		links = append(links, l)
	}
	for _, l := range links {
		if err == nil {
			err = l.await(ctx)
		}
	}
	if err != nil {
		e.end(links)
	}
	return err
}

// link returns the link of a channel, which it makes if there is none.
func (e *Engine) link(ch, via string) (*link, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %w", broker.ErrUnavailable, errStopped)
	}
	if l := e.links.Value(ch); l != nil {
		return l, nil
	}
	if until, ok := e.absent.Get(ch); ok {
		if time.Now().Before(until) {
			e.counters.absentBy.Add(1)
			return nil, fmt.Errorf("%w: the origin said so a moment ago", broker.ErrNoChannel)
		}
		e.absent.Delete(ch)
	}
	if e.links.Len() >= e.opt.Channels {
		e.counters.refused.Add(1)
		return nil, fmt.Errorf("%w: %w", broker.ErrUnavailable, errTooMany)
	}
	l := newLink(e, ch, via)
	e.links.Set(ch, l)
	e.done.Go(l.run)
	return l, nil
}

// noChannel remembers for a while that the origin does not have a channel.
func (e *Engine) noChannel(ch string, holds time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	if e.absent.Len() >= e.opt.Channels {
		var over []string
		for other, until := range e.absent.All() {
			if now.After(until) {
				over = append(over, other)
			}
		}
		for _, other := range over {
			e.absent.Delete(other)
		}
	}
	if e.absent.Len() < e.opt.Channels {
		e.absent.Set(ch, now.Add(holds))
	}
}

// Unsubscribe implements broker.Broker.
func (e *Engine) Unsubscribe(_ context.Context, channels []string) error {
	var links []*link
	e.mu.Lock()
	for _, ch := range channels {
		if l := e.links.Value(ch); l != nil {
			links = append(links, l)
		}
	}
	e.mu.Unlock()
	e.end(links)
	return nil
}

// end ends links; nothing of theirs enters the Sink behind it.
func (e *Engine) end(links []*link) {
	for _, l := range links {
		l.cancel(errUnwanted)
	}
	for _, l := range links {
		<-l.done
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range links {
		if e.links.Value(l.channel) == l {
			e.links.Delete(l.channel)
		}
	}
}

// Publish implements broker.Broker: what is relayed is published at the origin.
func (e *Engine) Publish(context.Context, string, *codec.Publication, broker.PublishOptions) (broker.Result, error) {
	return broker.Result{}, broker.ErrReadOnly
}

// Join implements broker.Broker: there is nobody whom it could be told.
func (e *Engine) Join(context.Context, string, *codec.ClientInfo, *broker.Credit) error {
	return broker.ErrReadOnly
}

// Leave implements broker.Broker.
func (e *Engine) Leave(context.Context, string, *codec.ClientInfo, *broker.Credit) error {
	return broker.ErrReadOnly
}

// Histories implements broker.Broker. Of a channel that nobody here is subscribed to
// nothing is known: its history is empty, of an epoch without a name.
func (e *Engine) Histories(ctx context.Context, queries []broker.HistoryQuery) []broker.History {
	answers := make([]broker.History, len(queries))
	for i := range queries {
		e.mu.Lock()
		l := e.links.Value(queries[i].Channel)
		e.mu.Unlock()
		if l != nil {
			answers[i] = l.history(ctx, &queries[i])
		}
	}
	return answers
}

// RemoveHistory implements broker.Broker: the history is the origin's.
func (e *Engine) RemoveHistory(context.Context, string) error { return broker.ErrReadOnly }

// Barrier implements broker.Broker. There is nothing that was published here.
func (e *Engine) Barrier(context.Context) error { return nil }

// StopIntake implements broker.Broker.
func (e *Engine) StopIntake(ctx context.Context) error {
	e.mu.Lock() // behind it, no link is made
	e.stop(errStopped)
	e.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		e.done.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close implements broker.Broker.
func (e *Engine) Close(ctx context.Context) error {
	err := e.StopIntake(ctx)
	e.http.CloseIdleConnections()
	return err
}
