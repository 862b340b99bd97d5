package session

import (
	"context"
	"runtime/debug"

	"sluice/gateway/advice"
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

	// Owned by the turn.
	due map[string]uint64 // by channel, the highest offset that asked
}

// checkBatch is how many channels are read at once, before their loops are told.
const checkBatch = 256

func newChecker(m *Manager) *checker { return &checker{m: m, due: make(map[string]uint64)} }

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
	if len(c.due) == 0 || len(c.due) < checkBatch && c.m.checker.Depth() > 0 {
		return false // or there are more to be read with them
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

// read takes a batch of channels and reads their positions, which keeps these alive
// (PROTOCOL 12.31). Those whose engine cannot answer are put off until somebody asks
// again; if it answers nothing, all are.
func (c *checker) read() []position {
	var tops []position
	var queries []broker.HistoryQuery
	for ch, before := range c.due {
		if len(queries) == checkBatch {
			break
		}
		delete(c.due, ch)
		q := broker.HistoryQuery{Channel: ch}
		if o, err := c.m.opt.Rules().Lookup(ch); err == nil {
			q.MetaTTL = o.HistoryMetaTTL
		}
		queries = append(queries, q)
		tops = append(tops, position{channel: ch, before: before})
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.m.opt.CallTimeout)
	defer cancel()
	var failed error
	read := tops[:0]
	for i, h := range c.m.broker.Histories(ctx, queries) {
		if h.Err != nil {
			failed = h.Err
			continue
		}
		p := tops[i]
		p.top, p.epoch = h.Top.Offset, hub.EpochTag(h.Top.Epoch)
		read = append(read, p)
	}
	if failed != nil {
		c.m.opt.Log.Warn("positions cannot be checked now", "channels", len(queries)-len(read), "error", failed, "remedy", advice.Remedy(failed, advice.Away))
	}
	if len(read) == 0 {
		clear(c.due)
	}
	if len(c.due) == 0 {
		// A map keeps the size of its largest round.
		c.due = make(map[string]uint64)
	}
	return read
}

// arrived waits until what had been published when the tops were read is in the
// out-queues of its subscribers. It reports false where that cannot be said: then the
// engine lags, or is away, and nobody has lost anything for all that is known.
func (c *checker) arrived() bool {
	ctx, cancel := context.WithTimeout(context.Background(), c.m.opt.CallTimeout)
	defer cancel()
	err := c.m.broker.Barrier(ctx)
	if err == nil {
		err = c.m.hub.Arrived(ctx)
	}
	if err != nil {
		c.m.opt.Log.Warn("positions cannot be checked now: what was published is still on its way", "error", err, "remedy", advice.Remedy(err, advice.Away))
		clear(c.due)
	}
	return err == nil
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
