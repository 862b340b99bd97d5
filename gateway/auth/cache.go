package auth

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"sluice/codec"
)

const (
	cacheShards = 16

	// maxCachedToken bounds what a cached token can cost: an identity is not
	// larger than the token it came from, give or take its structs.
	maxCachedToken = 4 << 10

	// maxEntryAge bounds the age of an answer, so that the year an expiry is
	// capped to is measured from about now.
	maxEntryAge = time.Hour
)

// entry is what a verification found, apart from the time of day. A cache holds
// one for each stream or so: its size counts.
type entry struct {
	// Immutable after put.
	key        digest
	identity   *Identity     // nil: the token was out of time, nothing more is known
	exp, nbf   moment        // of the token
	keysUntil  moment        // the keys are good until here
	found      time.Duration // as sinceBegin: when it was
	generation uint64        // of the keys
}

// moment is a time of day in microseconds since 1970; the extremes stand for always
// and never.
type moment int64

const (
	always moment = math.MinInt64
	never  moment = math.MaxInt64
)

// momentOf returns the moment of t, which is not later than about farFuture, or absent
// for the zero time.
func momentOf(t time.Time, absent moment) moment {
	if t.IsZero() {
		return absent
	}
	return moment(t.UnixMicro())
}

var begin = time.Now()

// sinceBegin returns how long the process has run, on the monotonic clock if now
// has a reading of it.
func sinceBegin(now time.Time) time.Duration { return now.Sub(begin) }

func (e *entry) inTime(now time.Time) bool { return inTime(e.exp, e.nbf, now) }

// inTime reports whether now lies in the time that the claims exp and nbf leave.
func inTime(exp, nbf moment, now time.Time) bool {
	m := moment(now.UnixMicro())
	return nbf <= m && m < exp
}

// errNotInTime says which of the two it is, and since when.
func errNotInTime(exp, nbf moment, now time.Time) error {
	if moment(now.UnixMicro()) < nbf {
		return fmt.Errorf("auth: token: nbf is still to come, at %s: %w", nbf, codec.ErrTokenExpired)
	}
	return fmt.Errorf("auth: token: exp is over since %s: %w", exp, codec.ErrTokenExpired)
}

// String returns the moment for people: to the second, in UTC.
func (m moment) String() string { return time.UnixMicro(int64(m)).UTC().Format(time.RFC3339) }

// usable reports whether the entry can answer for the token now. What is a date
// is compared with the wall clock and the age with the monotonic one: a step must
// neither keep a key in use nor an answer too old.
func (e *entry) usable(generation uint64, now time.Time) bool {
	return e.generation == generation && sinceBegin(now)-e.found < maxEntryAge &&
		moment(now.UnixMicro()) < e.keysUntil && (e.identity != nil || !e.inTime(now))
}

// judge answers for a usable entry.
func (e *entry) judge(now time.Time) (*Identity, error) {
	if !e.inTime(now) {
		return nil, errNotInTime(e.exp, e.nbf, now)
	}
	if at := e.identity.ExpireAt; at > 0 && at < now.Unix() {
		return nil, errExpired
	}
	return e.identity, nil
}

// digest stands for a secret text without keeping it.
type digest [sha256.Size]byte

// short returns a part of the digest that an index can do with: others with the
// same are next to impossible, and harmless where the whole is compared, too.
func (d *digest) short() uint64 { return binary.LittleEndian.Uint64(d[8:]) }

func digestOf(text string) digest {
	// Why: a conversion would copy the text to the heap (TestHotPathsDoNotAllocate);
	// Sum256 only reads it.
	return sha256.Sum256(unsafe.Slice(unsafe.StringData(text), len(text)))
}

// tokenCache remembers a bounded number of tokens. Tokens get in only after
// their signature was found right, so a stranger cannot push others out.
type tokenCache struct {
	shards [cacheShards]cacheShard
}

// cacheShard is a clock: slots in a ring, and a hand that passes over those
// used since it came by last.
type cacheShard struct {
	// Immutable after newTokenCache.
	size      int
	evictions *atomic.Uint64

	// Guarded by mu.
	mu    sync.Mutex
	index map[uint64]int32 // of short digests to slots
	slots []*entry
	used  []bool // of each slot
	hand  int
	looks map[digest]*look // tokens that are being verified
}

// look is a verification under way. The goroutine that began it owns entry and
// err until done is closed; after that they do not change.
type look struct {
	done  chan struct{} // closed by leave
	entry *entry
	err   error
}

// await waits for the verification, unless it may not.
func (l *look) await(waits Waits) error {
	select {
	case <-l.done: // Fast path: over by now.
		return nil
	default:
	}
	if waits != nil {
		if !waits.Begin() {
			return errMayNotWait
		}
		defer waits.End()
	}
	<-l.done
	return nil
}

// newTokenCache returns a cache of size tokens, rounded up to full shards, that
// counts what it forgets.
func newTokenCache(size int, evictions *atomic.Uint64) *tokenCache {
	c := &tokenCache{}
	for i := range c.shards {
		s := &c.shards[i]
		s.size = (size + cacheShards - 1) / cacheShards
		s.evictions = evictions
		s.index = make(map[uint64]int32)
		s.looks = make(map[digest]*look)
	}
	return c
}

func (c *tokenCache) shard(key *digest) *cacheShard { return &c.shards[key[0]%cacheShards] }

// get returns the entry of a token if there is one that can answer now.
func (c *tokenCache) get(key digest, generation uint64, now time.Time) (*entry, bool) {
	s := c.shard(&key)
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.find(&key)
	if !ok || !s.slots[i].usable(generation, now) {
		return nil, false
	}
	s.used[i] = true
	return s.slots[i], true
}

// find returns the slot of a token. Caller holds mu.
func (s *cacheShard) find(key *digest) (i int32, ok bool) {
	i, ok = s.index[key.short()]
	return i, ok && s.slots[i].key == *key
}

// len returns how many tokens are remembered.
func (c *tokenCache) len() (n int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += len(s.index)
		s.mu.Unlock()
	}
	return n
}

// join returns the entry of a token, as get; else the verification of it that
// is under way; else one that is the caller's own, who must leave it.
func (c *tokenCache) join(key digest, generation uint64, now time.Time) (e *entry, l *look, mine bool) {
	s := c.shard(&key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, ok := s.find(&key); ok && s.slots[i].usable(generation, now) {
		return s.slots[i], nil, false
	}
	if l, ok := s.looks[key]; ok {
		return nil, l, false
	}
	l = &look{done: make(chan struct{}), err: errBrokeOff}
	s.looks[key] = l
	return nil, l, true
}

// leave ends a verification and tells those who joined it.
func (c *tokenCache) leave(key digest, l *look) {
	s := c.shard(&key)
	s.mu.Lock()
	delete(s.looks, key)
	s.mu.Unlock()
	close(l.done)
}

// put remembers what was found of e.key, in place of what was known of it.
func (c *tokenCache) put(e *entry) {
	s := c.shard(&e.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	i, known := s.index[e.key.short()]
	switch {
	case known:
		if s.slots[i].key != e.key {
			s.evictions.Add(1)
		}
		s.slots[i] = e
		return
	case len(s.slots) < s.size:
		i = int32(len(s.slots))
		s.slots, s.used = append(s.slots, e), append(s.used, false)
	default:
		i = s.free()
		s.slots[i] = e
	}
	s.index[e.key.short()] = i
}

// free makes room in a full ring and returns the slot. Caller holds mu.
func (s *cacheShard) free() int32 {
	for {
		i := s.hand
		s.hand = (s.hand + 1) % len(s.slots)
		if !s.used[i] {
			delete(s.index, s.slots[i].key.short())
			s.evictions.Add(1)
			return int32(i)
		}
		s.used[i] = false
	}
}
