package client

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"sluice/gateway/shrink"
)

// LimitOptions configure [Limits].
type LimitOptions struct {
	// Streams is how many streams one address may have open; 0 for no limit
	// (client.address_connection_limit).
	Streams int
	// Rate is how many connects one address may make in a second, and at
	// once; 0 for no limit (client.address_connection_rate_limit).
	Rate int
	// MaxAddresses is how many addresses the rate is remembered of,
	// DefaultMaxAddresses if 0. See [Limits].
	MaxAddresses int
}

// DefaultMaxAddresses takes about 9 MiB in a flood.
const DefaultMaxAddresses = 1 << 18

// Limits are the limits of single addresses: open streams, and connects per
// second. Addresses count by [KeyOf]. Make it with [NewLimits]; all methods may
// be called from any goroutine.
//
// Memory is bounded. An address with open streams is never forgotten: it takes
// less than its streams do. Of other addresses only the connects of the last
// second or two are remembered, and only MaxAddresses of them: in a flood from
// more addresses than that, the connects of those that do not fit are not
// limited by rate, and are counted in Stats.Untracked. Why not refused: with so
// many addresses, a limit by address says nothing about any of them, and those
// who had no part in the flood would be locked out.
type Limits struct {
	// Immutable after NewLimits.
	room    int // addresses in a generation of a stripe
	scatter uint64
	now     func() int64 // ns, monotonic

	// Atomic.
	most atomic.Pointer[limitsNow]

	stripes [limitStripes]limitStripe
}

// limitsNow are the limits until the next Set. They are immutable.
type limitsNow struct {
	streams  int
	interval int64 // ns between connects at the rate; 0 for no limit
	ahead    int64 // ns that due may be in the future and a connect still pass
}

const limitStripes = 64

// limitStripe holds a part of the addresses. Connects are remembered in two
// generations: one is filled for a second at least, kept for as long again, and
// then dropped as a whole. By then the allowance of every address in it is full
// again (a burst is one second's worth), so nothing is lost, and no call ever
// sweeps.
type limitStripe struct {
	// Guarded by mu.
	mu        sync.Mutex
	open      shrink.Map[Key, int32] // streams; never 0
	due       map[Key]int64          // since began: when a connect at the rate is due
	before    map[Key]int64          // the generation before
	began     int64                  // ns
	crowded   uint64                 // refused for their open streams
	hasty     uint64                 // refused for their rate
	untracked uint64

	_ [40]byte // keeps stripes on cache lines of their own
}

// generation is how long connects are remembered at the least.
const generation = int64(time.Second)

// reuse is up to how many entries a map is emptied rather than replaced: the
// time that emptying takes is bounded.
const reuse = 256

// NewLimits makes the limits.
func NewLimits(opt LimitOptions) *Limits {
	if opt.MaxAddresses <= 0 {
		opt.MaxAddresses = DefaultMaxAddresses
	}
	start := time.Now()
	l := &Limits{
		scatter: rand.Uint64() | 1,
		room:    max(1, opt.MaxAddresses/(2*limitStripes)),
		now:     func() int64 { return int64(time.Since(start)) },
	}
	l.Set(opt)
	for i := range l.stripes {
		s := &l.stripes[i]
		s.due, s.before = make(map[Key]int64), make(map[Key]int64)
	}
	return l
}

// Set changes the limits; MaxAddresses stays. Streams that are over them stay
// open.
func (l *Limits) Set(opt LimitOptions) {
	most := &limitsNow{streams: opt.Streams}
	if opt.Rate > 0 {
		most.interval = max(1, int64(time.Second)/int64(opt.Rate))
		most.ahead = most.interval * int64(min(opt.Rate-1, int(time.Second)))
	}
	l.most.Store(most)
}

// Active reports whether there is any limit. Without one nobody needs to ask:
// Reserve grants everything, but counts what it granted.
func (l *Limits) Active() bool {
	most := l.most.Load()
	return most.streams > 0 || most.interval > 0
}

// stripe returns where a key is. The multiplier is random, so that nobody can
// choose addresses that meet in one stripe.
func (l *Limits) stripe(k Key) *limitStripe {
	return &l.stripes[uint64(k)*l.scatter>>(64-6)]
}

// Reserve takes a place for a stream of the address and one of the connects
// that it may make, or neither: then it reports false. The place is given back
// by Release.
func (l *Limits) Reserve(a netip.Addr) bool {
	most := l.most.Load()
	k := KeyOf(a)
	s := l.stripe(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	open := s.open.Value(k)
	switch {
	case most.streams > 0 && int(open) >= most.streams:
		s.crowded++
		return false
	case most.interval > 0 && !l.connect(s, k, most):
		s.hasty++
		return false
	}
	s.open.Set(k, open+1) // whatever the limits: they may change while it is open
	return true
}

// connect takes one connect from what the rate allows an address, if there is
// one. Caller holds mu.
//
// What is kept is when the next connect is due at the exact rate: in the past =
// all is allowed, up to one burst in the future = so much of it was used.
func (l *Limits) connect(s *limitStripe, k Key, most *limitsNow) bool {
	now := l.now()
	l.turn(s, now)
	due, known := s.due[k]
	if !known {
		due = s.before[k]
	}
	if due-now > most.ahead {
		return false
	}
	if !known && len(s.due) >= l.room {
		s.untracked++
		return true
	}
	s.due[k] = max(due, now) + most.interval
	return true
}

// turn begins a new generation if it is time. Caller holds mu.
func (l *Limits) turn(s *limitStripe, now int64) {
	age := now - s.began
	if age < generation {
		return
	}
	s.due, s.before, s.began = emptied(s.before), s.due, now
	if age >= 2*generation {
		s.before = emptied(s.before)
	}
}

// emptied returns m without entries, or another map.
func emptied(m map[Key]int64) map[Key]int64 {
	if len(m) > reuse {
		return make(map[Key]int64)
	}
	clear(m)
	return m
}

// Release gives back the place of a stream that ended.
func (l *Limits) Release(a netip.Addr) {
	k := KeyOf(a)
	s := l.stripe(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch n := s.open.Value(k); {
	case n > 1:
		s.open.Set(k, n-1)
	case n == 1:
		s.open.Delete(k)
	default:
		panic("BUG: front: Release without Reserve")
	}
}

// LimitStats are what [Limits] did since the start.
type LimitStats struct {
	TooManyStreams  uint64 // connects refused for LimitOptions.Streams
	TooManyConnects uint64 // connects refused for LimitOptions.Rate
	Untracked       uint64 // connects that the rate was not applied to, see Limits
	Addresses       int    // with open streams, now
	Remembered      int    // addresses whose connects are remembered, now; some twice
}

// Stats returns the counters.
func (l *Limits) Stats() (st LimitStats) {
	for i := range l.stripes {
		s := &l.stripes[i]
		s.mu.Lock()
		st.TooManyStreams += s.crowded
		st.TooManyConnects += s.hasty
		st.Untracked += s.untracked
		st.Addresses += s.open.Len()
		st.Remembered += len(s.due) + len(s.before)
		s.mu.Unlock()
	}
	return st
}
