package session

import (
	"context"
	"slices"
	"sync"
	"time"

	"sluice/codec"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
)

// Conn is a socket that was taken out of the HTTP server, and how the answer on
// it begins.
type Conn struct {
	Socket  loop.Socket
	Framing codec.Framing
	// Head is the response head of the stream; nil if it needs none.
	Head *codec.StreamHead
	// Opening is the blank line that the body begins with.
	Opening []byte
	// Preamble are lines that the first event begins with, such as retry.
	Preamble []byte
	// MaxEvents and MaxDuration end the stream after so many events, the
	// connect push included, or so much time (to 100 ms); 0 for no bound.
	MaxEvents   uint32
	MaxDuration time.Duration
	Request     Request
}

// opening is a connect on its way from the hijack goroutine to its loop. The
// goroutine and the loop take turns with it: each touches it only between the
// posts that hand it over.
type opening struct {
	ctx  context.Context // see stale
	m    *Manager
	plan *Plan
	conn Conn
	loop *loop.Loop

	acquired  int  // grants whose interest is held
	unplanned bool // there is no plan, only an answer
	results   []codec.SubscribeResult
	at        []hub.Opened
	room      *ticket        // for what the client missed; nil if it asks for nothing
	blocks    []*codec.Frame // of what the client missed, shared with others
	pieces    []*codec.Frame // the opening's bytes, once they are known
	told      int            // of these, those of the connect push
	run       run            // what follows them

	// Set on the loop.
	ref      loop.Ref
	attached bool  // the loop has the socket
	refused  bool  // the client was told so
	gone     bool  // the stream ended before it was open
	failed   error // the loop did not take the socket
	ready    chan struct{}
	present  sync.WaitGroup
}

// Open makes a stream of the plan. It owns the socket from here on, whatever
// happens, and what the plan reserved. It returns when the connect push is
// queued, or the refusal is; the error says why.
//
// A client that missed something waits for room for it first, before anything is
// held for it. Then the order is what keeps publications from being lost or
// doubled: interest and the engine's acknowledgement first, so that every later publication is posted
// to the loop; then the subscription that holds what arrives there; then the
// history up to its top; and last the opening, with what was held behind that
// top.
//
// Call it, and [Manager.Refuse], between Enter and Leave.
func (m *Manager) Open(p *Plan, conn Conn) error {
	ctx, cancel := WithPatience(m.opt.StaleCloseDelay)
	defer cancel()
	op := &opening{ctx: ctx, m: m, plan: p, conn: conn, loop: m.group.Pick()}
	handed := false
	defer func() {
		if v := recover(); v != nil {
			if !handed { // nobody else would give back what it holds
				_ = op.refuse(ctx, codec.ErrInternal)
			}
			panic(v)
		}
	}()
	if p.evicts != "" {
		if err := m.claim(ctx, p); err != nil {
			return op.refuse(ctx, err)
		}
	}
	// A refusal for want of room, of either kind, must be told before the connect
	// is stale, which is final.
	waits := ctx
	if op.mayWait() {
		var stop context.CancelFunc
		waits, stop = context.WithTimeout(ctx, m.opt.StaleCloseDelay*3/4)
		defer stop()
	}
	if err := m.agent(op.loop).keeperRoom(waits, p.Grants); err != nil {
		return op.refuse(ctx, err)
	}
	var err error
	if op.room, err = m.recoveryRoom(ctx, waits, p.Grants); err != nil {
		return op.refuse(ctx, err)
	}
	defer op.room.close()
	if err := op.acquire(ctx); err != nil {
		return op.refuse(ctx, err)
	}
	if op.needsAttach() {
		_ = ctx.Done() // from here on it may be stale
		op.ready = make(chan struct{})
		op.loop.Post((*attachTask)(op))
		<-op.ready
		if op.failed != nil {
			return op.failed
		}
	}
	if err := op.restore(ctx); err != nil {
		return op.refuse(ctx, err)
	}
	op.compose()
	handed = true
	op.loop.Post((*openTask)(op))
	return nil
}

// takesRoom reports whether what was missed in the channel is due.
func (g *Grant) takesRoom() bool { return g.Positioned && (g.wasRecovering() || g.cacheRecover()) }

// recoveryRoom takes room for what clients missed by grants, as far as it is kept
// now; nil if none of them asks for anything. It waits for room until waits ends.
func (m *Manager) recoveryRoom(ctx, waits context.Context, grants []Grant) (*ticket, error) {
	missed, limit, asks := 0, m.opt.RecoveryMaxBytes, false
	byID, publications := 0, 0
	for i := range grants {
		g := &grants[i]
		if !g.takesRoom() {
			continue
		}
		asks = true
		r, err := m.restore(ctx, g)
		if err != nil {
			return nil, err
		}
		if n := r.size(false); n <= limit {
			limit -= n
			missed += r.size(g.Delta)
			if g.runs() {
				byID, publications = byID+r.size(g.Delta), publications+len(r.publications)
			}
		}
	}
	if !asks {
		return nil, nil
	}
	if byID > runMin {
		missed += runRoom(grants, publications)
	}
	return m.budget.enter(waits, missed)
}

// mayWait reports whether the opening takes room that it may have to wait for. Most take
// none, and are spared a context with a deadline.
func (op *opening) mayWait() bool {
	for i := range op.plan.Grants {
		if g := &op.plan.Grants[i]; g.keeperCalls() > 0 || g.takesRoom() {
			return true
		}
	}
	return false
}

// needsAttach reports whether something must happen between the subscription
// and the opening. Otherwise both are one task, and nothing needs to be held.
func (op *opening) needsAttach() bool {
	for i := range op.plan.Grants {
		if g := &op.plan.Grants[i]; g.Positioned || g.Presence || g.wasRecovering() {
			return true
		}
	}
	return false
}

// acquire takes the interest in every channel and waits for the engine.
func (op *opening) acquire(ctx context.Context) error {
	for i := range op.plan.Grants {
		g := &op.plan.Grants[i]
		if err := op.m.hub.Acquire(ctx, g.Channel, op.loop.ID(), g.Delta); err != nil {
			op.m.opt.Log.Error("cannot subscribe to a channel", "channel", g.Channel, "error", err)
			return err
		}
		op.acquired++
	}
	return nil
}

// restore reads where each channel is and what the client missed.
func (op *opening) restore(ctx context.Context) error {
	op.present.Wait()
	grants := op.plan.Grants
	op.results = make([]codec.SubscribeResult, len(grants))
	op.at = make([]hub.Opened, len(grants))
	room := op.m.opt.RecoveryMaxBytes
	for i := range grants {
		g := &grants[i]
		res, at, err := op.m.subscribeResult(ctx, g, &room)
		if err != nil {
			op.m.opt.Log.Error("cannot read the history of a channel", "channel", g.Channel, "error", err)
			return err
		}
		op.results[i], op.at[i] = res, at
	}
	return nil
}

// subscribeResult reads what a subscriber is told of a channel, and where its
// subscription starts. room is how many bytes of missed publications there is
// room for; what is used is taken off. Not from a turn.
func (m *Manager) subscribeResult(ctx context.Context, g *Grant, room *int) (codec.SubscribeResult, hub.Opened, error) {
	res := codec.SubscribeResult{
		Channel: g.Channel, Data: g.Data, Delta: g.Delta,
		Positioned: g.Positioned, Recoverable: g.Recoverable,
		WasRecovering: g.wasRecovering(),
	}
	at := hub.Opened{Channel: g.Channel, Flags: g.flags()}
	if !g.Positioned {
		return res, at, nil
	}
	r, err := m.restore(ctx, g)
	if err != nil {
		return res, at, err
	}
	n := r.size(false)
	tooLarge := n > *room
	if tooLarge {
		r.cut()
	} else {
		*room -= n
	}
	if g.Recover != nil && g.Recoverable {
		m.resumes.count(g.Recover, &r, tooLarge)
	}
	res.Epoch, res.Offset = r.top.Epoch, r.offset
	res.Recovered, res.Publications = r.recovered, r.publications
	at.Offset, at.Epoch, at.From = r.top.Offset, hub.EpochTag(r.top.Epoch), m.hub.Seq()
	if g.Delta && len(r.publications) > 0 {
		at.Flags |= hub.HasBase
	}
	return res, at, nil
}

// flags are how the hub delivers to the subscription.
func (g *Grant) flags() hub.Flags {
	var f hub.Flags
	if g.Positioned {
		f |= hub.Positioned
	}
	if g.Recoverable {
		f |= hub.Recoverable
	}
	if g.Delta {
		f |= hub.Delta
	}
	if g.PushJoinLeave {
		f |= hub.PushJoinLeave
	}
	return f
}

// subscription is what the session keeps of the grant.
func (g *Grant) subscription() subscription {
	sub := subscription{channel: g.Channel, chanInfo: g.Info, expireAt: g.ExpireAt}
	if g.Presence {
		sub.flags |= subPresence
	}
	if g.JoinLeave {
		sub.flags |= subJoinLeave
	}
	if g.Positioned {
		sub.flags |= subPositioned
	}
	return sub
}

// blockMin is from how many bytes on what a client missed in a channel is a block
// of its own, which others may share, and not written into its push.
const blockMin = 16 << 10

// share makes blocks of what the client missed, where that is much.
func (op *opening) share() {
	for i := range op.results {
		r := &op.results[i]
		if n := (&restored{publications: r.Publications}).size(r.Delta); n < blockMin {
			continue
		}
		r.Block = op.room.block(keyOfMissed(r, false), r.Publications)
		op.blocks = append(op.blocks, r.Block)
		r.Publications = nil
	}
}

// eventPool has memory in which events are composed, up to eventMost bytes.
var eventPool = sync.Pool{New: func() any { return new([]byte) }}

const eventMost = 64 << 10

// compose makes the bytes that the stream begins with: in one piece, or around
// the blocks of what the client missed.
func (op *opening) compose() {
	o, p := &op.m.opt, op.plan
	if op.room != nil {
		op.spill()
		op.share()
	}
	now := time.Now()
	res := codec.ConnectResult{
		Client: p.client.String(), Session: p.secret.String(), Version: o.Version,
		Data: p.Data, Subs: op.results,
	}
	if o.PingInterval > 0 {
		res.Ping = uint32(o.PingInterval / time.Second)
	}
	if p.ExpireAt > 0 && o.Refresh == nil { // else the server sees to it
		res.Expires, res.TTL = true, uint32(max(p.ExpireAt-now.Unix(), 0))
	}
	if o.ServerTime {
		res.Time = now.UnixMilli()
	}
	size := 256 + len(op.conn.Preamble) + 2*cursorEntryRoom*len(op.results)
	for i := range op.results {
		size += (&restored{publications: op.results[i].Publications}).size(op.results[i].Delta)
	}
	scratch := eventPool.Get().(*[]byte)
	cursor := op.appendCursor(slices.Grow((*scratch)[:0], size))
	event := append(cursor, op.conn.Preamble...) // behind it, in the same memory
	before := len(event)
	event = append(codec.AppendConnect(append(event, "data: "...), &res), '\n')
	op.told = len(event) + len("\n") - before
	event = codec.AppendEventEnd(event, codec.FramingClose, cursor)
	op.cut(event, len(cursor), res.Cuts)
	keepEvent(scratch, event)
	eventPool.Put(scratch)
}

// keepEvent makes scratch the memory of event for the next one, unless it is large.
func keepEvent(scratch *[]byte, event []byte) {
	if cap(event) <= eventMost {
		*scratch = event
	}
}

// cut makes the frames of the opening: its head, the event, which begins at from, and the
// blocks in their places. The event is copied.
func (op *opening) cut(event []byte, from int, cuts []codec.Cut) {
	f := op.conn.Framing
	b := make([]byte, 0, codec.StreamHeadSize+len(event)-from+32)
	if op.conn.Head != nil {
		b = codec.AppendStreamHead(b, op.conn.Head)
	}
	b = codec.AppendChunk(b, f, op.conn.Opening)
	for _, c := range cuts {
		b = codec.AppendChunk(b, f, event[from:c.At])
		op.pieces = append(op.pieces, codec.RawFrame(b), c.Block)
		op.told += c.Block.Len()
		from, b = c.At, nil
	}
	op.pieces = append(op.pieces, codec.RawFrame(codec.AppendChunk(b, f, event[from:])))
	if op.room != nil {
		for i := 0; i < len(op.pieces); i += 2 { // every other one is a block
			op.room.charge(op.pieces[i])
		}
	}
}

// sent says that the opening will not send anything any more.
func (op *opening) sent() {
	pieces, blocks, tail := op.pieces, op.blocks, op.run.tail
	op.pieces, op.blocks, op.run = nil, nil, run{} // once, whatever comes
	if op.room == nil {
		return
	}
	for i := 0; i < len(pieces); i += 2 {
		op.m.budget.done(pieces[i])
	}
	for _, f := range blocks {
		op.m.budget.done(f)
	}
	if tail != nil {
		op.m.budget.done(tail)
	}
}

// appendCursor appends where the stream starts, nothing if it has no recoverable channel or
// ids are off.
func (op *opening) appendCursor(text []byte) []byte {
	if !op.m.opt.Cursors {
		return text
	}
	for i := range op.at {
		at := &op.at[i]
		if at.Flags&hub.Recoverable == 0 {
			continue
		}
		e := codec.CursorEntry{Channel: codec.Tag32(at.Channel), Epoch: at.Epoch, Offset: at.Offset}
		if op.run.from != nil {
			e.Offset = op.run.from[i]
		}
		text = codec.AppendCursorEntry(text, e)
	}
	return text
}

// adopt gives the socket to the loop and makes its session.
func (op *opening) adopt(l *loop.Loop) (*session, error) {
	ref, err := l.Adopt(op.conn.Socket, op.conn.Framing)
	if err != nil {
		op.conn.Socket.Discard()
		op.m.opt.Log.Error("a socket was refused", "error", err)
		return nil, err
	}
	op.ref, op.attached = ref, true
	return op.m.agent(l).add(ref, op), nil
}

// abandon gives back what the opening holds and no session or shard owns.
func (op *opening) abandon() {
	op.sent()
	for i := range op.acquired {
		if g := &op.plan.Grants[i]; !g.placed {
			op.m.hub.Release(g.Channel, op.loop.ID(), g.Delta)
		}
	}
	if !op.attached && !op.unplanned {
		op.m.Abandon(op.plan)
	}
}

// attachTask takes a stream in before it may speak: its subscriptions hold what
// arrives for them.
type attachTask opening

// Run implements loop.Task.
func (t *attachTask) Run(l *loop.Loop) {
	op := (*opening)(t)
	defer close(op.ready)
	if op.m.outdated(op.plan) {
		op.failed = codec.DisconnectConnectionLimit
		op.turnAway(l)
		return
	}
	s, err := op.adopt(l)
	if err != nil {
		op.failed = err
		op.abandon()
		return
	}
	a := op.m.agent(l)
	l.Hand(op.ref.Slot)
	s.subs = make([]subscription, len(op.plan.Grants))
	for i := range op.plan.Grants {
		g := &op.plan.Grants[i]
		s.subs[i] = g.subscription()
		a.shard.Subscribe(op.ref.Slot, g.Channel, hub.Held|g.flags(), 0, 0)
		g.placed = true
		a.present(s, &s.subs[i], &op.present)
	}
	l.SetTimer(op.ref.Slot, l.Now()+int64(op.m.opt.StaleCloseDelay))
}

// turnAway refuses an opening that there is a newer connection for. On-loop only.
func (op *opening) turnAway(l *loop.Loop) {
	(&refuseTask{op: op, reason: loop.ReasonRefused, err: codec.DisconnectConnectionLimit}).Run(l)
}

// openTask lets a stream speak.
type openTask opening

// Run implements loop.Task.
func (t *openTask) Run(l *loop.Loop) {
	op := (*opening)(t)
	ended := false
	defer func() {
		if !ended { // it panicked
			op.abandon()
		}
	}()
	op.begin(l)
	ended = true
}

// begin lets the stream of an opening speak, if there is still one.
func (op *opening) begin(l *loop.Loop) {
	if op.gone {
		op.abandon()
		return
	}
	if op.m.stopping.Load() {
		(&refuseTask{op: op, reason: loop.ReasonShutdown, err: codec.DisconnectShutdown}).Run(l)
		return
	}
	a := op.m.agent(l)
	s := a.table.at(op.ref.Slot)
	if !op.attached {
		var err error
		if s, err = op.adopt(l); err != nil {
			op.abandon()
			return
		}
	}
	l.Hand(op.ref.Slot)
	// Behind all that may fail: what does not come to stay ends nobody.
	if !op.m.stand(op.plan) {
		op.turnAway(l)
		return
	}
	a.open(op, s)
	op.m.evictOlder(op.plan)
}

// open queues the connect push and puts every subscription in its place.
func (a *Agent) open(op *opening, s *session) {
	ref := op.ref
	s.opening = nil
	defer op.sent()
	if op.room == nil {
		a.loop.SendExempt(ref.Slot, op.pieces[0], loop.NoID)
	} else {
		a.loop.SendPieces(ref.Slot, op.pieces)
	}
	if s.subs == nil && len(op.plan.Grants) > 0 {
		s.subs = make([]subscription, len(op.plan.Grants))
		for i := range op.plan.Grants {
			s.subs[i] = op.plan.Grants[i].subscription()
		}
	}
	a.accepted(s, op.told)
	a.traceOpened(ref, op, s)
	for i := range op.plan.Grants {
		if g := &op.plan.Grants[i]; !g.placed {
			a.shard.Subscribe(ref.Slot, g.Channel, op.at[i].Flags, 0, 0)
			g.placed = true
		}
	}
	switch n := op.conn.MaxEvents; n {
	case 0:
	case 1:
		a.endBounded(ref)
		return
	default:
		a.loop.Limit(ref.Slot, n-1)
	}
	if op.run.tail != nil {
		missed := &a.stats.Sent[PushMissed]
		missed.Frames += uint64(len(op.run.events))
		missed.Bytes += uint64(op.run.size)
		a.loop.SendRun(ref.Slot, op.run.events, op.run.tail)
		if !a.loop.Live(ref) {
			return // it was bounded
		}
	}
	a.shard.Open(ref, op.at)
	if !a.loop.Live(ref) {
		return
	}
	for i := range s.subs {
		a.joined(s, &s.subs[i])
	}
	s.pingAt = a.spread(a.m.opt.PingInterval)
	s.endsAt = a.lifeEnd(op.conn.MaxDuration)
	a.schedule(s)
	a.arm(ref, s)
}
