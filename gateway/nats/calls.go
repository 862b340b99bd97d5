package nats

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"sluice/gateway/tally"
)

// Msg and Header are the library's.
type (
	Msg    = natsgo.Msg
	Header = natsgo.Header
)

// Request is what is asked of a subject. Data and Header are not written to, and may go on being
// read for a while after the call that they were made with.
type Request struct {
	Subject string
	Header  natsgo.Header
	Data    []byte
}

// Answer is what came of a request: a message, or an *Error.
type Answer struct {
	Msg *natsgo.Msg
	Err error
}

// Calls is the connection for what is asked. Any goroutine.
type Calls struct {
	// Immutable after newCalls.
	opt   *Options
	conn  *conn
	inbox string // subjects of answers begin with it
	slots chan struct{}

	// Guarded by mu.
	mu      sync.Mutex
	pending map[uint64]*call
	last    uint64

	flushes Rounds

	// Atomic.
	asked   atomic.Uint64
	waiting atomic.Int64
	took    tally.Shared
	errs    tally.Words // by reason
}

// call is a request that is under way.
type call struct {
	subject string
	// each takes an answer and reports whether it is the last one. It is called by one
	// goroutine at a time, holding nothing.
	each func(m *natsgo.Msg) (last bool)
	done chan struct{} // closed once ended
	err  *Error        // before done is closed
}

// callsMost bounds the requests that are under way.
const callsMost = 2048

func newCalls(o *Options) (*Calls, error) {
	c := &Calls{opt: o, slots: make(chan struct{}, callsMost), pending: make(map[uint64]*call)}
	c.inbox = natsgo.NewInbox() + "."
	ready := make(chan struct{})
	conn, err := dial(o, "calls", &callsWatcher{c, ready})
	if err != nil {
		return nil, err
	}
	c.conn = conn
	if err := c.listen(conn.nc()); err != nil {
		close(ready)
		conn.close()
		return nil, err
	}
	close(ready)
	return c, nil
}

// listen takes the answers that come on a connection.
func (c *Calls) listen(nc *natsgo.Conn) error {
	sub, err := nc.Subscribe(c.inbox+"*", c.answered)
	if err != nil {
		return err
	}
	// Answers are bounded by the requests: one, or as much as a request asks for.
	return sub.SetPendingLimits(-1, -1)
}

// callsWatcher tells Calls of its connection once it has one.
type callsWatcher struct {
	c     *Calls
	ready chan struct{}
}

func (w *callsWatcher) up() {
	<-w.ready
	w.c.opt.Log.Info("nats: connected", "use", "calls", "server", w.c.conn.nc().ConnectedUrlRedacted())
}

func (w *callsWatcher) down(err error) {
	<-w.ready
	if !w.c.conn.isClosing() {
		w.c.opt.Log.Warn("nats: the connection for calls is lost", "error", err, "remedy", remedies[ReasonDial])
	}
	w.c.fail(func(*call) bool { return true }, &Error{Kind: ErrUnknown, Reason: ReasonBroken, Err: err})
}

// renew implements watcher. It can fail only if the connection is over again, which has its own end.
func (w *callsWatcher) renew(nc *natsgo.Conn) { _ = w.c.listen(nc) }

func (w *callsWatcher) complained(_ *natsgo.Subscription, err error) {
	<-w.ready
	w.c.complained(err)
}

// complained ends the calls whose subject the server refused: it answers them by that alone.
func (c *Calls) complained(err error) {
	if errors.Is(err, natsgo.ErrPermissionViolation) {
		text := err.Error()
		c.fail(func(one *call) bool {
			return strings.Contains(strings.ToLower(text), strings.ToLower(strconv.Quote(one.subject)))
		},
			&Error{Kind: ErrRefused, Reason: ReasonNoPerm, Err: err})
	}
	c.opt.Log.Warn("nats: the server complains", "use", "calls", "error", err, "remedy", remedies[ofComplaint(err)])
}

// fail ends the calls that are meant.
func (c *Calls) fail(meant func(*call) bool, err *Error) {
	c.mu.Lock()
	var ended []*call
	for token, one := range c.pending {
		if meant(one) {
			delete(c.pending, token)
			ended = append(ended, one)
		}
	}
	c.mu.Unlock()
	for _, one := range ended {
		one.err = err
		close(one.done)
		<-c.slots
	}
}

// answered takes what came for a request.
func (c *Calls) answered(m *natsgo.Msg) {
	token, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, c.inbox), 36, 64)
	if err != nil {
		return
	}
	c.mu.Lock()
	one := c.pending[token]
	c.mu.Unlock()
	if one == nil {
		return // its caller gave up
	}
	var failed *Error
	if status(m) == statusNoResponders {
		failed = unavailable(ReasonResponders, errors.New("nobody answers to "+one.subject))
	} else if !one.each(m) {
		return
	}
	c.mu.Lock()
	mine := c.pending[token] == one
	delete(c.pending, token)
	c.mu.Unlock()
	if mine {
		one.err = failed
		close(one.done)
		<-c.slots
	}
}

// Statuses of answers (NATS ADR-4, ADR-31).
const (
	statusNoResponders = "503"
	statusEndOfBatch   = "204"
	statusNotFound     = "404"
)

// status returns the status of an answer, "" for none.
func status(m *natsgo.Msg) string {
	if len(m.Header) == 0 {
		return ""
	}
	if s := m.Header["Status"]; len(s) > 0 {
		return s[0]
	}
	return ""
}

// start sends requests as one: each but the last is sent without asking for an answer, if
// there are several.
func (c *Calls) start(ctx context.Context, reqs []Request, each func(m *natsgo.Msg) bool) (*call, uint64, *Error) {
	if ctx.Err() != nil {
		return nil, 0, unavailable(ReasonTimeout, context.Cause(ctx))
	}
	if err := c.conn.state(); err != nil {
		return nil, 0, err
	}
	c.waiting.Add(1)
	select {
	case c.slots <- struct{}{}:
		c.waiting.Add(-1)
	case <-ctx.Done():
		c.waiting.Add(-1)
		return nil, 0, unavailable(ReasonBusy, context.Cause(ctx))
	}
	last := len(reqs) - 1
	one := &call{subject: reqs[last].Subject, each: each, done: make(chan struct{})}
	c.mu.Lock()
	c.last++
	token := c.last
	c.pending[token] = one
	c.mu.Unlock()
	c.asked.Add(1)
	for i := range reqs {
		m := &natsgo.Msg{Subject: reqs[i].Subject, Header: reqs[i].Header, Data: reqs[i].Data}
		if i == last {
			m.Reply = c.inbox + strconv.FormatUint(token, 36)
		}
		if err := c.conn.publish(m); err != nil {
			c.forget(token)
			return nil, 0, ofSend(err) // what was sent before is a part, which nothing is done of
		}
	}
	return one, token, nil
}

// await waits for the end of a call.
func (c *Calls) await(ctx context.Context, one *call, token uint64) *Error {
	select {
	case <-one.done:
		return one.err
	case <-ctx.Done():
	}
	c.mu.Lock()
	_, open := c.pending[token]
	delete(c.pending, token)
	c.mu.Unlock()
	if !open { // it ended meanwhile
		<-one.done
		return one.err
	}
	<-c.slots
	return ofContext(ctx)
}

// forget ends a call that was not sent.
func (c *Calls) forget(token uint64) {
	c.mu.Lock()
	_, open := c.pending[token]
	delete(c.pending, token)
	c.mu.Unlock()
	if open { // who ends a call gives its slot back
		<-c.slots
	}
}

// Do asks and waits for the answer until ctx ends. Errors are *Error.
func (c *Calls) Do(ctx context.Context, reqs ...Request) (*natsgo.Msg, error) {
	began := time.Now()
	var answer *natsgo.Msg
	one, token, err := c.start(ctx, reqs, func(m *natsgo.Msg) bool { answer = m; return true })
	if err == nil {
		err = c.await(ctx, one, token)
	}
	c.took.Add(time.Since(began))
	if err != nil {
		return nil, c.counted(err)
	}
	return answer, nil
}

// askedAtOnce bounds the requests of one DoMulti that are under way.
const askedAtOnce = 256

// DoMulti asks several and waits for all answers, at the cost of few round trips.
func (c *Calls) DoMulti(ctx context.Context, reqs []Request) []Answer {
	began := time.Now()
	answers := make([]Answer, len(reqs))
	for first := 0; first < len(reqs); first += askedAtOnce {
		c.some(ctx, reqs[first:min(first+askedAtOnce, len(reqs))], answers[first:])
	}
	c.took.Add(time.Since(began))
	return answers
}

func (c *Calls) some(ctx context.Context, reqs []Request, answers []Answer) {
	type flying struct {
		one   *call
		token uint64
	}
	out := make([]flying, len(reqs))
	got := make([]*natsgo.Msg, len(reqs)) // read only of those that ended without an error
	for i := range reqs {
		one, token, err := c.start(ctx, reqs[i:i+1], func(m *natsgo.Msg) bool { got[i] = m; return true })
		if err != nil {
			answers[i].Err = c.counted(err)
			continue
		}
		out[i] = flying{one, token}
	}
	for i, f := range out {
		if f.one == nil {
			continue
		}
		if err := c.await(ctx, f.one, f.token); err != nil {
			answers[i] = Answer{Err: c.counted(err)}
			continue
		}
		answers[i] = Answer{Msg: got[i]}
	}
}

// Gather asks and hands over answers until each returns true, or ctx ends. each is
// called by one goroutine at a time, and not any more once Gather returned without an error.
func (c *Calls) Gather(ctx context.Context, req Request, each func(m *natsgo.Msg) (last bool)) error {
	began := time.Now()
	one, token, err := c.start(ctx, []Request{req}, each)
	if err == nil {
		err = c.await(ctx, one, token)
	}
	c.took.Add(time.Since(began))
	if err != nil {
		return c.counted(err)
	}
	return nil
}

// Send sends without an answer, and returns when the server has it: on the way from there to others it can be
// lost.
func (c *Calls) Send(ctx context.Context, req Request) error {
	if ctx.Err() != nil {
		return c.counted(unavailable(ReasonTimeout, context.Cause(ctx)))
	}
	if err := c.conn.state(); err != nil {
		return c.counted(err)
	}
	c.asked.Add(1)
	if err := c.conn.publish(&natsgo.Msg{Subject: req.Subject, Header: req.Header, Data: req.Data}); err != nil {
		return c.counted(ofSend(err))
	}
	return c.Flush(ctx)
}

// Ready returns why calls cannot be made now, nil if they can as far as known. It does not block.
func (c *Calls) Ready() error {
	if err := c.conn.state(); err != nil {
		return err
	}
	return nil
}

func (c *Calls) close() {
	c.conn.close()
	c.flushes.Wait()
	c.fail(func(*call) bool { return true }, &Error{Kind: ErrUnknown, Reason: ReasonClosed, Err: natsgo.ErrConnectionClosed})
}
