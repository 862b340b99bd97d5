// Package memory is the engine within the process: histories in maps, order by
// a lock for each stripe of channels. It is lost with the process; its epochs
// are new after a restart, which clients are told (PROTOCOL 12.38).
//
// Giving a publication its offset, keeping it and posting it to its lane are
// one critical section under the channel's stripe, so publications reach the
// lane in the order of their offsets.
//
// Time: all that ends here (publications, positions, results of idempotency
// keys) ends by the engine's clock, which is monotonic: a step of the wall
// clock neither drops a history nor keeps a result for ever. It may stand still
// while the machine is suspended. Publication.Time is the publisher's business
// and wall time.
//
// Memory: histories are bounded by the options of their namespaces and by who
// may publish. What strangers can leave behind is bounded here: positions of
// channels in which nothing was ever published (Options.EmptyMax), and the
// results of idempotency keys (Options.ResultsMax). Tables that grew give their
// memory back, see package shrink.
package memory

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"sluice/codec"
	"sluice/gateway/broker"
)

const (
	stripeCount    = 64
	idempotencyTTL = 5 * time.Minute
	sweepEvery     = time.Second
	defaultMetaTTL = 720 * time.Hour
)

// Options of an [Engine]. Zero fields mean the defaults named.
type Options struct {
	// Wanted reports whether a channel has a subscriber on this node; nil:
	// none ever has. A position that is wanted is not forgotten, whatever its
	// lifetime: a stream stands on it. It is called under the lock of the
	// channel's stripe, so it must neither block nor call the engine.
	Wanted func(channel string) bool
	// EmptyTTL is how long a position outlives its last use while nothing was
	// ever published in the channel, unless the lifetime of positions there is
	// shorter; 60 s. Why not as others: a client makes one by naming a channel,
	// and there is nothing that it could have missed.
	EmptyTTL time.Duration
	// EmptyMax is how many such positions are kept; 100,000. The one that
	// nobody used for longest goes first. Those that are wanted stay, even
	// above it: a stream holds each, and streams are bounded.
	EmptyMax int
	// ResultsMax is how many results of idempotency keys are kept; 1,000,000.
	// The oldest goes first, and its key counts as new again. A result takes
	// about 100 bytes, whatever the length of channel and key.
	ResultsMax int
	// Clock tells the time that everything here ends by. It never goes back;
	// time.Since of when the engine was made, which is monotonic.
	Clock func() time.Duration
}

func (o *Options) defaults() {
	if o.Wanted == nil {
		o.Wanted = func(string) bool { return false }
	}
	if o.EmptyTTL <= 0 {
		o.EmptyTTL = time.Minute
	}
	if o.EmptyMax <= 0 {
		o.EmptyMax = 100_000
	}
	if o.ResultsMax <= 0 {
		o.ResultsMax = 1_000_000
	}
	if o.Clock == nil {
		start := time.Now() // with a monotonic reading: never take UnixNano of it
		o.Clock = func() time.Duration { return time.Since(start) }
	}
}

// Engine implements broker.Broker. Make it with [New].
type Engine struct {
	// Immutable after Start.
	opt  Options
	seed maphash.Seed
	sink broker.Sink

	stripes [stripeCount]stripe

	stop chan struct{} // closed by Close
	done sync.WaitGroup

	// Atomic; of all stripes together.
	positions      atomic.Int64
	empties        atomic.Int64 // of positions, those of channels never published in
	emptyDropped   atomic.Uint64
	results        atomic.Int64
	resultsDropped atomic.Uint64
	repeated       atomic.Uint64 // publications suppressed by their idempotency key
	outdated       atomic.Uint64 // publications suppressed by their version
}

var (
	_ broker.Broker = (*Engine)(nil)
)

// New returns an engine without any channel.
func New(opt Options) *Engine {
	opt.defaults()
	e := &Engine{opt: opt, seed: maphash.MakeSeed(), stop: make(chan struct{})}
	for i := range e.stripes {
		e.stripes[i].init(e)
	}
	return e
}

// Abilities implements broker.Broker.
func (e *Engine) Abilities() broker.Abilities {
	return broker.Abilities{History: true, Everything: true, Synchronous: true, Local: true, Bounded: true}
}

// Start implements broker.Broker.
func (e *Engine) Start(sink broker.Sink) error {
	e.sink = sink
	e.done.Add(1)
	go e.janitor()
	return nil
}

// Close implements broker.Broker.
func (e *Engine) Close(context.Context) error {
	close(e.stop)
	e.done.Wait()
	return nil
}

// Subscribe implements broker.Broker: everything published here arrives.
func (e *Engine) Subscribe(context.Context, []string) error { return nil }

// Unsubscribe implements broker.Broker.
func (e *Engine) Unsubscribe(context.Context, []string) error { return nil }

func (e *Engine) stripe(channel string) *stripe {
	return &e.stripes[maphash.String(e.seed, channel)%stripeCount]
}

// Publish implements broker.Broker. Handing p to the sink is its last step: a
// panic before it or in it leaves the credit with the caller, and no result
// that would tell a repeat that p was delivered.
func (e *Engine) Publish(_ context.Context, channel string, p *codec.Publication, opt broker.PublishOptions) (broker.Result, error) {
	var now time.Duration
	if opt.History.Enabled() || opt.IdempotencyKey != "" {
		now = e.opt.Clock()
	}
	var id resultID
	if opt.IdempotencyKey != "" {
		id = newResultID(channel, opt.IdempotencyKey)
	}
	s := e.stripe(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	if opt.IdempotencyKey != "" {
		if pos, ok := s.remembered(id, now); ok {
			e.repeated.Add(1)
			return broker.Result{Position: pos, Suppressed: true}, nil
		}
	}
	var pos broker.Position
	var prev *codec.Publication
	if opt.History.Enabled() {
		en := s.find(channel, now, opt.History.MetaTTL)
		if en.stream.Stale(p.Version, opt.VersionEpoch) {
			s.place(en, now)
			e.outdated.Add(1)
			return broker.Result{Position: en.stream.Position(), Suppressed: true}, nil
		}
		prev = en.stream.Append(p, opt.VersionEpoch, opt.History.Size)
		en.listDue = now + opt.History.TTL
		s.place(en, now)
		pos = en.stream.Position()
	}
	if !p.Delta {
		prev = nil
	}
	if opt.IdempotencyKey == "" {
		e.sink.Publication(channel, p, prev, opt.Credit)
		return broker.Result{Position: pos, CreditTaken: true}, nil
	}
	s.remember(id, pos, now)
	delivered := false
	defer func() {
		if !delivered {
			s.forget(id)
		}
	}()
	e.sink.Publication(channel, p, prev, opt.Credit)
	delivered = true
	return broker.Result{Position: pos, CreditTaken: true}, nil
}

// Join implements broker.Broker.
func (e *Engine) Join(_ context.Context, channel string, info *codec.ClientInfo, credit *broker.Credit) error {
	s := e.stripe(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	e.sink.Join(channel, info, credit)
	return nil
}

// Leave implements broker.Broker.
func (e *Engine) Leave(_ context.Context, channel string, info *codec.ClientInfo, credit *broker.Credit) error {
	s := e.stripe(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	e.sink.Leave(channel, info, credit)
	return nil
}

// Histories implements broker.Broker. A read keeps the position alive.
func (e *Engine) Histories(_ context.Context, queries []broker.HistoryQuery) []broker.History {
	answers := make([]broker.History, len(queries))
	for i := range queries {
		answers[i] = e.history(&queries[i])
	}
	return answers
}

func (e *Engine) history(q *broker.HistoryQuery) broker.History {
	now := e.opt.Clock()
	s := e.stripe(q.Channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	en := s.find(q.Channel, now, q.MetaTTL)
	s.place(en, now)
	return broker.History{Publications: en.stream.Query(*q), Top: en.stream.Position()}
}

// RemoveHistory implements broker.Broker.
func (e *Engine) RemoveHistory(_ context.Context, channel string) error {
	s := e.stripe(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	if en := s.channels.Value(channel); en != nil {
		en.stream.Clear()
		en.listDue = 0
	}
	return nil
}

// Barrier implements broker.Broker: what was published has entered the sink.
func (e *Engine) Barrier(context.Context) error { return nil }

// Ready implements broker.Broker.
func (e *Engine) Ready() error { return nil }

// StopIntake implements broker.Broker. What is published later still enters the sink:
// there is nobody else whom it could come from, and the caller has stopped.
func (e *Engine) StopIntake(context.Context) error { return nil }

// Stats are the counters of an engine.
type Stats struct {
	Repeated       uint64 // publications dropped because their idempotency key was used before
	Outdated       uint64 // publications dropped because their version is not a newer one
	Positions      int    // channels with a position
	Empty          int    // of these, those in which nothing was ever published
	EmptyDropped   uint64 // of these, forgotten before their time to make room
	Results        int    // of idempotency keys, kept
	ResultsDropped uint64 // of idempotency keys, forgotten before their time to make room
}

// Stats returns the counters. Any goroutine.
func (e *Engine) Stats() Stats {
	return Stats{
		Repeated: e.repeated.Load(), Outdated: e.outdated.Load(),
		Positions: int(e.positions.Load()), Empty: int(e.empties.Load()), EmptyDropped: e.emptyDropped.Load(),
		Results: int(e.results.Load()), ResultsDropped: e.resultsDropped.Load(),
	}
}

// janitor removes what has expired and nobody asked for since.
func (e *Engine) janitor() {
	defer e.done.Done()
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-e.stop:
			return
		case <-t.C:
			e.sweep()
		}
	}
}

// sweep looks through all stripes, each under its lock for a while at most.
func (e *Engine) sweep() {
	for i := range e.stripes {
		s := &e.stripes[i]
		for more := true; more; {
			s.mu.Lock()
			now := e.opt.Clock()
			if more = s.sweepSome(now); !more {
				s.makeRoom(nil, now)
			}
			s.mu.Unlock()
		}
	}
}
