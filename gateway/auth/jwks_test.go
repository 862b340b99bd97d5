package auth

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/testkit"
)

func TestKeyIDNeverReachesTheKeyServer(t *testing.T) {
	public, private := edPair(t)
	s := newKeyServer(t, testkit.WebKey(t, "k", public))
	v := newKeyedVerifier(t, s.URL+"/keys", nil)
	for _, kid := range []string{"../../etc/passwd", "http://evil.example/k", "k?x=1", "k\x00", "k\r\nHost: evil", strings.Repeat("../", 300)} {
		requireInvalid(t, v, edToken(t, private, kid, `{}`))
	}
	for _, path := range s.requested() {
		require.Equal(t, "/keys", path)
	}
}

func TestNewKeysAreFetchedAndWithdrawnOnesEndTheirTokens(t *testing.T) {
	publicA, privateA := edPair(t)
	publicB, privateB := edPair(t)
	s := newKeyServer(t, testkit.WebKey(t, "a", publicA))
	v := newKeyedVerifier(t, s.URL, nil)
	a, b := edToken(t, privateA, "a", `{"sub":"1"}`), edToken(t, privateB, "b", `{"sub":"2"}`)
	requireIdentity(t, v, a, "1")
	requireIdentity(t, v, a, "1")
	require.Equal(t, uint64(1), v.Stats().CacheHits.Load())
	// Added: nothing ends.
	s.set(t, testkit.WebKey(t, "a", publicA), testkit.WebKey(t, "b", publicB))
	requireIdentity(t, v, b, "2")
	requireIdentity(t, v, a, "1")
	require.Equal(t, uint64(2), v.Stats().CacheHits.Load(), "a key that was added must not empty the cache")
	// Withdrawn: noticed with the next fetch, and what was cached ends.
	s.set(t, testkit.WebKey(t, "b", publicB))
	requireInvalid(t, v, edToken(t, privateA, "c", `{}`))
	requireInvalid(t, v, a)
	requireIdentity(t, v, b, "2")
	// Replaced under the same id.
	s.set(t, testkit.WebKey(t, "b", publicA))
	requireInvalid(t, v, edToken(t, privateA, "d", `{}`))
	requireInvalid(t, v, b)
	requireIdentity(t, v, edToken(t, privateA, "b", `{"sub":"3"}`), "3")
}

func TestMemoryOfUnknownKeyIDsIsBounded(t *testing.T) {
	e := &endpoint{unknown: make(map[digest]time.Time)}
	for i := range 3 * maxUnknown {
		e.remember(digestOf(fmt.Sprint(i)))
	}
	require.LessOrEqual(t, len(e.unknown), maxUnknown)
}

func TestSimultaneousFirstUsesShareOneFetchAndOneVerification(t *testing.T) {
	public, private := edPair(t)
	s := newKeyServer(t)
	text := keySetText(t, testkit.WebKey(t, "k", public))
	release := make(chan struct{})
	s.do(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		_, _ = w.Write([]byte(text))
	})
	v := newKeyedVerifier(t, s.URL, nil)
	token := edToken(t, private, "k", `{"sub":"42"}`)
	const n = 50
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if id, err := v.VerifyConnect(token, now); err != nil || id.User != "42" {
				t.Errorf("%+v, %v", id, err)
			}
		})
	}
	testkit.Eventually(t, func() bool { return v.Stats().CacheMisses.Load() == 1 && s.asked.Load() == 1 }, "the fetch to begin")
	close(release)
	all.Wait()
	require.Equal(t, int64(1), s.asked.Load())
	requireCounts(t, v, n-1, 1)
}

// A fetch that began before a key was published says nothing about that key.
func TestAKeyPublishedDuringAFetchIsFound(t *testing.T) {
	public, private := edPair(t)
	s := newKeyServer(t)
	began, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.do(func(w http.ResponseWriter, _ *http.Request) {
		once.Do(func() { close(began) })
		<-release
		_, _ = w.Write([]byte(`{"keys":[]}`))
	})
	v := newKeyedVerifier(t, s.URL, nil)
	<-began // by the refresher
	s.set(t, testkit.WebKey(t, "k", public))
	verified := make(chan error, 1)
	go func() {
		_, err := v.VerifyConnect(edToken(t, private, "k", `{"sub":"42"}`), now)
		verified <- err
	}()
	testkit.Eventually(t, func() bool { return v.Stats().CacheMisses.Load() == 1 }, "the token to be looked at")
	close(release)
	require.NoError(t, <-verified)
}

func TestClosedVerifierKeepsItsKeysAndHoldsNobody(t *testing.T) {
	testkit.Snapshot(t)
	public, private := edPair(t)
	s := newKeyServer(t, testkit.WebKey(t, "k", public))
	v, err := NewVerifier(Options{JWKSPublicEndpoint: s.URL})
	require.NoError(t, err)
	requireIdentitySoon(t, v, edToken(t, private, "k", `{"sub":"42"}`), "42")
	s.do(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	asked := s.asked.Load()
	waiting := make(chan error)
	go func() {
		_, err := v.VerifyConnect(edToken(t, private, "other", `{}`), now)
		waiting <- err
	}()
	testkit.Eventually(t, func() bool { return s.asked.Load() > asked }, "the fetch to begin")
	v.Close()
	require.ErrorIs(t, <-waiting, codec.DisconnectServerError)
	requireIdentity(t, v, edToken(t, private, "k", `{"sub":"43"}`), "43")
	requireUnavailable(t, v, edToken(t, private, "third", `{}`))
}

func TestReplacedVerifierHandsItsKeysOver(t *testing.T) {
	public, private := edPair(t)
	s := newKeyServer(t, testkit.WebKey(t, "k", public))
	old := newKeyedVerifier(t, s.URL, nil)
	requireIdentity(t, old, edToken(t, private, "k", `{"sub":"1"}`), "1")
	s.say(503, "")
	next := newHastyVerifier(t, s.URL, func(o *Options) { o.Previous = old })
	requireIdentity(t, next, edToken(t, private, "k", `{"sub":"2"}`), "2")
	elsewhere := newHastyVerifier(t, s.URL+"/other", func(o *Options) { o.Previous = old })
	requireUnavailable(t, elsewhere, edToken(t, private, "k", `{"sub":"3"}`))
	require.NotNil(t, newTestVerifier(t, func(o *Options) { o.Previous = old }))
}

// budgetBack lets tokens cause fetches again.
func (e *endpoint) budgetBack() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.budget.tokens = fetchBurst
}
