//go:build linux

package main

import "math"

// tally counts what became of messages. lost falls again when a message that
// was counted as missing arrives late.
type tally struct {
	fresh, lost, duplicated, reordered int64
}

func (t *tally) add(o tally) {
	t.fresh += o.fresh
	t.lost += o.lost
	t.duplicated += o.duplicated
	t.reordered += o.reordered
}

// sequence follows the numbers of one publisher on one stream. It remembers
// which of the last 64 arrived, which is enough to tell a late message from a
// repeated one within a window far wider than a publisher's in-flight depth.
type sequence struct {
	next uint32
	seen uint64 // bit i: next-1-i arrived
}

// startSequence returns a sequence that expects next, with nothing missing.
func startSequence(next uint32) sequence {
	return sequence{next: next, seen: math.MaxUint64}
}

// arrive counts message seq and reports whether it is the first of its number.
func (s *sequence) arrive(seq uint32, t *tally) bool {
	if seq >= s.next {
		t.lost += int64(seq - s.next)
		s.shift(seq - s.next)
		s.shift(1)
		s.seen |= 1
		t.fresh++
		return true
	}
	back := s.next - 1 - seq
	if back >= 64 || s.seen&(1<<back) != 0 {
		t.duplicated++
		return false
	}
	s.seen |= 1 << back
	t.lost--
	t.reordered++
	t.fresh++
	return true
}

// settle counts as lost what was sent (numbers below sent) and has not come.
func (s *sequence) settle(sent uint32, t *tally) {
	if sent <= s.next {
		return
	}
	t.lost += int64(sent - s.next)
	s.shift(sent - s.next)
}

func (s *sequence) shift(n uint32) {
	s.next += n
	if n >= 64 {
		s.seen = 0
		return
	}
	s.seen <<= n
}
