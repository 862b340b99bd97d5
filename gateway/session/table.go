package session

import (
	"net/netip"

	"sluice/gateway/loop"
)

// table is the sessions of one loop by slot, in slabs that never move.
type table struct {
	slabs [][]session
	// addresses are the reserved addresses by slot, all zero where there is
	// none. Beside the sessions, so that they cost nothing without limits,
	// and as bytes, so that they cost the garbage collector nothing.
	addresses [][][16]byte
	traces    [][]trace // by slot, if the log wants them
}

const (
	slabBits = 8
	slabSize = 1 << slabBits
)

// at returns the entry of a slot, making room for it.
func (t *table) at(slot uint32) *session {
	for int(slot>>slabBits) >= len(t.slabs) {
		t.slabs = append(t.slabs, make([]session, slabSize))
	}
	return &t.slabs[slot>>slabBits][slot&(slabSize-1)]
}

// get returns the session of an open slot, nil if there is none.
func (t *table) get(ref loop.Ref) *session {
	if int(ref.Slot>>slabBits) >= len(t.slabs) {
		return nil
	}
	if s := t.at(ref.Slot); s.used {
		return s
	}
	return nil
}

// setAddress notes the address that a session has reserved.
func (t *table) setAddress(slot uint32, addr netip.Addr) {
	for int(slot>>slabBits) >= len(t.addresses) {
		t.addresses = append(t.addresses, make([][16]byte, slabSize))
	}
	t.addresses[slot>>slabBits][slot&(slabSize-1)] = addr.As16()
}

// takeAddress forgets the address of a session and returns it, the zero Addr if
// there is none.
func (t *table) takeAddress(slot uint32) netip.Addr {
	if int(slot>>slabBits) >= len(t.addresses) {
		return netip.Addr{}
	}
	key := &t.addresses[slot>>slabBits][slot&(slabSize-1)]
	if *key == ([16]byte{}) {
		return netip.Addr{}
	}
	addr := netip.AddrFrom16(*key).Unmap()
	*key = [16]byte{}
	return addr
}

// walkSlabs is how many slabs of sessions one task of a walk looks at.
const walkSlabs = 8

// tableWalk visits the sessions of a loop, some slabs at a time, so that no turn is held
// up by it. It implements loop.Task.
type tableWalk struct {
	a     *Agent
	place loop.Walk
	visit func(slot uint32, s *session) // with the stream in hand
	done  func()                        // behind the last one; may be nil
}

// Run implements loop.Task.
func (t *tableWalk) Run(l *loop.Loop) {
	all := len(t.a.table.slabs) << slabBits
	end := min(t.place.Step()+1+walkSlabs<<slabBits, all)
	l.Walk(&t.place, func() {
		for t.place.Next(end) {
			slot := uint32(t.place.Step())
			if s := t.a.table.at(slot); s.used {
				l.Hand(slot)
				t.visit(slot, s)
			}
		}
	})
	switch {
	case end < all:
		l.Post(t)
	case t.done != nil:
		t.done()
	}
}
