package sse

import (
	"math/rand/v2"
	"sync"
	"time"

	"sluice/codec"
)

// delays says when clients that were turned away shall come back, so that those
// which were turned away together do not come back together.
//
// With a rate of connects each gets a slot in a queue that nobody stands in: the
// slots are as far apart as the rate wants, so whoever comes back when told finds
// room. Without one nobody knows how many there will be room for; then the delay
// is drawn at random, from a range that grows with how many were turned away
// within the last second.
type delays struct {
	// Immutable after newDelays.
	interval, jitter time.Duration // between two slots, 0 without a rate; of each
	low, high, limit time.Duration

	// Guarded by mu.
	mu      sync.Mutex
	last    time.Time // the latest slot that was given away
	second  time.Time // when the second that is counted began
	counted int       // turned away in it
	before  int       // turned away in the second before it
}

const (
	// lowDelay and highDelay are the range where streams are told none
	// (uni_sse.retry: 0).
	lowDelay, highDelay = time.Second, 5 * time.Second
	// widening is how much the range of random delays grows for each client
	// turned away within a second: so many of them come back at 100 a
	// second or less, whatever their number.
	widening = 10 * time.Millisecond
)

// newDelays makes delays for so many connects per second, 0 for no limit. low and
// high are what streams are told (uni_sse.retry), limit the longest delay.
func newDelays(perSecond int, low, high, limit time.Duration) *delays {
	d := &delays{low: low, high: high, limit: max(limit, time.Second)}
	if high <= 0 {
		d.low, d.high = lowDelay, highDelay
	}
	d.low, d.high = min(d.low, d.limit), min(d.high, d.limit)
	if perSecond > 0 {
		// A little slower than the rate, so that clients which are a little
		// early find room, and newcomers do too.
		exact := time.Second / time.Duration(perSecond)
		d.interval, d.jitter = exact+exact/20, exact/25
	}
	return d
}

// slot returns the delay for a client that is over a limit of the node. Any
// goroutine.
func (d *delays) slot(now time.Time) time.Duration {
	if d.interval <= 0 {
		return d.random(now)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	next := now.Add(d.low)
	if after := d.last.Add(d.interval); after.After(next) {
		next = after
	}
	wait := next.Sub(now)
	if wait > d.limit {
		// The queue is longer than the longest delay: its end is out of
		// reach, so these come back to be told again.
		return d.limit/2 + rand.N(d.limit/2+1)
	}
	d.last = next
	return min(wait+rand.N(d.jitter+1), d.limit)
}

// random returns the delay for a client that is over a limit of its own: it must
// not cost the others a slot. Any goroutine.
func (d *delays) random(now time.Time) time.Duration {
	high := min(max(d.high, d.low+time.Duration(d.count(now))*widening), d.limit)
	return d.low + rand.N(max(high-d.low, 0)+1)
}

// count adds one to those turned away, and returns how many they were within
// about the last second.
func (d *delays) count(now time.Time) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch since := now.Sub(d.second); {
	case since >= 2*time.Second:
		d.second, d.counted, d.before = now, 0, 0
	case since >= time.Second:
		d.second, d.counted, d.before = now, 0, d.counted
	}
	d.counted++
	return max(d.counted, d.before)
}

// retryLine appends the line that tells an EventSource how long to wait before
// it comes back: another time for each stream, so that those which were cut
// together do not come back together.
func (s *Server) retryLine(dst []byte) []byte {
	lo, hi := s.opt.RetryMin.Milliseconds(), s.opt.RetryMax.Milliseconds()
	if hi <= 0 {
		return nil
	}
	if hi > lo {
		lo += rand.Int64N(hi - lo + 1)
	}
	return codec.AppendRetry(dst, time.Duration(lo)*time.Millisecond)
}
