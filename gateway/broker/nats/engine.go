package nats

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/nats"
	"sluice/gateway/reference"
)

// Options of an [Engine]. Zero fields mean the defaults named.
type Options struct {
	// NATS has the connections, of which the engine takes the feed. Its owner closes it, after the
	// engine.
	NATS *nats.NATS
	// Wildcards: channels may be patterns of subjects (allow_wildcards).
	Wildcards bool
	Raw       Raw
	// Wait is how long a publication, join or leave may take; 1 s.
	Wait time.Duration
	// CallWait is the same for all other calls whose context does not end before; 5 s.
	CallWait time.Duration
	// ProbeEvery is how often delivery is tried; 1 s. ProbeLate is when the last one that worked is too long ago to
	// be ready; 5 s, or three times that.
	ProbeEvery, ProbeLate time.Duration
	// Binary reports whether a channel's format is binary; nil: none is.
	Binary func(channel string) bool
	// JSON bounds the JSON that other nodes and foreign publishers send.
	JSON codec.Limits
	// Log is told of losses and failed probes, a few a second at most; nil: nobody.
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
	Carrier

	// Immutable after Start.
	opt  Options
	nats *nats.NATS
	subj subjects
	sink broker.Sink
	wake chan struct{} // capacity 1: there is something to prove

	ctx    context.Context // of the intake: ends with StopIntake
	cancel context.CancelFunc
	over   context.Context // ends with Close
	end    context.CancelFunc
	done   sync.WaitGroup
	calls  callStats
	stats  engineStats
	probe  prober

	// Guarded by mu.
	mu       sync.RWMutex
	channels map[string]string   // subscribed, and their subjects
	subjects map[string][]string // and the other way round: names can become the same
	refused  map[string]error    // subjects of them that the server refused, and why
	denied   error               // why nothing can be subscribed to, as far as the server says

	// Guarded by intake: held while the Sink is called.
	intake  sync.Mutex
	stopped bool
}

var _ broker.Broker = (*Engine)(nil)

// New returns an engine that delivers nothing before Start.
func New(opt Options) *Engine {
	opt.defaults()
	e := &Engine{
		opt: opt, nats: opt.NATS, subj: newSubjects(&opt), wake: make(chan struct{}, 1),
		channels: make(map[string]string), subjects: make(map[string][]string), refused: make(map[string]error),
	}
	e.Carrier = NewCarrier(opt.NATS, opt.Wait, opt.CallWait, e.sent)
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.over, e.end = context.WithCancel(context.Background())
	return e
}

// Abilities implements broker.Broker.
func (e *Engine) Abilities() broker.Abilities { return broker.Abilities{Nodes: true, Bounded: true} }

// Start implements broker.Broker.
func (e *Engine) Start(sink broker.Sink) error {
	e.sink = sink
	e.done.Go(func() { e.prove(e.over) })
	e.nats.Feed().Start((*intake)(e))
	return e.nats.Feed().Subscribe(e.subj.subscribed(nobody))
}

// Subscribe implements broker.Broker.
func (e *Engine) Subscribe(ctx context.Context, channels []string) error {
	ctx, cancel := context.WithTimeout(ctx, e.opt.CallWait)
	defer cancel()
	if ctx.Err() != nil {
		return e.failed("subscribe", context.Cause(ctx))
	}
	subjects := make([]string, len(channels))
	e.mu.Lock()
	for i, ch := range channels {
		subjects[i] = e.subj.subscribed(ch)
		if _, ok := e.channels[ch]; !ok {
			e.channels[ch] = subjects[i]
			e.subjects[subjects[i]] = append(e.subjects[subjects[i]], ch)
		}
	}
	// Under the lock, so that the feed has what the maps have.
	err := e.nats.Feed().Subscribe(subjects...)
	e.mu.Unlock()
	began := time.Now()
	if err == nil {
		err = e.nats.Feed().Marker(ctx, nats.Request{})
	}
	e.calls.took(callSubscribe, time.Since(began))
	if err == nil {
		err = cmp.Or(e.nats.Feed().Refused(ctx, subjects...), e.refusalOf(subjects))
	}
	if err != nil {
		return e.failed("subscribe", err)
	}
	return nil
}

// Unsubscribe implements broker.Broker. It does not fail: the connection that the server was not told on
// is none any more.
func (e *Engine) Unsubscribe(_ context.Context, channels []string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var over []string
	for _, ch := range channels {
		subject, ok := e.channels[ch]
		if !ok {
			continue
		}
		delete(e.channels, ch)
		rest := e.subjects[subject][:0:0]
		for _, other := range e.subjects[subject] {
			if other != ch {
				rest = append(rest, other)
			}
		}
		if e.subjects[subject] = rest; len(rest) == 0 {
			delete(e.subjects, subject)
			delete(e.refused, subject)
			over = append(over, subject)
		}
	}
	e.nats.Feed().Unsubscribe(over...)
	return nil
}

// Publish implements broker.Broker. Idempotency keys and versions mean nothing here, as with nodes of the
// reference.
func (e *Engine) Publish(ctx context.Context, channel string, p *codec.Publication, opt broker.PublishOptions) (broker.Result, error) {
	subject, err := e.subj.published(channel)
	if err != nil {
		return broker.Result{}, e.failed("publish", err)
	}
	var payload []byte
	if e.subj.raw {
		payload = rawPayload(p, opt.Binary)
	} else {
		q := *p
		q.Offset, q.Epoch, q.Version = 0, "", 0
		payload = reference.AppendPublicationPush(make([]byte, 0, p.Size()+messageRoom+len(channel)), channel, &q, opt.Binary)
	}
	return broker.Result{}, e.send(ctx, callPublish, "publish", subject, payload)
}

// messageRoom is what a message takes beyond its channel and the size of its publication, mostly.
const messageRoom = 64

// rawPayload is the data of a publication alone.
func rawPayload(p *codec.Publication, binary []byte) []byte {
	if p.Binary {
		return binary
	}
	return []byte(p.Data.String())
}

// send sends, and waits until the server has it.
func (e *Engine) send(ctx context.Context, call Call, what, subject string, payload []byte) error {
	ctx, cancel := context.WithTimeout(ctx, e.opt.Wait)
	defer cancel()
	began := time.Now()
	err := e.nats.Calls().Send(ctx, nats.Request{Subject: subject, Data: payload})
	e.calls.took(call, time.Since(began))
	if err != nil {
		return e.failed(what, err)
	}
	return nil
}

// Join implements broker.Broker. Raw mode has none.
func (e *Engine) Join(ctx context.Context, channel string, info *codec.ClientInfo, credit *broker.Credit) error {
	return e.event(ctx, channel, reference.AppendJoinPush(nil, channel, info), credit)
}

// Leave implements broker.Broker.
func (e *Engine) Leave(ctx context.Context, channel string, info *codec.ClientInfo, credit *broker.Credit) error {
	return e.event(ctx, channel, reference.AppendLeavePush(nil, channel, info), credit)
}

func (e *Engine) event(ctx context.Context, channel string, payload []byte, credit *broker.Credit) error {
	subject, err := e.subj.published(channel)
	if err == nil && !e.subj.raw { // nobody joins a pattern
		if err = e.send(ctx, callEvent, "join or leave", subject, payload); err != nil {
			return err
		}
	}
	credit.Release()
	return nil
}

// Histories implements broker.Broker: there are none.
func (e *Engine) Histories(_ context.Context, queries []broker.HistoryQuery) []broker.History {
	answers := make([]broker.History, len(queries))
	for i := range answers {
		answers[i].Err = errNoHistory
	}
	return answers
}

var errNoHistory error = noHistory{}

// noHistory wraps broker.ErrNoHistory.
type noHistory struct{}

// Error implements error.
func (noHistory) Error() string {
	return fmt.Sprintf("nats: %v: set broker.nats.jetstream.enabled for it", broker.ErrNoHistory)
}

// Unwrap implements errors.Unwrap.
func (noHistory) Unwrap() error { return broker.ErrNoHistory }

// Remedy is what people can do about it.
func (noHistory) Remedy() string {
	return "set broker.nats.jetstream.enabled, which keeps histories, or take force_recovery and force_positioning out of the namespace"
}

// RemoveHistory implements broker.Broker: there is none.
func (e *Engine) RemoveHistory(context.Context, string) error { return errNoHistory }

// Barrier implements broker.Broker: what this node's server had is in the Sink. Other servers of a
// cluster may have more.
func (e *Engine) Barrier(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, e.opt.CallWait)
	defer cancel()
	if err := e.nats.Feed().Marker(ctx, nats.Request{}); err != nil {
		return e.failed("barrier", err)
	}
	return nil
}

// StopIntake implements broker.Broker. Commands of nodes still arrive.
func (e *Engine) StopIntake(context.Context) error {
	e.cancel()
	e.intake.Lock()
	defer e.intake.Unlock()
	e.stopped = true
	return nil
}

// Close implements broker.Broker.
func (e *Engine) Close(ctx context.Context) error {
	_ = e.StopIntake(ctx)
	e.end()
	e.done.Wait()
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
	return Failed(what, err)
}
