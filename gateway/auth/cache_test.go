package auth

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/testkit"
)

func requireCounts(t *testing.T, v *Verifier, hits, misses uint64) {
	t.Helper()
	require.Equal(t, hits, v.Stats().CacheHits.Load(), "hits")
	require.Equal(t, misses, v.Stats().CacheMisses.Load(), "misses")
}

func TestSecondUseOfATokenComesFromTheCache(t *testing.T) {
	v := newTestVerifier(t, nil)
	token := mint(t, `{"sub":"42"}`)
	first := requireIdentity(t, v, token, "42")
	requireCounts(t, v, 0, 1)
	require.Same(t, first, requireIdentity(t, v, token, "42"))
	requireCounts(t, v, 1, 1)
	requireIdentity(t, v, mint(t, `{"sub":"43"}`), "43")
	requireCounts(t, v, 1, 2)
}

func TestRefusedTokensDoNotEnterTheCache(t *testing.T) {
	v := newTestVerifier(t, func(o *Options) { o.DisallowAnonymousConnectionTokens = true })
	for _, token := range []string{mint(t, `{"sub":"42"}`) + "A", mint(t, `{"channel":"x"}`), mint(t, `{}`), "junk"} {
		for range 2 {
			_, err := v.VerifyConnect(token, now)
			require.Error(t, err)
		}
	}
	requireCounts(t, v, 0, 8)
	require.Equal(t, uint64(8), v.Stats().Refused.Load())
}

func TestCachedTokenEndsAtItsExp(t *testing.T) {
	v := newTestVerifier(t, nil)
	exp := now.Unix() + 10
	token := mint(t, fmt.Sprintf(`{"sub":"42","exp":%d,"expire_at":0}`, exp))
	requireIdentity(t, v, token, "42")
	id, err := v.VerifyConnect(token, time.Unix(exp, 0).Add(-1))
	require.NoError(t, err)
	require.Equal(t, "42", id.User)
	requireError(t, v, token, time.Unix(exp, 0), codec.ErrTokenExpired)
	requireError(t, v, token, time.Unix(exp+1000, 0), codec.ErrTokenExpired)
	requireCounts(t, v, 3, 1) // the end is known from the cache too
	// A clock that was set back.
	requireIdentity(t, v, token, "42")
}

func TestTokenFirstSeenOutOfTimeIsVerifiedAgainWhenInTime(t *testing.T) {
	v := newTestVerifier(t, nil)
	nbf := now.Unix() + 10
	token := mint(t, fmt.Sprintf(`{"sub":"42","nbf":%d,"exp":%d}`, nbf, nbf+10))
	requireError(t, v, token, now, codec.ErrTokenExpired)
	requireError(t, v, token, now.Add(time.Second), codec.ErrTokenExpired)
	requireCounts(t, v, 1, 1)
	id, err := v.VerifyConnect(token, time.Unix(nbf, 0))
	require.NoError(t, err)
	require.Equal(t, "42", id.User)
	requireCounts(t, v, 1, 2)
	requireError(t, v, token, time.Unix(nbf+10, 0), codec.ErrTokenExpired)
	requireError(t, v, token, time.Unix(nbf, 0).Add(-1), codec.ErrTokenExpired)
	requireCounts(t, v, 3, 2)
}

func TestCachedTokenIsVerifiedAgainAfterAnHour(t *testing.T) {
	v := newTestVerifier(t, nil)
	token := mint(t, `{"sub":"42","exp":1e11}`)
	first := requireIdentity(t, v, token, "42").ExpireAt
	id, err := v.VerifyConnect(token, now.Add(maxEntryAge-1))
	require.NoError(t, err)
	require.Equal(t, first, id.ExpireAt)
	requireCounts(t, v, 1, 1)
	id, err = v.VerifyConnect(token, now.Add(maxEntryAge))
	require.NoError(t, err)
	require.Equal(t, first+3600, id.ExpireAt) // a year from now again
	requireCounts(t, v, 1, 2)
}

func TestLongTokensAreNotCached(t *testing.T) {
	v := newTestVerifier(t, nil)
	token := mint(t, fmt.Sprintf(`{"sub":"42","info":"%4000d"}`, 1))
	require.Greater(t, len(token), maxCachedToken)
	requireIdentity(t, v, token, "42")
	requireIdentity(t, v, token, "42")
	requireCounts(t, v, 0, 2)
}

func TestCacheCanBeOff(t *testing.T) {
	v := newTestVerifier(t, func(o *Options) { o.CacheSize = -1 })
	token := mint(t, `{"sub":"42"}`)
	requireIdentity(t, v, token, "42")
	requireIdentity(t, v, token, "42")
	requireCounts(t, v, 0, 2)
}

// changingKeys is a source whose key can be exchanged.
type changingKeys struct {
	// Atomic.
	secret atomic.Pointer[string]
	gen    atomic.Uint64
	err    atomic.Pointer[error]
}

func (k *changingKeys) methods() []string { return []string{"HS256"} }

func (k *changingKeys) keys(*keyQuery, time.Time) ([]jwt.VerificationKey, time.Time, error) {
	if err := k.err.Load(); err != nil {
		return nil, time.Time{}, *err
	}
	return []jwt.VerificationKey{[]byte(*k.secret.Load())}, time.Time{}, nil
}

func (k *changingKeys) generation() uint64 { return k.gen.Load() }

func (k *changingKeys) close() {}

func (k *changingKeys) set(secret string) {
	k.secret.Store(&secret)
	k.gen.Add(1)
}

func TestCachedTokensEndWithTheirKey(t *testing.T) {
	keys := &changingKeys{}
	keys.set(secret)
	v := newVerifier(&Options{}, claimRules{}, keys)
	token := mint(t, `{"sub":"42"}`)
	requireIdentity(t, v, token, "42")
	requireIdentity(t, v, token, "42")
	requireCounts(t, v, 1, 1)
	keys.set("another")
	requireInvalid(t, v, token)
	requireCounts(t, v, 1, 2)
	keys.set(secret)
	requireIdentity(t, v, token, "42")
	requireIdentity(t, v, token, "42")
	requireCounts(t, v, 2, 3)
}

func TestKeySourceDecidesWhatItsFailureMeans(t *testing.T) {
	keys := &changingKeys{}
	v := newVerifier(&Options{}, claimRules{}, keys)
	fail := func(err error) { keys.err.Store(&err) }
	fail(fmt.Errorf("key server: %w", codec.DisconnectServerError))
	requireDisconnect(t, v, mint(t, `{}`), codec.DisconnectServerError)
	fail(fmt.Errorf("no such key"))
	requireInvalid(t, v, mint(t, `{}`))
}

func TestCacheStaysWithinItsSizeAndKeepsWhatIsUsed(t *testing.T) {
	const size = 64
	var evictions atomic.Uint64
	c := newTokenCache(size, &evictions)
	put := func(user string) *entry {
		e := &entry{identity: &Identity{User: user}, exp: never, nbf: always, keysUntil: never, found: sinceBegin(now)}
		c.put(keyOf(user), e)
		return e
	}
	hot := keyOf("hot")
	put("hot")
	for i := range 100 * size {
		_, ok := c.get(hot, 0, now)
		require.True(t, ok, "after %d others", i)
		put(fmt.Sprint(i))
	}
	require.Equal(t, size, c.known.Len())
	for _, key := range c.known.Keys() {
		e, _ := c.known.Peek(key)
		require.Equal(t, key, keyOf(e.identity.User))
	}
	require.Equal(t, uint64(100*size+1-size), evictions.Load())
	again := put("hot")
	e, ok := c.get(hot, 0, now)
	require.True(t, ok)
	require.Same(t, again, e)
	require.Equal(t, uint64(100*size+1-size), evictions.Load())
}

func TestDatesFarAwayAndFractions(t *testing.T) {
	f := func(claims string, at time.Time, good bool) {
		t.Helper()
		v := newTestVerifier(t, nil)
		token := mint(t, claims)
		defer func() { require.EqualValues(t, 1, v.Stats().CacheHits.Load(), "%s at %v", claims, at) }()
		for range 2 {
			_, err := v.VerifyConnect(token, at)
			if good {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, codec.ErrTokenExpired)
			}
		}
	}
	year9999 := time.Unix(farFuture, 0)
	f(`{"exp":1e300}`, now, true)
	f(`{"exp":1e300,"expire_at":0}`, year9999.Add(-1), true)
	f(`{"exp":1e300,"expire_at":0}`, year9999, false)
	f(`{"nbf":1e300}`, now, false)
	f(`{"exp":0}`, now, false)
	f(`{"exp":-1e300}`, now, false)
	f(`{"nbf":0}`, now, true)
	f(`{"nbf":-1e300}`, now, true)
	f(`{}`, time.Unix(-1e9, 0), true) // a clock that was never set
	f(`{"exp":1900000000.5,"expire_at":0}`, time.Unix(1900000000, 5e8).Add(-1), true)
	f(`{"exp":1900000000.5,"expire_at":0}`, time.Unix(1900000000, 5e8), false)
	f(`{"nbf":1900000000.5}`, time.Unix(1900000000, 5e8).Add(-1), false)
	f(`{"nbf":1900000000.5}`, time.Unix(1900000000, 5e8), true)
}

func TestWhatATokenTakesInTheCache(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(entry{}), uintptr(48), "a size class of the allocator; it decides what an idle stream takes")
	require.LessOrEqual(t, unsafe.Sizeof(Identity{}), uintptr(80))
}

func TestVerifierServesManyGoroutines(t *testing.T) {
	keys := &changingKeys{}
	keys.set(secret)
	v := newVerifier(&Options{CacheSize: 32}, claimRules{}, keys)
	tokens := make([]string, 100)
	for i := range tokens {
		tokens[i] = mint(t, fmt.Sprintf(`{"sub":"%d","channels":["a"]}`, i))
	}
	const workers, rounds = 8, 300
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				n := (w*31 + i*7) % len(tokens)
				id, err := v.VerifyConnect(tokens[n], now)
				if err != nil || id.User != fmt.Sprint(n) {
					t.Errorf("token %d: %+v, %v", n, id, err)
				}
				if i%50 == 0 {
					keys.set(secret)
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, uint64(workers*rounds), v.Stats().CacheHits.Load()+v.Stats().CacheMisses.Load())
}

// gatedKeys is a source that holds up whoever asks for keys.
type gatedKeys struct {
	changingKeys
	asked atomic.Int64
	gate  chan struct{}
}

func (k *gatedKeys) keys(q *keyQuery, now time.Time) ([]jwt.VerificationKey, time.Time, error) {
	k.asked.Add(1)
	<-k.gate
	return k.changingKeys.keys(q, now)
}

func TestVerificationThatBeganWithOldKeysCountsForNobodyElse(t *testing.T) {
	keys := &gatedKeys{gate: make(chan struct{})}
	keys.set(secret)
	v := newVerifier(&Options{}, claimRules{}, keys)
	token := mint(t, `{"sub":"42"}`)
	var all sync.WaitGroup
	verify := func() {
		if id, err := v.VerifyConnect(token, now); err != nil || id.User != "42" {
			t.Errorf("%+v, %v", id, err)
		}
	}
	all.Go(verify)
	testkit.Eventually(t, func() bool { return keys.asked.Load() == 1 }, "the first verification to begin")
	keys.set(secret) // the keys changed meanwhile
	all.Go(verify)
	close(keys.gate)
	all.Wait()
	require.Equal(t, int64(2), keys.asked.Load())
	requireCounts(t, v, 0, 2)
}

func TestRefusalIsSharedByThoseWhoWaitForIt(t *testing.T) {
	keys := &gatedKeys{gate: make(chan struct{})}
	keys.set("another")
	v := newVerifier(&Options{}, claimRules{}, keys)
	token := mint(t, `{"sub":"42"}`)
	const n = 20
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if _, err := v.VerifyConnect(token, now); !errors.Is(err, codec.DisconnectInvalidToken) {
				t.Error(err)
			}
		})
	}
	testkit.Eventually(t, func() bool { return keys.asked.Load() == 1 }, "the verification to begin")
	close(keys.gate)
	all.Wait()
	require.Equal(t, uint64(n), v.Stats().Refused.Load())
	require.Equal(t, uint64(n), v.Stats().CacheHits.Load()+v.Stats().CacheMisses.Load())
}

// panickingKeys is a source with a bug.
type panickingKeys struct{ changingKeys }

func (k *panickingKeys) keys(q *keyQuery, now time.Time) ([]jwt.VerificationKey, time.Time, error) {
	if k.gen.Load() == 1 {
		panic("a bug of the test")
	}
	return k.changingKeys.keys(q, now)
}

func TestPanicInAVerificationHoldsNobodyUp(t *testing.T) {
	keys := &panickingKeys{}
	keys.set(secret)
	v := newVerifier(&Options{}, claimRules{}, keys)
	token := mint(t, `{"sub":"42"}`)
	require.Panics(t, func() { _, _ = v.VerifyConnect(token, now) })
	keys.set(secret)
	requireIdentity(t, v, token, "42")
	require.Empty(t, v.cache.looks)
}

// A verifier that takes the place of another goes on counting where that one
// was; its cache begins empty.
func TestCountersAreTakenOver(t *testing.T) {
	old := newTestVerifier(t, nil)
	_, err := old.VerifyConnect("a.b.c", time.Now())
	require.Error(t, err)
	next := newTestVerifier(t, func(o *Options) { o.Previous = old })
	require.EqualValues(t, 1, next.Stats().Refused.Load())
	_, err = next.VerifyConnect("a.b.c", time.Now())
	require.Error(t, err)
	require.EqualValues(t, 2, next.Stats().Refused.Load())
	require.Zero(t, next.Cached())
}
