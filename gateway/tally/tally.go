// Package tally counts durations into fixed buckets. It exists so that what is
// measured need not know who reads it: a package keeps a tally among its plain
// counters, and only package metrics makes a histogram of it.
//
// [Durations] has one owner, which copies it for others; [Shared] may be added
// to by any goroutine. Neither allocates.
package tally

import (
	"sync/atomic"
	"time"
)

// bounds are the upper ends of the buckets but the last, which has none.
var bounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

const buckets = len(bounds) + 1

// Bounds returns the upper ends of the buckets, but for the last one, which
// holds everything longer.
func Bounds() []time.Duration { return bounds[:] }

// bucket returns the index of the bucket that d falls into.
func bucket(d time.Duration) int {
	for i, b := range bounds {
		if d <= b {
			return i
		}
	}
	return len(bounds)
}

// Durations counts durations by size. The zero value is empty. It belongs to
// one goroutine at a time and is copied by assignment.
type Durations struct {
	counts [buckets]uint64
	sum    time.Duration
}

// Add counts d; a negative one counts as 0.
func (t *Durations) Add(d time.Duration) {
	d = max(d, 0)
	t.counts[bucket(d)]++
	t.sum += d
}

// Merge adds what other has counted.
func (t *Durations) Merge(other *Durations) {
	for i, n := range other.counts {
		t.counts[i] += n
	}
	t.sum += other.sum
}

// Count returns how many durations were added.
func (t *Durations) Count() (n uint64) {
	for _, c := range t.counts {
		n += c
	}
	return n
}

// Sum returns the sum of the durations.
func (t *Durations) Sum() time.Duration { return t.sum }

// UpTo returns how many durations were not longer than bound i of [Bounds].
func (t *Durations) UpTo(i int) (n uint64) {
	for _, c := range t.counts[:i+1] {
		n += c
	}
	return n
}

// Since returns what was counted after before, which is an earlier copy.
func (t *Durations) Since(before *Durations) (d Durations) {
	for i, n := range t.counts {
		d.counts[i] = n - min(n, before.counts[i])
	}
	d.sum = t.sum - before.sum
	return d
}

// Quantile returns the duration that a share q of all, of 0 to 1, is not longer than: within
// the bucket that it falls into as if all were spread evenly, and at the most the end of the
// last but one. ok is false if nothing was counted.
func (t *Durations) Quantile(q float64) (d time.Duration, ok bool) {
	all := t.Count()
	if all == 0 {
		return 0, false
	}
	rank, below := q*float64(all), 0.0
	for i, n := range t.counts[:len(bounds)] {
		if here := float64(n); n > 0 && below+here >= rank {
			low := time.Duration(0)
			if i > 0 {
				low = bounds[i-1]
			}
			return low + time.Duration(float64(bounds[i]-low)*max(rank-below, 0)/here), true
		}
		below += float64(n)
	}
	return bounds[len(bounds)-1], true
}

// Shared is a tally for any goroutine. The zero value is empty.
type Shared struct {
	// Atomic.
	counts [buckets]atomic.Uint64
	sum    atomic.Int64
}

// Add counts d; a negative one counts as 0. Any goroutine.
func (t *Shared) Add(d time.Duration) {
	d = max(d, 0)
	t.counts[bucket(d)].Add(1)
	t.sum.Add(int64(d))
}

// Read returns what was counted so far. Calls of Add under way may be in the
// sum and not in the counts, or the other way round. Any goroutine.
func (t *Shared) Read() Durations {
	var d Durations
	for i := range t.counts {
		d.counts[i] = t.counts[i].Load()
	}
	d.sum = time.Duration(t.sum.Load())
	return d
}
