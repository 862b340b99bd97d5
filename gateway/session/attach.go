package session

import (
	"sluice/codec"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
)

// attach has the loop take the stream in before it may speak. Nobody needs to be told of
// an error.
func (op *opening) attach() error {
	_ = op.ctx.Done() // from here on it may be stale
	t := &attachTask{op: op, done: make(chan error, 1)}
	op.loop.Post(t)
	return <-t.done
}

// attachTask gives an opening its stream, whose subscriptions hold what arrives for them.
type attachTask struct {
	op   *opening
	done chan error
}

// Run implements loop.Task.
func (t *attachTask) Run(l *loop.Loop) {
	op := t.op
	var err error
	defer func() { t.done <- err }()
	if op.m.outdated(op.plan) {
		err = op.turnAway(l)
		return
	}
	s, err := op.adopt(l)
	if err != nil {
		op.giveBack()
		return
	}
	a := op.m.agent(l)
	s.subs = make([]subscription, len(op.plan.Grants))
	for i := range op.plan.Grants {
		g := &op.plan.Grants[i]
		s.subs[i] = g.subscription()
		a.shard.Hold(op.ref.Slot, g.Channel, g.features())
		op.placed++
		a.present(s, &s.subs[i], &op.present)
	}
	l.SetTimer(op.ref.Slot, l.Now()+int64(op.m.opt.StaleCloseDelay))
}

// adopt gives the socket to the loop and makes its session.
func (op *opening) adopt(l *loop.Loop) (*session, error) {
	ref, err := l.Adopt(op.conn.Socket, op.conn.Framing, op.conn.Coding)
	if err != nil {
		op.conn.Socket.Discard()
		op.m.opt.Log.Error("a socket was refused", "error", err, "remedy", "look at the limits of the process and of the system (descriptors, memory)")
		op.to(stageLost)
		return nil, err
	}
	if op.conn.Dictionary != nil {
		l.UseDictionary(ref.Slot, op.conn.Dictionary)
	}
	op.ref = ref
	op.to(stageAttached)
	return op.m.agent(l).add(ref, op), nil
}

// turnAway refuses an opening that there is a newer connection for. On-loop only.
func (op *opening) turnAway(l *loop.Loop) error {
	op.reject(l, loop.ReasonRefused, codec.DisconnectConnectionLimit)
	return codec.DisconnectConnectionLimit
}

// openTask lets a stream speak.
type openTask opening

// Run implements loop.Task.
func (t *openTask) Run(l *loop.Loop) {
	op := (*opening)(t)
	done := false
	defer func() { // whatever comes, a panic too
		if op.stage == stageBegun {
			op.to(stageLost)
		}
		op.giveBack()
		if op.opened != nil {
			close(op.opened)
		}
		if done && op.plain {
			op.conn.Request.Free()
		}
	}()
	if op.m.stopping.Load() {
		op.reject(l, loop.ReasonShutdown, codec.DisconnectShutdown)
		return
	}
	a := op.m.agent(l)
	var s *session
	switch op.stage {
	case stageBegun:
		var err error
		if s, err = op.adopt(l); err != nil {
			return
		}
	case stageAttached:
		l.Hand(op.ref.Slot)
		s = a.table.at(op.ref.Slot)
	default:
		return
	}
	// Behind all that may fail: what does not come to stay ends nobody.
	if !op.m.stand(op.plan) {
		_ = op.turnAway(l)
		return
	}
	a.open(op, s)
	op.m.evictOlder(op.plan)
	if op.plan.owes {
		op.m.settler.Post(debt{user: op.plan.User, client: op.plan.client, claimed: op.plan.claimed})
	}
	done = true
}

// open queues the connect push and puts every subscription in its place.
func (a *Agent) open(op *opening, s *session) {
	ref := op.ref
	s.opening = nil
	op.to(stageOpen)
	if op.first != nil {
		a.loop.SendExempt(ref.Slot, op.first, loop.NoID)
		a.loop.Flush(ref.Slot)
	}
	if op.once {
		a.loop.SendOnce(ref.Slot, op.pieces[0])
	} else if op.room == nil {
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
	a.accepted(s, op.push)
	a.traceOpened(ref, op, s)
	for ; op.placed < op.acquired; op.placed++ {
		i := op.placed
		a.shard.Subscribe(ref.Slot, op.plan.Grants[i].Channel, op.at[i].Features)
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
	a.shard.Activate(ref, op.at)
	if !a.loop.Live(ref) {
		return
	}
	for i := range s.subs {
		a.joined(s, &s.subs[i])
	}
	if s.kind != Broadcast { // whose checkpoints keep it alive, and end it
		s.pingAt = a.spread(a.m.opt.PingInterval)
		s.endsAt = a.lifeEnd(op.conn.MaxDuration)
	}
	a.schedule(s)
	a.arm(ref, s)
}

// features are what the hub is to deliver to the subscription.
func (g *Grant) features() hub.Features {
	f := g.follows
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
	if g.backlog != nil {
		f |= hub.Checkpoints
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
