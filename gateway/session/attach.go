package session

import (
	"sluice/codec"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
)

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
