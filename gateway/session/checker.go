package session

import (
	"context"
	"runtime/debug"
	"time"

	"sluice/gateway/broker"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
)

// checkOp asks whether the subscribers of a channel still have their position.
type checkOp struct {
	channel string
	offset  uint64 // of the subscriber that asks
}

// checker compares positions with the engine's: once for each channel of the
// node, however many sessions and loops ask. It is the behavior of an actor on
// the blocking pool.
type checker struct {
	// Immutable after New.
	m *Manager
	// synchronous: what the engine knows has been posted to its lane already.
	synchronous bool

	// Owned by the turn.
	due map[string]uint64 // by channel, the highest offset that asked
}

const (
	// checkBatch is how many channels are read before their loops are told.
	checkBatch = 256
	// checkFailures is how many errors in a row end a round: the engine is
	// gone, and whoever asked will ask again.
	checkFailures = 3
	// checkGrace is how long a publication may be on its way from an engine
	// outside the process, before a position behind it counts as lost.
	checkGrace = time.Second
)

func newChecker(m *Manager) *checker {
	c := &checker{m: m, due: make(map[string]uint64)}
	c.synchronous = m.broker.Abilities().Synchronous
	return c
}

func (c *checker) Begin() {}

func (c *checker) Panicked(v any) {
	c.m.opt.Log.Error("panic in the check of positions", "panic", v, "stack", string(debug.Stack()))
}

func (c *checker) Handle(op checkOp) {
	c.due[op.channel] = max(c.due[op.channel], op.offset)
}

// Flush reads the tops of some channels and posts them to the loops.
func (c *checker) Flush() (more bool) {
	if c.m.stopping.Load() {
		clear(c.due)
	}
	if len(c.due) == 0 {
		return false
	}
	tops := c.read()
	if len(tops) > 0 && c.arrived() {
		for _, a := range c.m.agents {
			a.loop.Post(positionTask{a: a, tops: tops})
		}
	}
	return len(c.due) > 0
}

// position is the top of a channel, and where a subscriber was before it was
// read.
type position struct {
	channel     string
	top, before uint64
	epoch       uint32
}

// read takes a batch of channels. Those whose engine cannot answer are put off
// until somebody asks again.
func (c *checker) read() []position {
	var tops []position
	failures := 0
	for ch, before := range c.due {
		if len(tops) == checkBatch {
			break
		}
		delete(c.due, ch)
		top, err := c.top(ch)
		if err == nil {
			failures = 0
			tops = append(tops, position{ch, top.Offset, before, hub.EpochTag(top.Epoch)})
			continue
		}
		c.m.opt.Log.Warn("a position cannot be checked", "channel", ch, "error", err)
		if failures++; failures == checkFailures {
			clear(c.due)
		}
	}
	if len(c.due) == 0 {
		// A map keeps the size of its largest round.
		c.due = make(map[string]uint64)
	}
	return tops
}

// top reads a channel's position, which keeps it alive (PROTOCOL 12.31).
func (c *checker) top(ch string) (broker.Position, error) {
	q := broker.HistoryQuery{Channel: ch}
	if o, err := c.m.opt.Rules().Lookup(ch); err == nil {
		q.MetaTTL = o.HistoryMetaTTL
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.m.opt.CallTimeout)
	defer cancel()
	_, top, err := broker.Read(ctx, c.m.broker, q)
	return top, err
}

// arrived waits until what had been published when the tops were read is in
// the out-queues of its subscribers.
func (c *checker) arrived() bool {
	if !c.synchronous {
		time.Sleep(checkGrace)
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.m.opt.CallTimeout)
	defer cancel()
	return c.m.hub.Arrived(ctx) == nil
}

// positionTask brings tops to a loop. It implements loop.Task.
type positionTask struct {
	a    *Agent
	tops []position
}

// Run implements loop.Task.
func (t positionTask) Run(*loop.Loop) {
	for i := range t.tops {
		p := &t.tops[i]
		t.a.shard.CheckPosition(p.channel, p.top, p.epoch, p.before)
	}
}

// tick looks after the subscriptions of a session: positions that nothing has
// confirmed for too long are checked, and presence is told what it had no room
// for. On-loop only.
func (a *Agent) tick(ref loop.Ref, s *session) {
	for i := range s.subs {
		sub := &s.subs[i]
		if sub.flags&subRenamed != 0 && !a.room.full() {
			a.present(s, sub, nil)
		}
		if sub.flags&subPositioned == 0 {
			continue
		}
		offset, due := a.shard.PositionDue(ref.Slot, sub.channel, a.m.opt.PositionCheckDelay)
		if due {
			a.m.checker.Post(checkOp{sub.channel, offset})
		}
	}
}
