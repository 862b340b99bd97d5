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

// Handler takes what a feed brings. Message is called by one goroutine, in the order in which
// messages came, and may wait: what comes meanwhile is kept as far as Options.Queue goes. The
// others may be called at the same time and do not block.
type Handler interface {
	Message(m *natsgo.Msg)
	// Dropped says that a message of a subscription, by its subject, was dropped for want of room; "": of any of them.
	Dropped(subject string)
	// Refused says that the server does not let us subscribe to that: it is not subscribed to any more. See Feed.Refused.
	Refused(subject string, err error)
	// Lost says that the connection is gone: what is sent from now on does not come. Up says
	// that there is one, on which all subscriptions were made again; it may be called first.
	Lost(err error)
	Up()
}

// Feed is the connection for what is delivered. Any goroutine.
type Feed struct {
	// Immutable after newFeed, but handler, which Start sets.
	opt     *Options
	conn    *conn
	inbox   string // of markers
	came    chan *natsgo.Msg
	queue   *queue
	handler Handler
	started chan struct{} // closed by Start
	done    sync.WaitGroup

	// Guarded by mu.
	mu     sync.Mutex
	subs   map[string]*natsgo.Subscription // by subject
	refuse map[string]*Error               // subjects that the server refused when they were asked for last
	heard  error                           // the last violation of rights that the library told of
	told   chan struct{}                   // closed, and another one, when heard changes
	marks  map[uint64]*mark                // markers that are under way
	last   uint64
	closed bool

	// Atomic.
	messages, bytes, dropped, markers atomic.Uint64
	markerTime                        tally.Shared
}

// mark is a marker that is under way.
type mark struct {
	began time.Time
	done  chan struct{}
	err   *Error
}

// cameMost is how many messages wait for the goroutine that puts them into the queue.
const cameMost = 4096

func newFeed(o *Options) (*Feed, error) {
	f := &Feed{
		opt: o, inbox: natsgo.NewInbox() + ".", came: make(chan *natsgo.Msg, cameMost), queue: newQueue(o.Queue),
		started: make(chan struct{}), subs: make(map[string]*natsgo.Subscription), refuse: make(map[string]*Error), told: make(chan struct{}), marks: make(map[uint64]*mark),
	}
	ready := make(chan struct{})
	conn, err := dial(o, "feed", &feedWatcher{f, ready})
	if err != nil {
		return nil, err
	}
	f.conn = conn
	_, err = conn.nc().ChanSubscribe(f.inbox+"*", f.came)
	close(ready)
	if err != nil {
		conn.close()
		return nil, err
	}
	return f, nil
}

// Start begins to hand over. It is called once.
func (f *Feed) Start(h Handler) {
	f.handler = h
	f.done.Go(f.collect)
	f.done.Go(f.deliver)
	close(f.started)
	if f.conn.nc().IsConnected() {
		h.Up()
	}
}

// feedWatcher tells the feed of its connection once it has one.
type feedWatcher struct {
	f     *Feed
	ready chan struct{}
}

// handed returns who takes what the feed brings, nil before Start.
func (w *feedWatcher) handed() Handler {
	<-w.ready
	select {
	case <-w.f.started:
		return w.f.handler
	default:
		return nil
	}
}

func (w *feedWatcher) up() {
	h := w.handed()
	w.f.opt.Log.Info("nats: connected", "use", "feed", "server", w.f.conn.nc().ConnectedUrlRedacted())
	if h != nil {
		h.Up()
	}
}

func (w *feedWatcher) down(err error) {
	h := w.handed()
	w.f.failMarks(&Error{Kind: ErrUnavailable, Reason: ReasonBroken, Err: err})
	if h != nil {
		h.Lost(err)
	}
}

// renew implements watcher. It can fail only if the connection is over again, which has its own end.
func (w *feedWatcher) renew(nc *natsgo.Conn) {
	f := w.f
	_, _ = nc.ChanSubscribe(f.inbox+"*", f.came)
	f.mu.Lock()
	defer f.mu.Unlock()
	for subject := range f.subs {
		if sub, err := nc.ChanSubscribe(subject, f.came); err == nil {
			f.subs[subject] = sub
		}
	}
}

func (w *feedWatcher) complained(sub *natsgo.Subscription, err error) {
	h := w.handed()
	defer w.f.hear(err)
	switch {
	case errors.Is(err, natsgo.ErrSlowConsumer) && sub != nil:
		w.f.dropped.Add(1) // one or more: the library tells the first of several
		if h != nil {
			h.Dropped("")
		}
	case errors.Is(err, natsgo.ErrPermissionViolation) && refusedSubject(err) != "":
		subject, refused := refusedSubject(err), &Error{Kind: ErrRefused, Reason: ReasonNoPerm, Err: err}
		if w.f.refused(subject, refused) && h != nil {
			h.Refused(subject, refused)
		}
	default:
		w.f.opt.Log.Warn("nats: the server complains", "use", "feed", "error", err, "remedy", remedies[ofComplaint(err)])
	}
}

// refusedSubject returns the subject of a refused subscription, "" if err is of something else: the library says which one it
// is by the text alone.
func refusedSubject(err error) string {
	_, rest, ok := strings.Cut(err.Error(), `ubscription to "`)
	if !ok {
		return ""
	}
	subject, _, _ := strings.Cut(rest, `"`)
	return subject
}

// refused takes a subscription back that the server refused; false if there was none, as behind an Unsubscribe.
func (f *Feed) refused(subject string, err *Error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	sub := f.subs[subject]
	if sub == nil {
		return false
	}
	delete(f.subs, subject)
	f.refuse[subject] = err
	_ = sub.Unsubscribe() // the server has none
	return true
}

// hear notes that all was done about an error.
func (f *Feed) hear(err error) {
	if !errors.Is(err, natsgo.ErrPermissionViolation) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard = err
	close(f.told)
	f.told = make(chan struct{})
}

// Refused returns why the server refused one of the subjects, an *Error of kind ErrRefused, nil if it did not. It is called
// behind a [Feed.Marker], before which the server has said so.
func (f *Feed) Refused(ctx context.Context, subjects ...string) error {
	// The library has the last error at once, and tells of all in their order, a moment later.
	last := f.conn.nc().LastError()
	f.mu.Lock()
	defer f.mu.Unlock()
	for errors.Is(last, natsgo.ErrPermissionViolation) && f.heard != last { // this very one
		told := f.told
		f.mu.Unlock()
		select {
		case <-told:
			f.mu.Lock()
		case <-ctx.Done():
			f.mu.Lock()
			return unavailable(ReasonTimeout, context.Cause(ctx))
		}
		last = f.conn.nc().LastError()
	}
	for _, subject := range subjects {
		if err := f.refuse[subject]; err != nil {
			return err
		}
	}
	return nil
}

// collect puts what came into the queue, which it never waits for.
func (f *Feed) collect() {
	for m := range f.came {
		if !f.queue.push(m) {
			f.dropped.Add(1)
			f.handler.Dropped(m.Sub.Subject)
		}
	}
	f.queue.close()
}

// deliver hands over what is in the queue.
func (f *Feed) deliver() {
	for {
		m, ok := f.queue.pop()
		if !ok {
			return
		}
		if token, ok := strings.CutPrefix(m.Subject, f.inbox); ok {
			f.marked(token, m)
			continue
		}
		f.messages.Add(1)
		f.bytes.Add(uint64(len(m.Data)))
		f.handler.Message(m)
	}
}

// Subscribe begins to hand over messages of subjects, as soon as the server knows of it: see
// Marker. Subjects that are subscribed already stay so; those that were refused are asked for again. While there is no connection it is
// noted. It fails for a subject that is none, and after Close.
func (f *Feed) Subscribe(subjects ...string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, subject := range subjects {
		if f.closed {
			return unavailable(ReasonClosed, natsgo.ErrConnectionClosed)
		}
		if f.subs[subject] != nil {
			continue
		}
		if err := checkSubject(subject); err != nil {
			return ofSend(err)
		}
		sub, err := f.conn.nc().ChanSubscribe(subject, f.came)
		if err != nil {
			return ofSend(f.conn.gap(err))
		}
		f.subs[subject] = sub
		delete(f.refuse, subject)
	}
	return nil
}

// Unsubscribe ends that. Messages that came before may still be handed over.
func (f *Feed) Unsubscribe(subjects ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, subject := range subjects {
		delete(f.refuse, subject)
		if sub := f.subs[subject]; sub != nil {
			delete(f.subs, subject)
			_ = sub.Unsubscribe() // without a connection there is nothing to tell
		}
	}
}

// Marker sends a request whose answer comes over the feed, and waits until what came before the answer
// has been handed over. The request goes out behind the subscriptions that were made before. One
// without a subject goes to the server and back, no further. It is sent again every markerAgain, for whoever had the one
// before may be gone; any answer counts. Errors are of kind ErrUnavailable.
func (f *Feed) Marker(ctx context.Context, req Request) error {
	if ctx.Err() != nil {
		return unavailable(ReasonTimeout, context.Cause(ctx))
	}
	if err := f.conn.state(); err != nil {
		return err
	}
	m := &mark{began: time.Now(), done: make(chan struct{})}
	f.mu.Lock()
	f.last++
	token := f.last
	f.marks[token] = m
	f.mu.Unlock()
	msg := &natsgo.Msg{Subject: req.Subject, Reply: f.inbox + strconv.FormatUint(token, 36), Header: req.Header, Data: req.Data}
	if msg.Subject == "" {
		msg.Subject, msg.Reply = msg.Reply, ""
	}
	again := time.NewTicker(markerAgain)
	defer again.Stop()
	for {
		if err := f.conn.publish(msg); err != nil {
			f.forget(token)
			return unavailable(ofSend(err).Reason, err)
		}
		select {
		case <-m.done:
			if m.err != nil {
				return m.err
			}
			return nil
		case <-ctx.Done():
			f.forget(token)
			return unavailable(ReasonTimeout, context.Cause(ctx))
		case <-again.C:
		}
	}
}

// markerAgain is after how long a marker is sent again.
const markerAgain = time.Second

func (f *Feed) forget(token uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.marks, token)
}

// marked ends a marker whose answer came.
func (f *Feed) marked(text string, answer *natsgo.Msg) {
	token, err := strconv.ParseUint(text, 36, 64)
	if err != nil {
		return
	}
	f.mu.Lock()
	m := f.marks[token]
	delete(f.marks, token)
	f.mu.Unlock()
	switch {
	case m == nil:
		return
	case status(answer) == statusNoResponders:
		m.err = unavailable(ReasonResponders, errors.New("nobody answers to a marker"))
	default:
		f.markers.Add(1)
		f.markerTime.Add(time.Since(m.began))
	}
	close(m.done)
}

func (f *Feed) failMarks(err *Error) {
	f.mu.Lock()
	marks := f.marks
	f.marks = make(map[uint64]*mark)
	f.mu.Unlock()
	for _, m := range marks {
		m.err = err
		close(m.done)
	}
}

// Ready returns why nothing is delivered now, nil if it is as far as known. It does not block.
func (f *Feed) Ready() error {
	if err := f.conn.state(); err != nil {
		return err
	}
	return nil
}

func (f *Feed) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.conn.close()
	close(f.came)
	select {
	case <-f.started:
		f.done.Wait()
	default:
	}
	f.failMarks(unavailable(ReasonClosed, natsgo.ErrConnectionClosed))
}
