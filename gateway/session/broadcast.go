package session

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/channel"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
)

// A stream of the broadcast route is for whoever reads it, perhaps many behind a front that
// shares it: it has one channel, no client that anybody could name, and no push about
// itself. It begins with a reconnect delay and a backlog, is kept alive and ended by the
// checkpoints of its channel (hub.Checkpoint), and its last line is a reconnect delay.

// BroadcastRequest is a wish for a stream of the broadcast route.
type BroadcastRequest struct {
	Channel string
	Rules   *channel.Options
	Retry   time.Duration // told when it begins
	Backlog Backlog
	// Unsettled says that the lane does not know yet where the channel stands.
	Unsettled bool
	Via       string // the nodes by which the wish came, see broker.WithVia
	// Lifetime, of the channel's streams at present: they end at the first checkpoint after
	// it. It is the caller's, and changes. Nil: broadcast_lifetime.
	Lifetime *atomic.Int64
}

// lifetime returns how long the stream lasts, in nanoseconds.
func (r *BroadcastRequest) lifetime() int64 {
	if r.Lifetime != nil {
		return min(r.Lifetime.Load(), int64(r.Rules.BroadcastLifetime))
	}
	return int64(r.Rules.BroadcastLifetime)
}

// Backlog is where a broadcast stream begins: behind a position, or, without an epoch, with
// all that is kept, at most backlogMost of it.
type Backlog struct {
	Offset uint64
	Epoch  uint32 // tag
	// Exact says that whoever gets the stream was there: what it will not get, it is told.
	Exact bool
}

const (
	// backlogMost is how many bytes of the newest publications a backlog has that begins
	// with all that is kept, and keptMost how many publications that can be.
	backlogMost = 1 << 20
	keptMost    = backlogMost / recoveredCost
	// endRetry is the longest reconnect delay at a planned end.
	endRetry = time.Second
)

// PlanBroadcast is Plan for a stream of the broadcast route. The error is ErrFull. Any
// goroutine but a turn.
func (m *Manager) PlanBroadcast(req *BroadcastRequest) (*Plan, error) {
	if !m.reserveStream() {
		return nil, ErrFull
	}
	return &Plan{
		client: NewID(), secret: NewID(), kind: Broadcast, broadcast: req,
		Grants: []Grant{{Channel: req.Channel, Rules: req.Rules, Positioned: true, backlog: &req.Backlog}},
	}, nil
}

// OnBroadcastEnd has f called for each broadcast stream that ends, and each plan for one
// that is abandoned, with its channel: once for each plan, from turns too. Before the first
// plan.
func (m *Manager) OnBroadcastEnd(f func(channel string)) { m.left = f }

// leftBroadcast tells of the end of a broadcast stream; nil is for any other stream.
func (m *Manager) leftBroadcast(req *BroadcastRequest) {
	if req != nil && m.left != nil {
		m.left(req.Channel)
	}
}

// ask completes a query for the backlog.
func (b *Backlog) ask(q *broker.HistoryQuery) {
	if b.Epoch == 0 {
		q.Limit, q.Reverse = keptMost, true
		return
	}
	q.Since, q.Set, q.Limit = b.Offset, true, -1
}

// outdated reports whether the position is of another history than one that was read. Then
// it becomes that of all that is kept. A relay that nobody has subscribed yet knows no
// history, which has no epoch.
func (b *Backlog) outdated(top broker.Position) bool {
	if b.Epoch == 0 || top.Epoch == "" || b.Epoch == hub.EpochTag(top.Epoch) && b.Offset <= top.Offset {
		return false
	}
	b.Offset, b.Epoch = 0, 0
	return true
}

// restore returns what of a history the backlog has: at most so many bytes.
func (b *Backlog) restore(h *broker.History, most int) restored {
	pubs := h.Publications
	if b.Epoch == 0 {
		most = min(most, backlogMost)
		pubs = make([]*codec.Publication, 0, len(h.Publications))
		for i := len(h.Publications) - 1; i >= 0; i-- {
			pubs = append(pubs, h.Publications[i])
		}
	}
	first := len(pubs)
	for first > 0 && most >= pubs[first-1].Size()+recoveredCost {
		first--
		most -= pubs[first].Size() + recoveredCost
	}
	r := restored{top: h.Top, publications: pubs[first:], recovered: true, offset: h.Top.Offset}
	next := h.Top.Offset + 1
	if first < len(pubs) {
		next = pubs[first].Offset
	}
	missed := b.Offset + 1
	switch {
	case b.Epoch == 0 && (first > 0 || len(pubs) == keptMost):
		r.short = ShortUnplaced
	case b.Epoch == 0 || next <= missed || len(h.Publications) == 0: // which is older than any viewer missed
	case first > 0:
		r.short = ShortSize
	default:
		r.short = ShortHistory
	}
	if b.Exact && b.Epoch != 0 && next > missed {
		r.gap = codec.Gap{Dropped: next - missed, From: missed, To: next - 1}
	}
	return r
}

// Short is why a backlog is shorter than it was to be.
type Short uint8

// The reasons. Of ShortUnplaced backlogs nobody knows how far back they were to reach.
const (
	ShortNot      Short = iota
	ShortHistory        // the history does not reach back as far
	ShortSize           // over Options.RecoveryMaxBytes
	ShortUnplaced       // over backlogMost, where no position was noted
	Shorts              // how many there are
)

// shortRemedies are what to do about them.
var shortRemedies = [Shorts]string{
	ShortHistory: "raise history_size and history_ttl of its namespace: they are to hold broadcast_freshness + broadcast.retry + 5 s of publications",
	ShortSize:    "raise uni_sse.recovery_max_bytes, or lower broadcast_freshness of its namespace",
}

// tellShort counts a backlog that is too short, and tells the log of the first of its kind:
// viewers who come back may miss what is left out, and those of streams that are for all
// find out by their offsets alone.
func (m *Manager) tellShort(ch string, why Short) {
	if m.short[why].Add(1) == 1 && shortRemedies[why] != "" {
		m.opt.Log.Warn("a broadcast stream begins with less than viewers may have missed", "channel", fmt.Sprintf("%.100s", ch), "remedy", shortRemedies[why])
	}
}

// composeBroadcast makes the bytes that a broadcast stream begins with: the reconnect
// delay, and as events behind it, which streams that begin alike share, the backlog.
func (op *opening) composeBroadcast() {
	b, r := op.plan.broadcast, &op.results[0]
	h := op.conn.Head.Broadcast
	h.Epoch, h.From, h.Top = r.Epoch, r.Offset, r.Offset
	if len(r.Publications) > 0 {
		h.From = r.Publications[0].Offset - 1
	}
	event := append(codec.AppendRetry(nil, b.Retry), '\n')
	op.push = len(event)
	op.cut(event, 0, nil)
	if op.gap.Dropped > 0 {
		f := codec.EndFrame(codec.AppendGap(codec.StartFrame(len(b.Channel)+80), b.Channel, op.gap), "")
		op.run.events = append(op.run.events, loop.Event{Frame: f})
		op.run.size += f.Len()
	}
	if len(r.Publications) > 0 {
		key := op.keyOfMissed(0)
		key.events, key.inOrder, key.bare = true, true, true
		block, frames := op.room.run(key, r.Publications)
		op.blocks = append(op.blocks, block)
		for _, f := range frames {
			op.run.events = append(op.run.events, loop.Event{Frame: f})
			op.run.size += f.Len()
		}
		r.Publications = nil
	}
	if len(op.run.events) > 0 {
		op.run.tail = codec.RawFrame(nil)
		op.room.chargeTail(op.run.tail, len(op.run.events)*eventCost, op.blocks)
		op.blocks = nil // the tail's from here on
	}
}

// top is where the only channel of a broadcast stream stood when its history was read.
func (op *opening) top() broker.Position {
	if op.plan.broadcast == nil {
		return broker.Position{}
	}
	return broker.Position{Offset: op.at[0].Offset, Epoch: op.results[0].Epoch}
}

// settleMark tells the lane of a quiet channel where it stands, once all that was published
// before the history was read has passed it. An engine that cannot say so is asked again by
// the next stream; until then checkpoints say nothing. Not from a turn.
func (m *Manager) settleMark(ctx context.Context, req *BroadcastRequest, top broker.Position) {
	if !req.Unsettled {
		return
	}
	if !m.able.Synchronous {
		if err := m.barriers.get(ctx, []struct{}{{}})[0]; err != nil {
			m.opt.Log.Debug("checkpoints say nothing yet: what was published is on its way", "channel", req.Channel, "error", err)
			return
		}
	}
	m.hub.Settle(req.Channel, top)
}

// broadcast is what a loop keeps of a stream of the broadcast route.
type broadcast struct {
	request *BroadcastRequest
	began   int64 // on the loop's clock
	// rules were the node's when it was last looked whether everybody may read the channel.
	rules *channel.Rules
}

// Passed implements hub.Owner: a stream that is old enough ends behind the checkpoint, and
// one of a channel that a reload has closed to the public.
func (a *Agent) Passed(ref loop.Ref, ch string) {
	b := a.broadcasts.Value(ref.Slot)
	if a.table.get(ref) == nil || b.request == nil {
		return
	}
	if rules := a.m.opt.Rules(); rules != b.rules {
		if _, open := rules.Broadcast(ch); !open {
			a.endBroadcast(ref, loop.ReasonDisconnect, closeWithin)
			return
		}
		b.rules = rules
		a.broadcasts.Set(ref.Slot, b)
	}
	if a.loop.Now()-b.began < b.request.lifetime() {
		return
	}
	last := codec.RetryFrame(min(b.request.Retry, endRetry))
	a.finish(ref, loop.ReasonLifetime, codec.DisconnectConnectionClosed, last, closeWithin)
}

// endBroadcast ends a broadcast stream before its time. Who reads it is told nothing but
// when to come back.
func (a *Agent) endBroadcast(ref loop.Ref, reason loop.Reason, within time.Duration) {
	a.finish(ref, reason, codec.DisconnectConnectionClosed, a.farewell(ref.Slot), within)
}

// farewell returns the last block of a broadcast stream that ends before its time. While
// fronts take it for fresh they would hand out its recording: so nobody comes back before.
func (a *Agent) farewell(slot uint32) *codec.Frame {
	b := a.broadcasts.Value(slot)
	if fresh := b.request.Rules.BroadcastFreshness; a.loop.Now()-b.began < int64(fresh) {
		return codec.RetryFrame(fresh + time.Second)
	}
	return codec.RetryFrame(b.request.Retry)
}
