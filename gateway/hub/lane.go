package hub

import (
	"runtime/debug"
	"sync/atomic"

	"sluice/codec"
	"sluice/gateway/loop"
)

// lane encodes what is published in its channels, in order, and posts the
// frames to the loops that want them. It is the behavior of an actor.
type lane struct {
	// Immutable after New.
	hub *Hub

	// Owned by the turn.
	loops  []int
	credit int // of the event in hand, not yet passed on
}

func (ln *lane) Begin() {}

func (ln *lane) Flush() (more bool) { return false }

func (ln *lane) Panicked(v any) {
	ln.hub.panics.Add(1)
	ln.hub.ReleaseCredit(ln.credit)
	ln.credit = 0
	if ln.hub.opt.OnPanic != nil {
		ln.hub.opt.OnPanic(v, debug.Stack())
	}
}

func (ln *lane) Handle(ev event, again bool) {
	if ev.kind == eventBarrier {
		ev.reached <- struct{}{}
		return
	}
	if again {
		return
	}
	ln.credit = ev.credit
	var deltas bool
	ln.loops, deltas = ln.hub.wanted(ln.loops[:0], ev.channel)
	if len(ln.loops) == 0 {
		ln.hub.ReleaseCredit(ln.credit)
		ln.credit = 0
		return
	}
	d := ln.encode(&ev, deltas)
	d.left.Store(int32(len(ln.loops)))
	ln.credit = 0
	for _, i := range ln.loops {
		ln.hub.shards[i].loop.Post(d)
	}
}

// encode makes the frames of an event, each once for all subscribers.
func (ln *lane) encode(ev *event, deltas bool) *delivery {
	d := &delivery{hub: ln.hub, kind: ev.kind, channel: ev.channel, credit: ev.credit}
	switch ev.kind {
	case eventPublication:
		p := ev.pub
		id := ""
		if p.Offset != 0 {
			d.offset, d.epoch = p.Offset, EpochTag(p.Epoch)
			if ln.hub.opt.CursorID != nil {
				id = ln.hub.opt.CursorID(ev.channel, p)
			}
		}
		d.frame = codec.PubFrame(ev.channel, p, id)
		if deltas {
			d.encodeDelta(ev, id)
		}
	case eventJoin:
		buf := codec.StartFrame(len(ev.channel) + infoRoom)
		d.frame = codec.EndFrame(codec.AppendJoin(buf, ev.channel, ev.info), "")
	case eventLeave:
		buf := codec.StartFrame(len(ev.channel) + infoRoom)
		d.frame = codec.EndFrame(codec.AppendLeave(buf, ev.channel, ev.info), "")
	}
	return d
}

// infoRoom is the usual size of a join push beyond its channel.
const infoRoom = 160

// delivery is one event on its way to the subscribers of its channel, shared by
// all loops that have some. It implements loop.Task.
type delivery struct {
	// Immutable once posted.
	hub     *Hub
	kind    eventKind
	channel string
	frame   *codec.Frame // for plain subscribers
	full    *codec.Frame // for delta subscribers: the whole payload as a string
	delta   *codec.Frame // for delta subscribers that have the payload before it
	offset  uint64       // 0: moves no position
	epoch   uint32       // tag of the offset's epoch
	credit  int

	// Atomic.
	left atomic.Int32 // loops that have yet to queue it
}

// Run implements loop.Task.
func (d *delivery) Run(l *loop.Loop, again bool) {
	d.hub.shards[l.ID()].deliver(d, again)
	if d.left.Add(-1) == 0 {
		d.hub.ReleaseCredit(d.credit)
	}
}

// EpochTag is what a subscriber remembers of an epoch: 32 bits of its hash
// (FNV-1a), never 0, which stands for "none yet".
func EpochTag(epoch string) uint32 { return codec.Tag32(epoch) }
