package session

import (
	"context"
	"runtime/debug"
	"sync"

	"sluice/codec"
)

// keeperOp is one call to presence or to the engine that a loop wants made.
type keeperOp struct {
	kind    opKind
	channel string
	info    *codec.ClientInfo
	done    *sync.WaitGroup // nil if nobody waits
}

type opKind uint8

const (
	opPresent opKind = iota // into presence, or still there
	opAbsent                // out of presence
	opJoin
	opLeave
)

// keeper makes the calls of one loop in order, so that a client that came and
// went is never left in presence. It is the behavior of an actor on the
// blocking pool.
type keeper struct {
	m *Manager
}

func (k *keeper) Begin() {}

func (k *keeper) Flush() (more bool) { return false }

func (k *keeper) Panicked(v any) {
	k.m.opt.Log.Error("panic in a keeper", "panic", v, "stack", string(debug.Stack()))
}

func (k *keeper) Handle(op keeperOp, again bool) {
	if again {
		return
	}
	if op.done != nil {
		defer op.done.Done()
	}
	ctx, cancel := context.WithTimeout(context.Background(), k.m.opt.CallTimeout)
	defer cancel()
	var err error
	switch op.kind {
	case opPresent:
		err = k.m.presence.Add(ctx, op.channel, op.info)
	case opAbsent:
		err = k.m.presence.Remove(ctx, op.channel, op.info)
	case opJoin:
		err = k.m.broker.Join(ctx, op.channel, op.info, nil)
	case opLeave:
		err = k.m.broker.Leave(ctx, op.channel, op.info, nil)
	}
	if err != nil {
		k.m.opt.Log.Warn("presence or join/leave failed", "channel", op.channel, "error", err)
	}
}

// present puts a session into the presence of a channel; wait is told when that
// is done, nil if nobody waits.
func (a *Agent) present(s *session, sub *subscription, wait *sync.WaitGroup) {
	if sub.flags&subPresence == 0 {
		return
	}
	sub.flags |= subPresent
	if wait != nil {
		wait.Add(1)
	}
	a.keeper.Post(keeperOp{kind: opPresent, channel: sub.channel, info: s.clientInfo(sub), done: wait})
}

// joined tells the channel that a session came.
func (a *Agent) joined(s *session, sub *subscription) {
	if sub.flags&subJoinLeave == 0 {
		return
	}
	sub.flags |= subJoined
	a.keeper.Post(keeperOp{kind: opJoin, channel: sub.channel, info: s.clientInfo(sub)})
}

// left undoes present and joined.
func (a *Agent) left(s *session, sub *subscription) {
	if sub.flags&(subPresent|subJoined) == 0 {
		return
	}
	info := s.clientInfo(sub)
	if sub.flags&subPresent != 0 {
		a.keeper.Post(keeperOp{kind: opAbsent, channel: sub.channel, info: info})
	}
	if sub.flags&subJoined != 0 {
		a.keeper.Post(keeperOp{kind: opLeave, channel: sub.channel, info: info})
	}
}
