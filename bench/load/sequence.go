//go:build linux

package load

import "math"

// Tally counts what became of messages. lost falls again when a message that
// was counted as missing arrives late.
type Tally struct {
	Fresh, Lost, Duplicated, Reordered int64
}

// Add adds what was counted elsewhere.
func (t *Tally) Add(o Tally) {
	t.Fresh += o.Fresh
	t.Lost += o.Lost
	t.Duplicated += o.Duplicated
	t.Reordered += o.Reordered
}

// Sequence follows the numbers of one publisher on one stream. It remembers
// which of the last 64 arrived, which is enough to tell a late message from a
// repeated one within a window far wider than a publisher's in-flight depth.
type Sequence struct {
	next uint32
	seen uint64 // bit i: next-1-i arrived
}

// StartSequence returns a sequence that expects next, with nothing missing.
func StartSequence(next uint32) Sequence {
	return Sequence{next: next, seen: math.MaxUint64}
}

// Arrive counts message seq and reports whether it is the first of its number.
func (s *Sequence) Arrive(seq uint32, t *Tally) bool {
	if seq >= s.next {
		t.Lost += int64(seq - s.next)
		s.shift(seq - s.next)
		s.shift(1)
		s.seen |= 1
		t.Fresh++
		return true
	}
	back := s.next - 1 - seq
	if back >= 64 || s.seen&(1<<back) != 0 {
		t.Duplicated++
		return false
	}
	s.seen |= 1 << back
	t.Lost--
	t.Reordered++
	t.Fresh++
	return true
}

// Settle counts as lost what was sent (numbers below sent) and has not come.
func (s *Sequence) Settle(sent uint32, t *Tally) {
	if sent <= s.next {
		return
	}
	t.Lost += int64(sent - s.next)
	s.shift(sent - s.next)
}

func (s *Sequence) shift(n uint32) {
	s.next += n
	if n >= 64 {
		s.seen = 0
		return
	}
	s.seen <<= n
}
