package auth

import (
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// maxCachedToken bounds what a cached token can cost: an identity is not
// larger than the token it came from, give or take its structs.
const maxCachedToken = 4 << 10

// tokenKey is what a token is remembered by. Why half of its digest: a cache has
// one for each stream or so, twice, and what an attacker would need is a second
// text with the same 128 bits as that of a token that is good.
type tokenKey [16]byte

func keyOf(token string) tokenKey {
	d := digestOf(token)
	return tokenKey(d[:])
}

// tokenCache remembers a bounded number of tokens. Tokens get in only after
// their signature was found right, so a stranger cannot push others out.
type tokenCache struct {
	// Immutable after newTokenCache. known has a lock of its own, which is held for
	// less than a hundredth of what a connect takes.
	known     *lru.Cache[tokenKey, *entry]
	evictions *atomic.Uint64

	// Guarded by mu.
	mu    sync.Mutex
	looks map[tokenKey]*look // tokens that are being verified
}

// look is a verification under way. The goroutine that began it owns entry and
// err until it leaves, which closes done; after that they do not change.
//
// Why not x/sync/singleflight: whoever waits for others must say so first, and may
// be told not to (Waits); Do does not tell beforehand whether it will.
type look struct {
	done  chan struct{} // made by the first who joins, under mu; they need no lock to read it
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

// newTokenCache returns a cache of size tokens, at least one, that counts what it
// forgets to make room.
func newTokenCache(size int, evictions *atomic.Uint64) *tokenCache {
	known, err := lru.New[tokenKey, *entry](size)
	if err != nil {
		panic("BUG: auth: " + err.Error()) // only for a size below one
	}
	return &tokenCache{known: known, evictions: evictions, looks: make(map[tokenKey]*look)}
}

// get returns the entry of a token if there is one that can answer now.
func (c *tokenCache) get(key tokenKey, generation uint64, now time.Time) (*entry, bool) {
	e, ok := c.known.Get(key)
	if !ok || !e.usable(generation, now) {
		return nil, false
	}
	return e, true
}

// join returns the entry of a token, as get; else the verification of it that
// is under way; else one that is the caller's own, who must leave it.
func (c *tokenCache) join(key tokenKey, generation uint64, now time.Time) (e *entry, l *look, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Why once more: a verification puts before it leaves, so that here, under mu,
	// a token is either being verified or known.
	if e, ok := c.get(key, generation, now); ok {
		return e, nil, false
	}
	if l, ok := c.looks[key]; ok {
		if l.done == nil {
			l.done = make(chan struct{})
		}
		return nil, l, false
	}
	l = &look{err: errBrokeOff}
	c.looks[key] = l
	return nil, l, true
}

// leave ends a verification and tells those who joined it.
func (c *tokenCache) leave(key tokenKey, l *look) {
	c.mu.Lock()
	delete(c.looks, key)
	done := l.done // from here on nobody joins
	c.mu.Unlock()
	if done != nil {
		close(done)
	}
}

// put remembers what was found of a token, in place of what was known of it.
func (c *tokenCache) put(key tokenKey, e *entry) {
	if c.known.Add(key, e) {
		c.evictions.Add(1)
	}
}
