package console

import (
	"math"
	"net/netip"
	"sync"
	"time"

	"sluice/gateway/front/client"
)

const (
	// ownBurst tries of a password are free for an address (IPv6: one /64), and one more
	// every ownPeriod.
	ownBurst  = 5
	ownPeriod = 20 * time.Second
	// allBurst and allPeriod are the same for all addresses together: whoever has many of
	// them tries no more passwords than that.
	allBurst  = 60
	allPeriod = 2 * time.Second
	// knownMost addresses from which an admin logged in before count among themselves, and
	// not among all: a flood of others does not keep them out.
	knownMost = 256
)

// throttle bounds how often passwords can be tried. It asks nothing of those who are logged
// in. Any goroutine.
type throttle struct {
	// Immutable after init.
	clock func() time.Duration // since some beginning; monotonic

	// Guarded by mu.
	mu    sync.Mutex
	all   bucket                       // of those that are not known
	some  bucket                       // of those that are
	own   map[client.Key]bucket        // of addresses with tries that have yet to be forgotten
	known map[client.Key]time.Duration // when an admin logged in from there last
}

// bucket is when all tries of somebody will be forgotten; a try lets it be a period later.
type bucket time.Duration

// wait returns how long until there is room for one more try; 0: there is.
func (b bucket) wait(now time.Duration, burst int, period time.Duration) time.Duration {
	return max(time.Duration(b)-now-time.Duration(burst-1)*period, 0)
}

func (b bucket) add(now, period time.Duration) bucket { return max(b, bucket(now)) + bucket(period) }

func (t *throttle) init(clock func() time.Duration) {
	t.clock, t.own, t.known = clock, make(map[client.Key]bucket), make(map[client.Key]time.Duration)
}

// try counts a try of an address before anything is compared, so that tries at the same
// time are counted as well. wait is how long until one is allowed; 0: this one is.
func (t *throttle) try(from netip.Addr) (wait time.Duration) {
	key := client.KeyOf(from)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock()
	_, known := t.known[key]
	together := t.together(known)
	wait = max(t.own[key].wait(now, ownBurst, ownPeriod), together.wait(now, allBurst, allPeriod))
	if wait > 0 {
		return wait
	}
	t.sweep(now)
	t.own[key] = t.own[key].add(now, ownPeriod)
	*together = together.add(now, allPeriod)
	return 0
}

// together returns the bucket of all addresses like one that is known, or is not. Caller
// holds mu.
func (t *throttle) together(known bool) *bucket {
	if known {
		return &t.some
	}
	return &t.all
}

// sweep forgets those whose tries are long ago. Why that bounds the table: all together have
// so few tries within the time that an address is remembered. Caller holds mu.
func (t *throttle) sweep(now time.Duration) {
	for key, b := range t.own {
		if b <= bucket(now) {
			delete(t.own, key)
		}
	}
}

// passed takes back the try of somebody who had the right password. His address is known from
// then on if that was the one of admins: whoever has the other one may be who tries.
func (t *throttle) passed(from netip.Addr, admin bool) {
	key := client.KeyOf(from)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock()
	if b, ok := t.own[key]; ok {
		t.own[key] = b - bucket(ownPeriod)
	}
	_, known := t.known[key]
	*t.together(known) -= bucket(allPeriod)
	switch {
	case !admin:
		return
	case !known && len(t.known) >= knownMost:
		t.forgetOldest()
	}
	t.known[key] = now
}

// forgetOldest makes room among the known addresses. Caller holds mu.
func (t *throttle) forgetOldest() {
	var oldest client.Key
	at := time.Duration(math.MaxInt64)
	for key, when := range t.known {
		if when < at {
			oldest, at = key, when
		}
	}
	delete(t.known, oldest)
}

// teller lets one line in a while pass to the log, of what anybody can cause. Any goroutine.
type teller struct {
	// Guarded by mu.
	mu    sync.Mutex
	last  time.Time
	quiet int // that did not pass since
}

// tellEvery is how often one passes.
const tellEvery = 10 * time.Second

// tell reports whether one passes, and how many did not before it.
func (t *teller) tell(now time.Time) (quiet int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.last.IsZero() && now.Sub(t.last) < tellEvery {
		t.quiet++
		return 0, false
	}
	quiet, t.quiet, t.last = t.quiet, 0, now
	return quiet, true
}
