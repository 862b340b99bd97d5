package hub

import (
	"runtime/debug"
	"sync/atomic"
	"time"

	"sluice/codec"
	"sluice/gateway/actor"
	"sluice/gateway/broker"
	"sluice/gateway/loop"
)

// lane encodes what is published in its channels, in order, and posts the
// frames to the loops that want them. It is the behavior of an actor.
type lane struct {
	// Immutable after New.
	hub  *Hub
	self *actor.Actor[event]

	// Owned by the turn.
	policies *policies // of the publication in hand
	pace     pacer
	groups   groups
	marks    map[string]*Mark // of tracked channels
	loops    []int
	refers   []*codec.Dictionary
	id       [32]byte // scratch for a cursor of one entry
}

func (ln *lane) Begin() {}

func (ln *lane) Flush() (more bool) { return false }

func (ln *lane) Panicked(v any) { ln.hub.panicked(v) }

// panicked notes a panic. It is called by what recovered it.
func (h *Hub) panicked(v any) {
	h.panics.Add(1)
	if h.opt.OnPanic != nil {
		h.opt.OnPanic(v, debug.Stack())
	}
}

func (ln *lane) Handle(ev event) {
	switch {
	case ev.kind == eventBarrier:
		ev.reached <- struct{}{}
	case ev.kind == eventDrain:
		// What waits for its time has been acknowledged too.
		ln.release(time.Time{}, true)
		ev.reached <- struct{}{}
	case ev.kind == eventUnfollowed:
		_, taken := ln.hub.wanted(ln.loops[:0], ev.channel)
		ln.groups.drop(ev.channel, taken, ln.hub)
	case ev.kind == eventPace:
		ln.release(time.Now(), false)
	default:
		if !ln.self.Try(func() { ln.take(&ev) }) {
			ev.credit.Release() // whoever has it else may do so too
		}
	}
}

// take passes a publication on, or lets it wait for its time.
func (ln *lane) take(ev *event) {
	if p := ln.hub.policies.Load(); p != ln.policies {
		// What waits must not be overtaken by what need not wait any more.
		ln.release(time.Time{}, true)
		ln.policies = p
	}
	if ev.kind == eventPublication && ln.policies != nil {
		if p := ln.policies.of(ev.channel); p.MaxRate > 0 {
			// The one before it may never go out: those who negotiated
			// deltas before there was a rate get the whole.
			ev.prev = nil
			if !ln.pass(ev, &p) {
				return
			}
		}
	}
	ln.deliver(ev)
}

// deliver encodes an event and posts it to the loops that want it.
func (ln *lane) deliver(ev *event) {
	if len(ln.marks) > 0 || ev.kind == eventTrack {
		ln.mark(ev)
	}
	if ev.kind.aboutMarks() {
		return
	}
	var taken forms
	ln.loops, taken = ln.hub.wanted(ln.loops[:0], ev.channel)
	if len(ln.loops) == 0 {
		ev.credit.Release()
		return
	}
	d := ln.encode(ev, taken)
	d.pending.Store(int32(len(ln.loops)))
	for _, i := range ln.loops {
		ln.hub.shards[i].loop.Deliver(d)
	}
}

// encode makes the frames of an event, each once for all subscribers.
func (ln *lane) encode(ev *event, taken forms) *delivery {
	d := &delivery{hub: ln.hub, kind: ev.kind, channel: ev.channel, seq: ev.seq, credit: ev.credit, at: ev.at}
	switch ev.kind {
	case eventPublication:
		p := ev.pub
		id := ""
		if p.Offset != 0 {
			d.offset, d.epoch = p.Offset, EpochTag(p.Epoch)
			d.late = ln.hub.late(p)
			if ln.hub.opt.Cursors {
				id = string(codec.AppendCursorEntry(ln.id[:0], codec.CursorEntry{
					Channel: codec.Tag32(ev.channel), Epoch: d.epoch, Offset: d.offset,
				}))
			}
		}
		d.frame = codec.PubFrame(ev.channel, p, id)
		d.binary = p.Binary
		if ln.policies != nil {
			if policy := ln.policies.of(ev.channel); !policy.none() {
				d.drops, d.key = policy.DropOldest, ln.hub.keyHash(policy.key(p))
			}
		}
		if taken.deltas() {
			d.encodeDelta(ev, id)
		}
	case eventResynced:
		d.offset, d.epoch = ev.top.Offset, EpochTag(ev.top.Epoch)
	case eventCheckpoint:
		ln.encodeCheckpoint(d)
	case eventJoin:
		buf := codec.StartFrame(len(ev.channel) + infoRoom)
		d.frame = codec.EndFrame(codec.AppendJoin(buf, ev.channel, ev.info), "")
	case eventLeave:
		buf := codec.StartFrame(len(ev.channel) + infoRoom)
		d.frame = codec.EndFrame(codec.AppendLeave(buf, ev.channel, ev.info), "")
	}
	if taken.coded() {
		ln.compress(d, taken)
	}
	return d
}

// late reports whether a publication took longer to come than positioned
// subscribers may be told late (PROTOCOL 6.5).
func (h *Hub) late(p *codec.Publication) bool {
	lag := h.opt.PositionMaxTimeLag
	return lag > 0 && p.Time != 0 && time.Since(time.UnixMilli(p.Time)) > lag
}

// infoRoom is the usual size of a join push beyond its channel.
const infoRoom = 160

// delivery is one event on its way to the subscribers of its channel, shared by
// all loops that have some. It implements loop.Delivery.
type delivery struct {
	// Immutable once posted.
	hub     *Hub
	kind    eventKind
	channel string
	frame   *codec.Frame // for plain subscribers; nil: see Shard.judge
	full    *codec.Frame // for delta subscribers: the whole payload as a string
	delta   *codec.Frame // for delta subscribers that have the payload before it
	offset  uint64       // 0: moves no position
	epoch   uint32       // tag of the offset's epoch
	binary  bool         // not JSON: nobody here can be given it
	drops   bool         // may be dropped from an out-queue
	key     uint64       // takes the place of an unsent one of the same key; 0 for none
	late    bool         // older than Options.PositionMaxTimeLag
	seq     uint64       // see member.offset
	credit  *broker.Credit
	at      time.Duration // on the hub's clock: when the engine handed it over

	// Atomic.
	pending atomic.Int32 // loops that have yet to offer it
}

// Run implements loop.Task.
func (d *delivery) Run(l *loop.Loop) { d.hub.shards[l.ID()].deliver(d) }

// Size implements loop.Delivery.
func (d *delivery) Size() int {
	if d.frame == nil {
		return 0
	}
	return d.frame.Len()
}

// Offered implements loop.Delivery.
func (d *delivery) Offered(l *loop.Loop) {
	if d.pending.Add(-1) > 0 {
		return
	}
	d.credit.Release()
	if s := d.hub.shards[l.ID()]; d.kind == eventPublication {
		s.stats.Lag.Add(s.offeredAt - d.at)
	}
}

// EpochTag is what a subscriber remembers of an epoch: 32 bits of its hash
// (FNV-1a), never 0, which stands for "none yet".
func EpochTag(epoch string) uint32 { return codec.Tag32(epoch) }

// plain reports whether every subscriber without features gets the delivery the
// same simple way.
func (d *delivery) plain() bool {
	return d.kind == eventPublication && !d.binary && !d.drops && d.key == 0
}
