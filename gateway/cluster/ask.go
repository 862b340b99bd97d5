package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/codec"
	"sluice/gateway/broker"
)

// question is something that was sent and is waited for.
type question struct {
	arrived chan *message // answers, and the echo of the question itself
}

// question notes that so many nodes are asked something under an id. Call done when
// nobody waits any more.
func (c *Cluster) question(id uint64, nodes int) (q *question, done func()) {
	q = &question{arrived: make(chan *message, 2*nodes+room)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending[id] = q
	return q, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.pending, id)
	}
}

// offer passes a message on to who waits for it, and reports whether somebody does. It
// does not block: who asked has room for one message of each node, which sends no more
// before it is asked to.
func (c *Cluster) offer(id uint64, m *message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.pending[id]
	if q == nil {
		return false
	}
	select {
	case q.arrived <- m:
		return true
	default:
		return false
	}
}

// ErrCutOff is wrapped by errors of calls whose message this node did not hear itself:
// what other nodes did of it is not known.
var ErrCutOff = fmt.Errorf("cluster: this node does not hear the control channel, not even itself: %w", broker.ErrUnknown)

// maxAnswers bounds what answers hold at a time, of all callers together, in bytes.
const maxAnswers = 64 << 20

// ask carries something out on this node by local, and asks all others for the same. take
// is given each answer that is no error, by one goroutine, and reports what the answer
// made it hold, in bytes. The nodes that did not answer are named; the error is that of
// this node, of one that answered with it, or says that nobody else could be asked.
func (c *Cluster) ask(ctx context.Context, kind string, data any, local func(context.Context) error, take func(from string, a *answer) (int, error)) (silent []string, err error) {
	if !c.started.Load() {
		return nil, local(ctx)
	}
	here := make(chan error, 1)
	go func() { here <- local(ctx) }()
	silent, err = c.askOthers(ctx, &message{kind: kind, ask: true, data: data, id: c.lastID.Add(1)}, take, nil)
	if mine := <-here; mine != nil {
		err = mine
	}
	if errors.Is(err, broker.ErrUnavailable) && !isSurvey(kind) {
		// Nothing was done, but for what other nodes did, or this one.
		err = fmt.Errorf("cluster: %s of some nodes only: %w: %w", kind, broker.ErrUnknown, err)
	}
	return silent, err
}

func isSurvey(kind string) bool {
	return kind == kindChannels || kind == kindInfo || kind == kindInspect
}

// asking is one question under way. It belongs to the goroutine that asks.
type asking struct {
	c *Cluster
	m *message
	q *question
	// known are the nodes that are to answer; wait those that are still waited for; all
	// says that there may be more.
	known, wait map[string]bool
	all         bool
	heard       bool // the question itself came back
	held        int
	take        func(from string, a *answer) (int, error)
	// without takes those that answered a survey with an error; nil: they count as silent.
	without map[string]bool
	err     error // of the first node that answered with one
}

func (c *Cluster) askOthers(ctx context.Context, m *message, take func(from string, a *answer) (int, error), without map[string]bool) (silent []string, err error) {
	began := time.Now()
	defer func() { c.count.took.Add(time.Since(began)) }()
	a := &asking{c: c, m: m, take: take, without: without}
	a.known, a.wait, a.all = c.nodes.asked()
	var done func()
	a.q, done = c.question(m.id, len(a.known))
	defer done()
	defer func() { c.held.Add(-int64(a.held)) }()
	within, cancel := context.WithTimeout(ctx, c.opt.SurveyTimeout)
	defer cancel()
	if err := c.send(within, SubjectAll, m); err != nil {
		return nil, fmt.Errorf("no other node was asked: %w", err)
	}
	if err := c.tellReference(within, m.data); err != nil {
		a.err = err
	}
	for len(a.wait) > 0 || !a.heard || a.all {
		select {
		case got := <-a.q.arrived:
			a.arrived(within, got)
			continue
		case <-within.Done():
		}
		break
	}
	return a.end(ctx)
}

// room is for answers of nodes that were not known.
const room = 64

// arrived takes an answer, or the echo.
func (a *asking) arrived(ctx context.Context, got *message) {
	answer, ok := got.data.(*answer)
	if !ok {
		a.heard = true
		return
	}
	if answer.Error != "" || answer.Code != 0 {
		a.failed(got.from, answer)
		return
	} else if err := a.took(got.from, answer); err != nil && a.err == nil {
		a.err = err
	}
	if answer.More {
		more := &message{kind: kindNext, data: &next{To: a.m.id, Part: answer.Part + 1}}
		if a.err == nil && a.c.send(ctx, subjectNode+got.from, more) == nil {
			a.known[got.from], a.wait[got.from] = true, true
			return
		}
	}
	delete(a.wait, got.from)
	delete(a.known, got.from)
}

// took has an answer taken, and counts what it holds.
func (a *asking) took(from string, answer *answer) error {
	n, err := a.take(from, answer)
	a.held += n
	if held := a.c.held.Add(int64(n)); err == nil && held > maxAnswers {
		err = fmt.Errorf("cluster: answers of all nodes, more than %d bytes: %w", maxAnswers, ErrTooLarge)
	}
	return err
}

// failed takes an answer that is an error. Of a survey the answers of the others are worth
// something: where the node only broke, it counts as one that did not answer.
func (a *asking) failed(from string, answer *answer) {
	c := a.c
	delete(a.wait, from)
	name := c.nodes.titles(map[string]bool{from: true})[0]
	text := plain(answer.Error, maxText)
	if a.without != nil {
		delete(a.known, from)
		a.without[from] = true
		c.opt.Log.Debug("cluster: a node cannot answer", "kind", a.m.kind, "node", name, "error", text)
		return
	}
	if isSurvey(a.m.kind) && answer.Code == 0 {
		a.known[from] = true
		c.opt.Log.Warn("cluster: a node could not answer", "kind", a.m.kind, "node", name, "error", text,
			"remedy", "see the log of that node")
		return
	}
	delete(a.known, from)
	switch {
	case a.err != nil:
	case answer.Code != 0:
		a.err = fmt.Errorf("cluster: node %s: %w", name, &codec.Error{Code: answer.Code, Message: text})
	default:
		a.err = fmt.Errorf("cluster: node %s: %s", name, text)
	}
}

// end is what came of it.
func (a *asking) end(ctx context.Context) (silent []string, err error) {
	c := a.c
	if !a.heard {
		return c.nodes.titles(a.known), ErrCutOff
	}
	if ctx.Err() == nil {
		c.nodes.missed(a.wait)
	}
	c.count.unanswered.Add(uint64(len(a.known)))
	silent = c.nodes.titles(a.known)
	c.warn(a.m.kind, silent)
	if err := ctx.Err(); err != nil && a.err == nil && len(a.wait) > 0 {
		return silent, fmt.Errorf("cluster: not all nodes answered: %w", err)
	}
	return silent, a.err
}

// warn logs who did not answer, at most once a second.
func (c *Cluster) warn(kind string, silent []string) {
	if len(silent) == 0 || kind == kindInspect { // which is asked again and again while somebody looks
		return
	}
	now, last := int64(c.nodes.now()), c.warned.Load()
	if last != 0 && now-last < int64(time.Second) || !c.warned.CompareAndSwap(last, now) {
		return
	}
	c.opt.Log.Warn("cluster: nodes did not answer in time", "kind", kind, "nodes", silent, "within", c.opt.SurveyTimeout,
		"remedy", "see whether these nodes run and reach the engine (their /ready), or raise cluster.survey_timeout")
}

func nothing(string, *answer) (int, error) { return 0, nil }

// Subscribe carries a command out on all nodes. It returns the names of those that did
// not answer.
func (c *Cluster) Subscribe(ctx context.Context, cmd *Subscribe) (silent []string, err error) {
	return c.ask(ctx, kindSubscribe, cmd, func(ctx context.Context) error { return c.opt.Local.Subscribe(ctx, cmd) }, nothing)
}

// Unsubscribe is like Subscribe.
func (c *Cluster) Unsubscribe(ctx context.Context, cmd *Unsubscribe) (silent []string, err error) {
	return c.ask(ctx, kindUnsubscribe, cmd, func(ctx context.Context) error { return c.opt.Local.Unsubscribe(ctx, cmd) }, nothing)
}

// Disconnect is like Subscribe.
func (c *Cluster) Disconnect(ctx context.Context, cmd *Disconnect) (silent []string, err error) {
	return c.ask(ctx, kindDisconnect, cmd, func(ctx context.Context) error { return c.opt.Local.Disconnect(ctx, cmd) }, nothing)
}

// Refresh is like Subscribe.
func (c *Cluster) Refresh(ctx context.Context, cmd *Refresh) (silent []string, err error) {
	return c.ask(ctx, kindRefresh, cmd, func(ctx context.Context) error { return c.opt.Local.Refresh(ctx, cmd) }, nothing)
}

// Evict has the other nodes evict, which nobody waits for; this one did it itself. It
// returns when they were told.
func (c *Cluster) Evict(ctx context.Context, cmd *Evict) error {
	if !c.started.Load() {
		return nil
	}
	return errors.Join(c.send(ctx, SubjectAll, &message{kind: kindEvict, data: cmd}), c.tellReference(ctx, cmd))
}

// tellReference tells the nodes of the reference what ours were told.
func (c *Cluster) tellReference(ctx context.Context, data any) error {
	if c.mixed == nil {
		return nil
	}
	return c.mixed.tell(ctx, data)
}
