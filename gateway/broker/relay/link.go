package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"sluice/codec"
	"sluice/gateway/broker"
)

const (
	// idleFactor times S is how long a stream may be silent.
	idleFactor = 3
	// slowFactor times that is how long one event may take.
	slowFactor = 10
	// followAfter is how long a stream must have lasted to be followed at once.
	followAfter = time.Second
	// steadyAfter is how long it must have lasted for failures before it to be forgotten.
	steadyAfter = 10 * time.Second
	// followSpread is over how much time streams are spread that end together.
	followSpread = 100 * time.Millisecond
)

var (
	errNoHead   = errors.New("relay: no answer in time")
	errStalled  = errors.New("relay: nothing came for too long")
	errUnwanted = errors.New("relay: nobody wants the channel any more")
)

// link is one channel that is relayed: a goroutine that holds one stream of the origin
// after the other, and what they brought.
type link struct {
	// Immutable after newLink.
	e       *Engine
	channel string
	loop    string // what CDN-Loop says of the requests
	keep    broker.HistoryOptions
	ctx     context.Context
	cancel  context.CancelCauseFunc
	done    chan struct{} // closed when the goroutine has ended

	// Owned by the goroutine.
	lastID   string // of the last checkpoint up to which everything had come
	pause    time.Duration
	failures int           // one after the other
	fresh    time.Duration // S, as the last head said that did

	// opened is closed when the first stream has brought what had been published before,
	// or there will be none: then err says why, and is not written again.
	opened chan struct{}
	err    error

	// Guarded by mu, under which the Sink is called: a read sees what has entered it.
	mu     sync.Mutex
	kept   kept
	placed chan struct{} // closed when kept.known; another one after it was lost
}

func newLink(e *Engine, channel, via string) *link {
	l := &link{
		e: e, channel: channel, loop: loopOf(via, e.opt.Node), keep: e.opt.Keep(channel),
		done: make(chan struct{}), opened: make(chan struct{}), placed: make(chan struct{}),
	}
	l.ctx, l.cancel = context.WithCancelCause(e.ctx)
	return l
}

// loopOf returns what a node that asks for the sake of others adds to CDN-Loop
// (RFC 8586).
func loopOf(via, node string) string {
	own := fmt.Sprintf("sluice; node=%q", node)
	if via == "" {
		return own
	}
	return via + ", " + own
}

// await returns when the first stream has brought what had been published before.
func (l *link) await(ctx context.Context) error {
	select {
	case <-l.opened:
		return l.err
	case <-ctx.Done():
		return fmt.Errorf("%w: relay: the origin brought no stream in time: %w", broker.ErrUnavailable, context.Cause(ctx))
	}
}

// open says that there is a stream, or with an error that there will be none.
func (l *link) open(err error) {
	select {
	case <-l.opened:
	default:
		l.err = err
		close(l.opened)
	}
}

func (l *link) isOpen() bool {
	select {
	case <-l.opened:
		return true
	default:
		return false
	}
}

// history answers a query. While the origin has begun anew and has not said where, it
// waits for that; before the first stream there is nothing.
func (l *link) history(ctx context.Context, q *broker.HistoryQuery) broker.History {
	if !l.isOpen() {
		return broker.History{}
	}
	for {
		l.mu.Lock()
		if l.kept.known {
			l.kept.expire(&l.e.memory, time.Now())
			h := broker.History{Publications: l.kept.Query(*q), Top: l.kept.Position()}
			l.mu.Unlock()
			return h
		}
		placed := l.placed
		l.mu.Unlock()
		select {
		case <-placed:
		case <-ctx.Done():
			return broker.History{Err: fmt.Errorf("%w: relay: the origin has not said where the channel is: %w", broker.ErrUnavailable, context.Cause(ctx))}
		}
	}
}

// run holds streams until nobody wants them.
func (l *link) run() {
	defer close(l.done)
	defer l.close()
	for l.ctx.Err() == nil {
		began := time.Now()
		f := l.stream()
		if l.ctx.Err() != nil {
			return
		}
		lasted := time.Since(began)
		l.e.counters.ends[f.reason].Add(1)
		wait := l.next(f, lasted)
		l.tell(f, lasted, wait)
		if f.final() && !l.isOpen() {
			l.refuse(f)
			return
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-l.ctx.Done():
			timer.Stop()
		}
	}
}

// troubleAfter is with how many failures one after the other a channel is in trouble.
const troubleAfter = 4

// tell logs that a stream ended: what an outage explains when it lasts, and what does not
// pass by itself at once.
func (l *link) tell(f *failure, lasted, wait time.Duration) {
	level, remedy := slog.LevelDebug, ""
	switch f.reason {
	case endPlanned, endEarly, endAbsent:
	case endGarbage, endOffsets, endEpoch:
		level, remedy = slog.LevelWarn, "see what is between: it changes streams, or mixes those of several nodes that have not the same engine"
	case endHead, endLoop, endRedirect:
		level, remedy = slog.LevelWarn, "see relay.origin"
	default:
		remedy = "see that the origin is up and within reach, and that nothing between holds bytes back"
	}
	if l.failures++; lasted >= steadyAfter || f.reason == endPlanned && lasted >= followAfter {
		l.failures = 0
	}
	if l.failures == troubleAfter {
		level = slog.LevelWarn
		remedy = cmp.Or(remedy, "see the log of the origin, and what is between")
	}
	l.e.opt.Log.Log(l.ctx, level, "relay: a stream of the origin ended", "channel", fmt.Sprintf("%.100s", l.channel), "reason", f.reason.String(), "error", f.err,
		"lasted", lasted, "again_in", wait, "failures", l.failures, "remedy", remedy)
}

// close gives back what the link has.
func (l *link) close() {
	l.cancel(errUnwanted)
	l.open(fmt.Errorf("%w: %w", broker.ErrUnavailable, context.Cause(l.ctx)))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept.clear(&l.e.memory)
}

// refuse says that the origin does not let the channel be relayed.
func (l *link) refuse(f *failure) {
	kind := broker.ErrUnavailable
	switch f.reason {
	case endAbsent:
		kind = broker.ErrNoChannel
		l.e.noChannel(l.channel, f.after)
	case endLoop:
		kind = broker.ErrLoop
	}
	l.open(fmt.Errorf("%w: %w", kind, f.err))
}

// next returns how long to wait for the next stream. One that ended in order, and was
// not over at once, is followed at once; else the pause grows with each failure, and
// is never shorter than the origin asks for.
func (l *link) next(f *failure, lasted time.Duration) time.Duration {
	opt := &l.e.opt
	if lasted >= steadyAfter || f.reason == endPlanned && lasted >= followAfter {
		l.pause = 0
	}
	if (f.reason == endPlanned || f.reason == endEarly) && lasted >= followAfter {
		return rand.N(followSpread)
	}
	l.pause = min(max(2*l.pause, opt.RetryMin), opt.RetryMax)
	wait := max(l.pause, f.after)
	return wait/2 + rand.N(wait/2+1) + f.after/2
}

// stream asks for a stream and takes what it brings until it ends.
func (l *link) stream() *failure {
	ctx, cancel := context.WithCancelCause(l.ctx)
	defer cancel(nil)
	select {
	case l.e.opening <- struct{}{}:
	case <-ctx.Done():
		return fail(endCut, "relay: %w", context.Cause(ctx))
	}
	late := time.AfterFunc(l.e.opt.Wait, func() { cancel(errNoHead) })
	resp, h, f := l.ask(ctx)
	late.Stop()
	<-l.e.opening
	if f != nil {
		return f
	}
	defer func() { _ = resp.Body.Close() }()
	l.e.counters.up.Add(1)
	defer l.e.counters.up.Add(-1)
	l.fresh = cmp.Or(h.fresh, l.fresh)
	idle := l.e.opt.Idle
	if idle <= 0 {
		idle = idleFactor * cmp.Or(l.fresh, freshUsual)
	}
	body := newWatched(resp.Body, idle, cancel, &l.e.counters.bytes)
	defer body.close()
	s := &stream{link: l, ctx: ctx, epoch: h.epoch, events: newEvents(body, l.e.opt.MessageMax), wait: body.event}
	s.begin(&h)
	return s.read()
}

// watched is a body that is given up when it is silent for too long, or when one event
// takes too long. It has a timer of its own: there is one stream for each channel.
type watched struct {
	// Immutable after newWatched.
	body  io.Reader
	idle  time.Duration
	timer *time.Timer
	count interface{ Add(uint64) uint64 }

	due time.Time // of the event that is read
}

func newWatched(body io.Reader, idle time.Duration, cancel context.CancelCauseFunc, count interface{ Add(uint64) uint64 }) *watched {
	w := &watched{body: body, idle: idle, count: count, timer: time.AfterFunc(time.Hour, func() { cancel(errStalled) })}
	w.timer.Stop()
	return w
}

// event says that the next event is waited for.
func (w *watched) event() { w.due = time.Now().Add(slowFactor * w.idle) }

func (w *watched) Read(p []byte) (int, error) {
	w.timer.Reset(min(w.idle, max(time.Until(w.due), 0)))
	n, err := w.body.Read(p)
	w.timer.Stop()
	w.count.Add(uint64(n))
	return n, err
}

func (w *watched) close() { w.timer.Stop() }

// stream is one stream of the origin.
type stream struct {
	// Immutable after it was made.
	*link
	ctx    context.Context
	epoch  string
	events *events
	wait   func()

	// Owned by the goroutine of the link.
	last  uint64 // the offset before the one that has to come; unknown if !dense
	dense bool
	whole uint64 // up to here it was published before
	told  bool   // whole is known
	// private: the stream was made for this request. A shared one may be older, and tell
	// of places that were passed long ago.
	private bool
	asks    time.Duration
	ended   bool // the last block was a checkpoint with a retry line behind it
	ids     bool // the last block was a checkpoint
}

// read takes blocks until the stream ends.
func (s *stream) read() *failure {
	s.wait()
	for {
		b, err := s.events.next()
		if err == nil && b.says() { // what says nothing may not go on for ever
			s.wait()
		}
		var f *failure
		switch {
		case err != nil:
			f = s.over(err)
		default:
			f = s.block(&b)
		}
		if f != nil {
			return f
		}
	}
}

// over says why there are no more blocks.
func (s *stream) over(err error) *failure {
	switch cause := context.Cause(s.ctx); {
	case errors.Is(cause, errStalled):
		return &failure{reason: endStalled, err: errStalled, after: s.asks}
	case !errors.Is(err, io.EOF):
		return &failure{reason: endCut, err: fmt.Errorf("relay: the stream broke off: %w", err), after: s.asks}
	case s.ended:
		return &failure{reason: endPlanned, after: s.asks}
	}
	return &failure{reason: endEarly, after: s.asks}
}

// block takes one block.
func (s *stream) block(b *block) *failure {
	if b.retry >= 0 {
		s.asks, s.ended = b.retry, s.ids || b.id != ""
	} else {
		s.ended = false
	}
	s.ids = b.id != "" && len(b.data) == 0
	switch {
	case b.long:
		s.e.counters.tooLong.Add(1)
		s.dense = false // what is missing now is a gap, not a lie
		return nil
	case b.other:
		s.e.counters.skipped.Add(1)
		return nil
	}
	if len(b.data) > 0 {
		if f := s.push(b.data); f != nil {
			return f
		}
	}
	if b.id != "" {
		return s.checkpoint(b.id)
	}
	return nil
}

// push takes one event.
func (s *stream) push(data []byte) *failure {
	got, err := codec.DecodePush(data, s.e.opt.JSON)
	switch {
	case err != nil:
		return fail(endGarbage, "relay: an event is no push: %w", err)
	case got.Pub == nil && got.Gap == nil:
		s.e.counters.skipped.Add(1)
		return nil
	case got.Channel != s.channel:
		return fail(endGarbage, "relay: an event is of another channel than the one asked for")
	case got.Gap != nil:
		s.gap(got.Gap)
		return nil
	}
	return s.publication(got.Pub)
}
