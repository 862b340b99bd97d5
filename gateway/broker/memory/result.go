package memory

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"sluice/gateway/broker"
	"sluice/gateway/broker/history"
)

// resultID stands for a channel and an idempotency key. Why a hash: it bounds
// what a result takes however long the two are, and a table without pointers
// costs the garbage collector nothing. 128 bits of SHA-256 do not collide by
// chance, nor by anybody's intention.
type resultID [16]byte

func newResultID(channel, key string) resultID {
	var room [256]byte
	// The length keeps "a"+"bc" and "ab"+"c" apart.
	buf := binary.AppendUvarint(room[:0], uint64(len(channel)))
	buf = append(buf, channel...)
	buf = append(buf, key...)
	sum := sha256.Sum256(buf)
	return resultID(sum[:len(resultID{})])
}

// result is where a publication with an idempotency key went.
type result struct {
	offset uint64
	epoch  [history.EpochLen]byte // zero without history
	due    time.Duration          // on the engine's clock, monotonic
}

// expiring says when a result goes. A key that was used anew stands in the
// queue twice, so each place has a deadline of its own.
type expiring struct {
	id  resultID
	due time.Duration // as in the result, unless that is of a later use
}

// remembered returns the result of a key that counts as used.
func (s *stripe) remembered(id resultID, now time.Duration) (broker.Position, bool) {
	r, ok := s.results.Get(id)
	if !ok || r.due <= now {
		return broker.Position{}, false
	}
	if r.epoch == [history.EpochLen]byte{} {
		return broker.Position{}, true
	}
	return broker.Position{Offset: r.offset, Epoch: string(r.epoch[:])}, true
}

// remember keeps the result of a key. While there are too many in all stripes,
// the oldest of this one go, but never the new one: a stripe without another
// goes above the bound.
func (s *stripe) remember(id resultID, pos broker.Position, now time.Duration) {
	r := result{offset: pos.Offset, due: now + idempotencyTTL}
	copy(r.epoch[:], pos.Epoch)
	if _, again := s.results.Get(id); !again {
		s.e.results.Add(1)
	}
	s.results.Set(id, r)
	s.expiring.Push(expiring{id, r.due})
	for s.e.results.Load() > int64(s.e.opt.ResultsMax) && s.expiring.Front().id != id {
		if s.dropOldestResult() {
			s.e.resultsDropped.Add(1)
		}
	}
}

// forget makes a key count as new. Its place in the queue stays.
func (s *stripe) forget(id resultID) {
	s.results.Delete(id)
	s.e.results.Add(-1)
}

// dropOldestResult takes the first place from the queue and reports whether
// there was a result for it.
func (s *stripe) dropOldestResult() bool {
	at := s.expiring.Pop()
	// Not if the key was used anew, or forgotten.
	if r, ok := s.results.Get(at.id); !ok || r.due != at.due {
		return false
	}
	s.results.Delete(at.id)
	s.e.results.Add(-1)
	return true
}
