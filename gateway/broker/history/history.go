// Package history is the list of a channel's last publications and the
// position that outlives it: the arithmetic that engines within the process
// share. It knows no clock and no lock; the owner of a [Stream] brings both.
package history

import (
	"crypto/rand"

	"sluice/codec"
	"sluice/gateway/broker"
)

// Stream is one channel's history. It starts at offset 0 with [New]; the first
// publication gets 1 (PROTOCOL 6.1).
type Stream struct {
	Epoch string
	Top   uint64 // offset of the last publication, kept or not
	// guard is nil while nobody has published with a version.
	guard *guard
	// ring holds the last publications: count of them from first on.
	ring         []*codec.Publication
	first, count int
}

// guard is what versions of publishers are compared with (PROTOCOL 6.1).
type guard struct {
	version uint64
	epoch   string
}

// New returns an empty stream with an epoch of its own.
func New() *Stream { return &Stream{Epoch: NewEpoch()} }

const (
	epochLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	// EpochLen is how many bytes every epoch has.
	EpochLen = 8
)

// NewEpoch returns eight random letters.
func NewEpoch() string {
	var b [EpochLen]byte
	for i := 0; i < EpochLen; {
		var r [16]byte
		_, _ = rand.Read(r[:]) // never fails (crypto/rand)
		for _, v := range r {
			// 208 is the largest multiple of 52 that fits a byte.
			if v < 208 && i < EpochLen {
				b[i] = epochLetters[v%52]
				i++
			}
		}
	}
	return string(b[:])
}

// Stale reports whether a publication of this version must be dropped, because
// the stream has seen it or a later one. An unversioned publication never is,
// and leaves the guard as it is (PROTOCOL 12.25).
func (s *Stream) Stale(version uint64, epoch string) bool {
	return version != 0 && s.guard != nil && s.guard.version >= version && (epoch == "" || epoch == s.guard.epoch)
}

// Append gives p the next offset and keeps it as the newest of at most size
// publications. prev is the newest before it, nil if none is kept.
func (s *Stream) Append(p *codec.Publication, versionEpoch string, size int) (prev *codec.Publication) {
	prev = s.Last()
	if p.Version != 0 {
		s.guard = &guard{p.Version, versionEpoch}
	}
	s.Top++
	p.Offset, p.Epoch = s.Top, s.Epoch
	for s.count >= size {
		s.dropOldest()
	}
	if s.count == len(s.ring) {
		s.grow(size)
	}
	s.ring[(s.first+s.count)%len(s.ring)] = p
	s.count++
	return prev
}

func (s *Stream) dropOldest() {
	s.ring[s.first] = nil
	s.first = (s.first + 1) % len(s.ring)
	s.count--
}

// Len returns how many publications are kept.
func (s *Stream) Len() int { return s.count }

// DropOldest forgets the oldest publication, of one or more, and returns it.
func (s *Stream) DropOldest() *codec.Publication {
	p := s.at(0)
	s.dropOldest()
	return p
}

// grow makes room for one more: rarely used channels stay small, whatever the
// configured size.
func (s *Stream) grow(size int) {
	n := min(max(2*len(s.ring), 1), size)
	ring := make([]*codec.Publication, max(n, s.count+1))
	for i := range s.count {
		ring[i] = s.at(i)
	}
	s.ring, s.first = ring, 0
}

// at returns the i-th oldest publication kept.
func (s *Stream) at(i int) *codec.Publication { return s.ring[(s.first+i)%len(s.ring)] }

// Last returns the newest publication kept, nil if there is none.
func (s *Stream) Last() *codec.Publication {
	if s.count == 0 {
		return nil
	}
	return s.at(s.count - 1)
}

// Clear forgets the publications; position and epoch stay.
func (s *Stream) Clear() { s.ring, s.first, s.count = nil, 0, 0 }

// Position returns the top.
func (s *Stream) Position() broker.Position { return broker.Position{Offset: s.Top, Epoch: s.Epoch} }

// Query returns the publications that q asks for, in a slice of the caller's.
func (s *Stream) Query(q broker.HistoryQuery) []*codec.Publication {
	if q.Limit == 0 || s.count == 0 {
		return nil
	}
	lo, hi := 0, s.count // the answer is at(lo) … at(hi-1)
	oldest := s.at(0).Offset
	if q.Set && q.Reverse {
		if q.Since <= oldest {
			return nil
		}
		hi = int(min(uint64(s.count), q.Since-oldest))
	} else if q.Set && q.Since >= oldest {
		lo = int(min(q.Since-oldest+1, uint64(s.count)))
	}
	n := hi - lo
	if q.Limit > 0 {
		n = min(n, q.Limit)
	}
	if n <= 0 {
		return nil
	}
	out := make([]*codec.Publication, n)
	for i := range out {
		if q.Reverse {
			out[i] = s.at(hi - 1 - i)
		} else {
			out[i] = s.at(lo + i)
		}
	}
	return out
}
