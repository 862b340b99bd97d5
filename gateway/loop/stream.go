package loop

import "sluice/codec"

// Ref names a stream of one loop: a slot, and a generation that changes each
// time the slot is used anew, so that an old Ref never reaches a new stream.
type Ref struct{ Slot, Gen uint32 }

type streamState uint8

const (
	stateFree    streamState = iota
	stateLive                // takes frames
	stateClosing             // writes what is queued, then ends
	stateLinger              // has ended its half, waits for the client's
)

// stream is one open response: nothing but where its bytes go. It holds no
// pointer, so a million of them cost the garbage collector nothing.
type stream struct {
	fd      int32
	gen     uint32
	queue   uint32 // index+1 in Loop.queues, 0 while nothing is queued
	input   uint32 // bytes the client sent and nobody wants
	secure  uint32 // name in Loop.secures, 0 on a plain connection
	coded   uint32 // name in Loop.bodies, 0 for one without a content coding
	left    uint32 // frames until Handler.Spent, 0 without a limit
	place   uint32 // index in Loop.blocked, if blocked
	span    uint32 // when it last counted as active, see Loop.activate
	timer   timer
	acts    uint64 // tick at which Handler.Timer is due, or a stream that ends is cut; 0 for none
	state   streamState
	framing codec.Framing
	blocked bool  // the last write met EAGAIN: epoll reports writability
	dirty   bool  // is in Loop.dirty or Loop.bulk
	late    bool  // deliveries do not wait for it, until its queue is empty: see Loop.judge
	stalled bool  // nor, until it takes something
	twice   twice // for what it counted in the span before the last one, too
	paid    uint8 // when it last counted as one that was waited for, see Loop.countWaited

	patience allowance // for how long they still would
	spent    int64     // what of it was used since it had nothing queued
}

const (
	slabBits = 10
	slabSize = 1 << slabBits
)

// at returns the stream of a slot that exists.
func (l *Loop) at(slot uint32) *stream {
	return &l.slabs[slot>>slabBits][slot&(slabSize-1)]
}

// live returns the stream that ref names while it takes frames, nil otherwise.
func (l *Loop) live(ref Ref) *stream {
	if int(ref.Slot>>slabBits) >= len(l.slabs) {
		return nil
	}
	s := l.at(ref.Slot)
	if s.gen != ref.Gen || s.state != stateLive {
		return nil
	}
	return s
}

// newSlot returns a free slot; its generation is already new.
func (l *Loop) newSlot() uint32 {
	if n := len(l.free); n > 0 {
		slot := l.free[n-1]
		l.free = l.free[:n-1]
		return slot
	}
	base := uint32(len(l.slabs)) << slabBits
	slab := make([]stream, slabSize)
	for i := range slab {
		slab[i].gen = 1 // so that the zero Ref names no stream
	}
	l.slabs = append(l.slabs, slab)
	for i := uint32(slabSize - 1); i > 0; i-- {
		l.free = append(l.free, base+i)
	}
	return base
}

// freeSlot ends the life of a stream's slot. The caller closes its fd.
func (l *Loop) freeSlot(slot uint32) {
	l.clearTimer(slot)
	l.dropQueue(slot)
	s := l.at(slot)
	l.dropSecure(s)
	if s.coded != 0 {
		l.stats.Coded[l.Coding(slot)]--
		l.bodies.drop(s.coded)
	}
	*s = stream{gen: s.gen + 1, fd: -1, dirty: s.dirty}
	l.free = append(l.free, slot)
	l.stats.Open--
}

// SetTimer asks for one Handler.Timer call at or about 100 ms after ns, never
// before, on the loop's clock ([Loop.Now]); it replaces the call asked for before. Zero asks
// for none. On-loop only.
func (l *Loop) SetTimer(slot uint32, ns int64) {
	s := l.at(slot)
	if s.state != stateLive {
		return
	}
	s.acts = 0
	if ns > 0 {
		s.acts = tickAfter(ns)
	}
	l.arm(slot)
}

// arm sets the stream's one timer to the first of its deadlines.
func (l *Loop) arm(slot uint32) {
	s := l.at(slot)
	due := s.acts
	if s.state == stateLive && s.blocked && l.waits(s) {
		aged := tickAfter(l.now + max(int64(l.opt.QueueMaxAge)-l.age(s), 0))
		if due == 0 || aged < due {
			due = aged
		}
	}
	l.setTimer(slot, due)
}

// age returns for how long a stream that waits has taken nothing. Time in which
// the process stood still does not count.
func (l *Loop) age(s *stream) int64 { return l.fair - l.since(s) }

// aged reports whether a stream has been refused by its socket for too long.
func (l *Loop) aged(s *stream) bool {
	return s.blocked && l.waits(s) && l.age(s) >= int64(l.opt.QueueMaxAge)
}

// fire handles a timer of the wheel: the stream may have several deadlines.
func (l *Loop) fire(ref Ref) {
	s := l.at(ref.Slot)
	if s.gen != ref.Gen || s.state == stateFree {
		return
	}
	l.cur = ref.Slot + 1 // reset by fireExpired, or by Panicked
	tick := l.wheel.tick
	if s.state != stateLive {
		if s.acts <= tick {
			l.cut(ref.Slot)
			return
		}
		l.arm(ref.Slot)
		return
	}
	if l.aged(s) {
		// Whoever was paused, we or the machine, this timer may be ahead of
		// the readiness that has come meanwhile: the socket is asked first.
		l.flushWritable(ref.Slot)
		if s.gen != ref.Gen || s.state != stateLive {
			return
		}
		if l.aged(s) {
			l.slow(ref.Slot, ReasonSlowAge)
			return
		}
	}
	if s.acts != 0 && s.acts <= tick {
		s.acts = 0
		l.handler.Timer(ref)
	}
	if l.live(ref) != nil {
		l.arm(ref.Slot)
	}
}

// table holds what only some streams or items have. An entry is named by its index+1,
// so that 0 names none, and is used anew once it was dropped. The zero value is ready.
type table[T any] struct {
	entries []T
	idle    []uint32 // names of dropped entries
}

// add returns the name of a new entry.
func (t *table[T]) add(v T) uint32 {
	if n := len(t.idle); n > 0 {
		name := t.idle[n-1]
		t.idle = t.idle[:n-1]
		t.entries[name-1] = v
		return name
	}
	t.entries = append(t.entries, v)
	return uint32(len(t.entries))
}

// at returns an entry that was added and not dropped. It is good until the next add.
func (t *table[T]) at(name uint32) *T { return &t.entries[name-1] }

// drop forgets an entry.
func (t *table[T]) drop(name uint32) {
	var none T
	t.entries[name-1] = none
	t.idle = append(t.idle, name)
}
