package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sluice/codec"
	"sluice/gateway/advice"
)

// Options of a [Cluster]. UID and Local must be set; the zero value of the others means
// the default named.
type Options struct {
	UID           string // the id of this node, letters, digits, - and _
	Name, Version string // for people
	// Carrier joins the nodes; nil: this node is alone, and nothing is ever sent.
	Carrier Carrier
	Local   Local
	// Inspect answers consoles of other nodes, see [Cluster.Inspect]; nil: this node has
	// none. It may be called by several goroutines and may wait until ctx ends.
	Inspect func(ctx context.Context, question []byte) (answer []byte, err error)
	// JSON bounds values in commands of other nodes; it is not below what this node's own
	// API takes, or they are not carried out here.
	JSON codec.Limits
	// Reference: nodes of the reference with the same prefix are told, obeyed and
	// answered too (reference_control of engine.redis or broker.nats).
	Reference bool
	// SurveyTimeout is how long a caller waits for other nodes, at the most; 1 s.
	SurveyTimeout time.Duration
	// Announce is how often this node says that it is there, 3 s; Forget after how long
	// one that is not heard is forgotten, 7 s.
	Announce, Forget time.Duration
	// CallTimeout ends what another node asked to be carried out here; 5 s.
	CallTimeout time.Duration
	Log         *slog.Logger
}

func (o *Options) setDefaults() {
	if o.SurveyTimeout <= 0 {
		o.SurveyTimeout = time.Second
	}
	if o.Announce <= 0 {
		o.Announce = 3 * time.Second
	}
	if o.Forget <= 0 {
		o.Forget = 7 * time.Second
	}
	if o.CallTimeout <= 0 {
		o.CallTimeout = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Cluster is this node among the others. Its methods may be called from any goroutine
// but not from a turn.
type Cluster struct {
	// Immutable after New.
	opt   Options
	nodes *registry
	// commands are carried out one after the other in each, those of a user in one;
	// surveys are answered beside them.
	commands [commandQueues]chan *message
	surveys  chan *message
	// inspections are answered one by one: surveys of others must not wait for those who
	// look.
	inspections chan *message
	outbox      chan outgoing // what nobody waits for
	mixed       *mixed        // nil without nodes of the reference
	ctx         context.Context
	end         context.CancelFunc
	serving     sync.WaitGroup

	// Guarded by mu.
	mu      sync.Mutex
	pending map[uint64]*question // by the id of what was sent
	rests   rests

	// Atomic.
	lastID  atomic.Uint64
	started atomic.Bool
	held    atomic.Int64 // bytes of answers that were not passed on yet
	warned  atomic.Int64 // when silent nodes were last told of, ns since the registry's start

	count counters
}

const (
	// commandQueues is how many commands of other nodes are carried out at once, each
	// queue holds queueSize more.
	commandQueues = 8
	queueSize     = 1024
	// surveyWorkers answer surveys, surveysWaiting more may wait.
	surveyWorkers  = 2
	surveysWaiting = 256
	// inspectionsWaiting is how many inspections may wait.
	inspectionsWaiting = 64
	// outboxSize is how many messages may wait that nobody waits for.
	outboxSize = 4096
)

// outgoing is a message on its way out.
type outgoing struct {
	subject string
	m       *message
}

// New makes a cluster; with a carrier it begins with Start.
func New(opt Options) *Cluster {
	opt.setDefaults()
	if !validUID(opt.UID) {
		panic("BUG: cluster: the id of a node must be letters, digits, - and _: " + opt.UID)
	}
	c := &Cluster{opt: opt, nodes: newRegistry(opt.Forget, opt.SurveyTimeout)}
	if opt.Carrier == nil {
		return c
	}
	for i := range c.commands {
		c.commands[i] = make(chan *message, queueSize)
	}
	c.surveys = make(chan *message, surveysWaiting)
	c.inspections = make(chan *message, inspectionsWaiting)
	c.outbox = make(chan outgoing, outboxSize)
	c.pending = make(map[uint64]*question)
	c.rests = rests{byAsker: make(map[restKey]*rest)}
	c.ctx, c.end = context.WithCancel(context.Background())
	c.count.init()
	if opt.Reference {
		c.mixed = newMixed(c)
	}
	return c
}

// Start has the node listen and announce itself. It is called once, after the engine
// has started, which need not be within reach.
func (c *Cluster) Start() {
	if c.opt.Carrier == nil {
		return
	}
	for _, q := range c.commands {
		c.serving.Go(func() { c.serve(q) })
	}
	for range surveyWorkers {
		c.serving.Go(func() { c.serve(c.surveys) })
	}
	c.serving.Go(func() { c.serve(c.inspections) })
	c.serving.Go(c.sendOutbox)
	c.serving.Go(c.announce)
	c.started.Store(true)
}

// Close tells the others that this node goes, and ends what Start began. What is being
// carried out is given up when ctx ends.
func (c *Cluster) Close(ctx context.Context) error {
	if !c.started.Swap(false) {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, c.opt.SurveyTimeout)
	err := c.send(within, SubjectAll, &message{kind: kindLeave})
	if c.mixed != nil {
		err = errors.Join(err, c.mixed.leave(within))
	}
	cancel()
	if err != nil { // they find out by themselves
		c.opt.Log.Debug("cluster: the others could not be told that this node goes", "error", err)
	}
	c.end()
	done := make(chan struct{})
	go func() { c.serving.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cluster: commands were cut: %w", context.Cause(ctx))
	}
}

// Ready returns nil while this node hears its own announcements, else since when it does
// not. It does not block.
func (c *Cluster) Ready() error {
	if c.opt.Carrier == nil {
		return nil
	}
	switch since, never := c.nodes.unheard(); {
	case never:
		return errors.New("cluster: this node has not heard itself on the control channel yet (see that the engine runs, is reachable from here, and lets its user subscribe)")
	case since > c.opt.Forget:
		return fmt.Errorf("cluster: this node has not heard itself on the control channel for %s (see that the engine runs and is reachable from here)", since.Round(time.Second))
	case c.mixed != nil:
		return c.mixed.ready()
	}
	return nil
}

// announce listens, says every now and then that this node is there, and looks who is
// not.
func (c *Cluster) announce() {
	tick := time.NewTicker(c.opt.Announce)
	defer tick.Stop()
	for listening := false; ; {
		if !listening {
			listening = c.listen()
		}
		_, never := c.nodes.unheard()
		within, cancel := context.WithTimeout(c.ctx, c.opt.Announce)
		err := c.send(within, SubjectAll, c.announcement(never))
		if c.mixed != nil { // behind: ours know by then whose it is
			err = errors.Join(err, c.mixed.announce(within))
		}
		cancel()
		if err != nil && c.ctx.Err() == nil {
			c.opt.Log.Debug("cluster: this node could not announce itself", "error", err)
		}
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
		}
		for _, name := range c.nodes.tick() {
			c.opt.Log.Info("cluster: a node is gone, it said nothing", "node", name, "for", c.opt.Forget)
		}
		c.dropRests(time.Now())
	}
}

// listen reports whether the engine took what this node wants to hear. Where it did not,
// it may have given that up for good (a channel that is not allowed): it is asked again.
func (c *Cluster) listen() bool {
	subjects := []string{SubjectAll, subjectNode + c.opt.UID}
	if c.mixed != nil {
		subjects = append(subjects, c.mixed.subjects()...)
	}
	within, cancel := context.WithTimeout(c.ctx, c.opt.Announce)
	defer cancel()
	err := c.opt.Carrier.Listen(within, subjects, c.receive)
	if err != nil && c.ctx.Err() == nil {
		c.opt.Log.Warn("cluster: the control channel is not heard yet", "error", err, "remedy", advice.Remedy(err, advice.Away))
	}
	return err == nil
}

func (c *Cluster) announcement(isNew bool) *message {
	return &message{kind: kindAnnounce, data: &announcement{Name: c.opt.Name, Version: c.opt.Version, New: isNew}}
}

// sendOutbox sends what nobody waits for.
func (c *Cluster) sendOutbox() {
	for {
		select {
		case <-c.ctx.Done():
			return
		case out := <-c.outbox:
			within, cancel := context.WithTimeout(c.ctx, c.opt.SurveyTimeout)
			_ = c.send(within, out.subject, out.m) // counted
			cancel()
		}
	}
}

// post leaves a message in the outbox. It does not block.
func (c *Cluster) post(subject string, m *message) {
	select {
	case c.outbox <- outgoing{subject, m}:
	default:
		c.count.unsent.Add(1)
	}
}

// send sends a message, with the next id unless it has one.
func (c *Cluster) send(ctx context.Context, subject string, m *message) error {
	m.from = c.opt.UID
	if m.id == 0 {
		m.id = c.lastID.Add(1)
	}
	payload, err := encode(m)
	if err != nil {
		return err
	}
	if err := c.opt.Carrier.Send(ctx, subject, payload); err != nil {
		c.count.unsent.Add(1)
		return fmt.Errorf("cluster: %s: %w", m.kind, err)
	}
	c.count.sent[m.kind].Add(1)
	return nil
}

// receive takes what the carrier delivers: one goroutine at a time, which it does not
// hold up.
func (c *Cluster) receive(subject string, payload []byte) {
	if isReference(subject) {
		c.mixed.receive(payload)
		return
	}
	m, skip := decode(payload, c.opt.JSON)
	switch {
	case m == nil:
		c.count.skipped[skip].Add(1)
		return
	case m.from == c.opt.UID:
		c.echoed(m)
		return
	}
	if repeated := c.nodes.take(m.from, m.id); repeated != "" {
		c.count.skipped[repeated].Add(1)
		return
	}
	if skip != "" {
		c.count.skipped[skip].Add(1)
		why := "this node is older: it does not know what a " + plain(m.kind, maxName) + " is"
		if skip == skipContent {
			why = "this node does not take the content of this " + m.kind
		}
		c.refuse(m, why)
		return
	}
	c.count.received[m.kind].Add(1)
	c.dispatch(m)
}

// echoed takes a message of this node's own.
func (c *Cluster) echoed(m *message) {
	if m.kind == kindAnnounce {
		c.nodes.echoed()
		return
	}
	c.offer(m.id, m)
}

func (c *Cluster) dispatch(m *message) {
	switch data := m.data.(type) {
	case *announcement:
		if c.nodes.announced(Info{UID: m.from, Name: data.Name, Version: data.Version}) {
			c.opt.Log.Info("cluster: a node is here", "node", data.Name, "uid", m.from, "version", data.Version)
		}
		if c.mixed != nil {
			c.mixed.peers.left(m.from) // it is none of them
		}
		if data.New {
			c.post(subjectNode+m.from, c.announcement(false))
		}
	case *answer:
		if !c.offer(data.To, m) {
			c.count.skipped[skipLate].Add(1)
		}
	default:
		if m.kind == kindLeave {
			if name, was := c.nodes.left(m.from); was {
				c.opt.Log.Info("cluster: a node is gone, it stopped", "node", name, "uid", m.from)
			}
			return
		}
		select {
		case c.queue(m) <- m:
		default:
			c.count.skipped[skipFull].Add(1)
			c.refuse(m, "too many commands wait there")
		}
	}
}

// refuse answers what is not carried out, if anybody waits for it.
func (c *Cluster) refuse(m *message, why string) {
	if m.ask {
		c.post(subjectNode+m.from, &message{kind: kindAnswer, data: &answer{To: m.id, Error: why}})
	}
}
