package session

import (
	"context"
	"time"

	"sluice/codec"
	"sluice/gateway/advice"
	"sluice/gateway/broker"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
)

// Conn is a socket that was taken out of the HTTP server, and how the answer on
// it begins. Whoever made it leaves it alone from [Manager.Open] or [Manager.Refuse] on: see
// Request.Free.
type Conn struct {
	Socket  loop.Socket
	Framing codec.Framing
	// Coding is that of the body: one of Plan.Codings, or identity. An answer that refuses
	// has none.
	Coding codec.Coding
	// Dictionary is that of a stream in dcz, whose Coding is CodingZstd; nil for any other.
	Dictionary *codec.Dictionary
	// Head is the response head of the stream; nil if it needs none.
	Head *codec.StreamHead
	// BlankLine is the one that the body begins with.
	BlankLine []byte
	// Preamble are lines that the first event begins with, such as retry.
	Preamble []byte
	// Padding is how many lines of padding follow the connect push and each ping, at most
	// PaddingMax.
	Padding uint8
	// MaxEvents and MaxDuration end the stream after so many events, the
	// connect push included, or so much time (to 100 ms); 0 for no bound.
	MaxEvents   uint32
	MaxDuration time.Duration
	// Agent is what the client says it is, where [Manager.KeepsSources].
	Agent   UserAgent
	Request Request
}

// Open makes a stream of the plan. It owns the socket from here on, whatever
// happens, and what the plan reserved. It returns when the connect push is
// queued, or the refusal is; the error says why.
//
// A client that missed something waits for room for it first, before anything is
// held for it. Then the order is what keeps publications from being lost or
// doubled: interest and the engine's acknowledgement first, so that every later
// publication is posted to the loop; then the subscription that holds what arrives
// there; then the history up to its top; and last the connect push, with what was held
// behind that top.
//
// Call it, and [Manager.Refuse], between Enter and Leave.
func (m *Manager) Open(p *Plan, conn *Conn) error {
	p.follow(conn, m.opt.Cursors)
	if p.memory == nil {
		p.memory = new(Memory)
	}
	op := &p.memory.opening
	op.m, op.plan, op.conn, op.loop = m, p, conn, m.group.Pick()
	err := op.prepare()
	if op.plain { // which it is if all went well, and nothing was posted
		op.loop.Post((*openTask)(op)) // whose it is from here on
	}
	return err
}

// prepare is Open, but for the last post of one that is plain.
func (op *opening) prepare() error {
	m, p := op.m, op.plan
	waits := &op.patience
	if !m.able.Local {
		waits = new(patience) // which is waited for: see patience.idle
	}
	waits.begin(m.opt.StaleCloseDelay)
	defer waits.cancel()
	var ctx context.Context = waits
	if p.broadcast != nil {
		ctx = broker.WithVia(ctx, p.broadcast.Via)
	}
	if op.ctx, op.calls = ctx, ctx; !m.able.Local {
		// An engine that does not answer is told as what it is, before the connect
		// is stale, which is final.
		var stop context.CancelFunc
		op.calls, stop = context.WithTimeout(ctx, m.opt.StaleCloseDelay*3/4)
		defer stop()
	}
	defer func() {
		if v := recover(); v != nil { // nobody else would give back what it holds
			_ = op.refuse(codec.ErrInternal)
			panic(v)
		}
	}()
	defer func() { op.room.close() }() // which enter takes
	if err := op.enter(); err != nil {
		return op.refuse(err)
	}
	attaches := op.needsAttach()
	if attaches {
		if err := op.attach(); err != nil {
			return err // the loop has refused it
		}
	}
	if err := op.restore(op.calls); err != nil {
		return op.refuse(err)
	}
	op.compose()
	if op.plain = !attaches && op.room == nil && p.broadcast == nil && p.claim == 0 && op.patience.idle(); op.plain {
		return nil
	}
	top := op.top()
	if p.evictsElsewhere() {
		op.opened = make(chan struct{})
	}
	op.loop.Post((*openTask)(op))
	if p.broadcast != nil {
		m.settleMark(ctx, p.broadcast, top)
	}
	if op.opened != nil {
		if <-op.opened; op.stage == stageOpen {
			m.evictElsewhere(p)
		}
	}
	return nil
}

// enter takes what an opening has to have before anything is held for it: the claim to
// the only place of a user, room, and the interest in its channels.
func (op *opening) enter() (err error) {
	ctx, m, p := op.calls, op.m, op.plan
	if p.evicts != "" {
		if err := m.claim(ctx, p); err != nil {
			return err
		}
	}
	// A refusal for want of room, of either kind, must be told before the connect
	// is stale, which is final.
	waits := ctx
	if p.needsRoom() {
		var stop context.CancelFunc
		waits, stop = context.WithTimeout(ctx, m.opt.StaleCloseDelay*3/4)
		defer stop()
	}
	if err := m.agent(op.loop).keeperRoom(waits, p.Grants); err != nil {
		return err
	}
	if op.room, err = m.recoveryRoom(ctx, waits, p.Grants); err != nil {
		return err
	}
	return op.acquire(ctx)
}

// recoveryRoom takes room for what clients missed by grants, as far as it is kept
// now; nil if none of them asks for anything. It waits for room until waits ends.
func (m *Manager) recoveryRoom(ctx, waits context.Context, grants []Grant) (*ticket, error) {
	all, err := m.restoreAll(ctx, grants, (*Grant).takesRoom)
	if all == nil {
		return nil, err
	}
	missed, limit := 0, m.opt.RecoveryMaxBytes
	byID, publications := 0, 0
	for i := range all { // what is not due is empty
		g, r := &grants[i], &all[i]
		if n := r.size(false); n <= limit {
			limit -= n
			missed += r.size(g.Delta)
			if g.runs() {
				byID, publications = byID+r.size(g.Delta), publications+len(r.publications)
			}
		}
	}
	if byID > runMin {
		missed += runRoom(grants, publications)
	}
	return m.budget.enter(waits, missed)
}

// needsRoom reports whether an opening takes room that it may have to wait for. Most take
// none, and are spared a context with a deadline.
func (p *Plan) needsRoom() bool {
	for i := range p.Grants {
		if g := &p.Grants[i]; g.keeperCalls() > 0 || g.takesRoom() {
			return true
		}
	}
	return false
}

// needsAttach reports whether something must happen between the subscription
// and the opening. Otherwise both are one task, and nothing needs to be held.
func (op *opening) needsAttach() bool { return op.plan.needsAttach() }

func (p *Plan) needsAttach() bool {
	for i := range p.Grants {
		if g := &p.Grants[i]; g.Positioned || g.Presence || g.wasRecovering() {
			return true
		}
	}
	return false
}

// MayWait reports whether [Manager.Open] may have to wait: for the turn of a loop, for what
// a client missed, for room, or for others. From whoever has the plan.
func (p *Plan) MayWait() bool {
	return p.needsAttach() || p.needsRoom() || p.claim != 0 || p.evicts != "" || p.broadcast != nil
}

// acquire takes the interest in every channel and waits for the engine.
func (op *opening) acquire(ctx context.Context) error {
	grants := op.plan.Grants
	var few [8]hub.Want
	wants := few[:0]
	for i := range grants {
		wants = append(wants, hub.Want{Channel: grants[i].Channel, Form: op.form(&grants[i])})
	}
	switch err := op.m.hub.AcquireAll(ctx, op.loop.ID(), wants); {
	case beyondUs(err):
		return err
	case err != nil:
		op.m.opt.Log.Error("cannot subscribe to channels", "channels", len(grants), "first", grants[0].Channel, "error", err, "remedy", advice.Remedy(err, advice.Away))
		return err
	}
	op.acquired = len(grants)
	return nil
}

// form is in which bytes the stream takes the events of a channel.
func (op *opening) form(g *Grant) hub.Form {
	return g.features().Form(op.conn.Coding, op.conn.Dictionary)
}

// restore reads where each channel is and what the client missed.
func (op *opening) restore(ctx context.Context) error {
	op.present.Wait()
	grants := op.plan.Grants
	if op.results, op.at = op.few.results[:], op.few.at[:]; len(grants) != 1 {
		op.results = make([]codec.SubscribeResult, len(grants))
		op.at = make([]hub.Start, len(grants))
	}
	all, err := op.m.restoreAll(ctx, grants, (*Grant).positioned)
	if err != nil {
		op.m.opt.Log.Error("cannot read a history", "error", err, "remedy", advice.Remedy(err, advice.Away))
		return err
	}
	room := op.m.opt.RecoveryMaxBytes
	for i := range grants {
		var r *restored
		if all != nil {
			r = &all[i]
		}
		op.results[i], op.at[i] = op.m.resultOf(&grants[i], r, &room)
		if grants[i].backlog != nil {
			op.gap = r.gap
			if r.short != ShortNot {
				op.m.tellShort(grants[i].Channel, r.short)
			}
		}
	}
	return nil
}

// subscribeResult reads the history for one grant, for resultOf. Not from a turn.
func (m *Manager) subscribeResult(ctx context.Context, g *Grant, room *int) (codec.SubscribeResult, hub.Start, error) {
	all, err := m.restoreAll(ctx, []Grant{*g}, (*Grant).positioned)
	if err != nil {
		return codec.SubscribeResult{}, hub.Start{}, err
	}
	var r *restored
	if all != nil {
		r = &all[0]
	}
	res, at := m.resultOf(g, r, room)
	return res, at, nil
}

func (g *Grant) positioned() bool { return g.Positioned }

// resultOf returns what a subscriber is told of a channel, and where its subscription
// starts. r is what was read if it is positioned. room is how many bytes of missed
// publications there is room for; what is used is taken off.
func (m *Manager) resultOf(g *Grant, r *restored, room *int) (codec.SubscribeResult, hub.Start) {
	res := codec.SubscribeResult{
		Channel: g.Channel, Data: g.Data, Delta: g.Delta,
		Positioned: g.Positioned, Recoverable: g.Recoverable,
		WasRecovering: g.wasRecovering(),
	}
	at := hub.Start{Channel: g.Channel, Features: g.features()}
	if !g.Positioned {
		return res, at
	}
	n := r.size(false)
	tooLarge := n > *room
	if tooLarge {
		r.cut()
	} else {
		*room -= n
	}
	if g.Recover != nil && g.Recoverable {
		m.resumes.count(g.Recover, r, tooLarge)
	}
	res.Epoch, res.Offset = r.top.Epoch, r.offset
	res.Recovered, res.Publications = r.recovered, r.publications
	at.Offset, at.Epoch, at.From, at.Read = r.top.Offset, hub.EpochTag(r.top.Epoch), r.after, r.before
	at.HasBase = g.Delta && len(r.publications) > 0
	return res, at
}
