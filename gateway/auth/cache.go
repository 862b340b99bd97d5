package auth

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
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

// entry is what a verification found, apart from the time of day.
type entry struct {
	// Immutable after put.
	identity   *Identity // nil: the token was out of time, nothing more is known
	exp, nbf   time.Time // of the token, wall time, zero if absent
	keysUntil  time.Time // wall time: the keys are good until here, zero for ever
	until      time.Time // on the monotonic clock: verify again from here on
	generation uint64    // of the keys
}

func (e *entry) inTime(now time.Time) bool {
	return (e.exp.IsZero() || now.Before(e.exp)) && !now.Before(e.nbf)
}

// usable reports whether the entry can answer for the token now. What is a date
// is compared with the wall clock and the age with the monotonic one: a step must
// neither keep a key in use nor an answer too old.
func (e *entry) usable(generation uint64, now time.Time) bool {
	return e.generation == generation && now.Before(e.until) &&
		(e.keysUntil.IsZero() || now.Before(e.keysUntil)) && (e.identity != nil || !e.inTime(now))
}

// judge answers for a usable entry.
func (e *entry) judge(now time.Time) (*Identity, error) {
	if !e.inTime(now) {
		return nil, errNotInTime
	}
	if at := e.identity.ExpireAt; at > 0 && at < now.Unix() {
		return nil, errExpired
	}
	return e.identity, nil
}

// digest stands for a secret text without keeping it.
type digest [sha256.Size]byte

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
	index map[digest]int32 // to slots
	slots []cacheSlot
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

type cacheSlot struct {
	key   digest
	entry *entry
	used  bool
}

// newTokenCache returns a cache of size tokens, rounded up to full shards, that
// counts what it forgets.
func newTokenCache(size int, evictions *atomic.Uint64) *tokenCache {
	c := &tokenCache{}
	for i := range c.shards {
		s := &c.shards[i]
		s.size = (size + cacheShards - 1) / cacheShards
		s.evictions = evictions
		s.index = make(map[digest]int32)
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
	i, ok := s.index[key]
	if !ok || !s.slots[i].entry.usable(generation, now) {
		return nil, false
	}
	s.slots[i].used = true
	return s.slots[i].entry, true
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
	if i, ok := s.index[key]; ok && s.slots[i].entry.usable(generation, now) {
		return s.slots[i].entry, nil, false
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

// put remembers a token, in place of what was known of it.
func (c *tokenCache) put(key digest, e *entry) {
	s := c.shard(&key)
	s.mu.Lock()
	defer s.mu.Unlock()
	i, known := s.index[key]
	switch {
	case known:
		s.slots[i].entry = e
		return
	case len(s.slots) < s.size:
		i = int32(len(s.slots))
		s.slots = append(s.slots, cacheSlot{})
	default:
		i = s.free()
	}
	s.slots[i] = cacheSlot{key: key, entry: e}
	s.index[key] = i
}

// free makes room in a full ring and returns the slot. Caller holds mu.
func (s *cacheShard) free() int32 {
	for {
		i := s.hand
		s.hand = (s.hand + 1) % len(s.slots)
		if slot := &s.slots[i]; !slot.used {
			delete(s.index, slot.key)
			s.evictions.Add(1)
			return int32(i)
		}
		s.slots[i].used = false
	}
}
