package auth

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/codec"
	"sluice/gateway/testkit"

	"github.com/stretchr/testify/require"
)

// tenants is a key server of many tenants, without a socket, so that time can be
// faked. It answers for those that are listed; what it does about others is told.
type tenants struct {
	sets   sync.Map // path: text of the key set
	others atomic.Int32
	asked  atomic.Int64 // requests for others
	now    atomic.Int64 // requests for others that are not answered yet
	most   atomic.Int64 // the largest now
}

const (
	refuseOthers int32 = iota
	hangForOthers
	serveOthers // an empty key set
)

// RoundTrip implements http.RoundTripper.
func (s *tenants) RoundTrip(r *http.Request) (*http.Response, error) {
	text, ok := s.sets.Load(r.URL.Path)
	f := &fakeServer{}
	if ok {
		f.say(text.(string))
		return f.RoundTrip(r)
	}
	s.asked.Add(1)
	defer s.now.Add(-1)
	for n := s.now.Add(1); ; {
		if most := s.most.Load(); n <= most || s.most.CompareAndSwap(most, n) {
			break
		}
	}
	switch s.others.Load() {
	case hangForOthers:
		<-r.Context().Done()
		return nil, r.Context().Err()
	case serveOthers:
		f.say(`{"keys":[]}`)
	}
	return f.RoundTrip(r)
}

const tenantRegex = `^(?P<t>\w+)$`

// newTenants returns a verifier over the server, to be closed in the bubble.
func newTenants(t *testing.T, s *tenants) *Verifier {
	t.Helper()
	return newVerifierOver(t, s, Options{JWKSPublicEndpoint: "http://keys/{{t}}", IssuerRegex: tenantRegex})
}

func tenantToken(t testing.TB, private ed25519.PrivateKey, tenant string) string {
	t.Helper()
	return edToken(t, private, "k", `{"sub":"1","iss":"`+tenant+`"}`)
}

// inventIssuers has tokens of so many made-up tenants a second looked at for so
// long, and returns what waits for all answers.
func inventIssuers(v *Verifier, perSecond int, life time.Duration) (wait func()) {
	var all sync.WaitGroup
	all.Go(func() {
		for i := range int(life.Seconds() * float64(perSecond)) {
			time.Sleep(time.Second / time.Duration(perSecond))
			all.Go(func() {
				token := segment(`{"alg":"EdDSA","kid":"x"}`) + "." + segment(fmt.Sprintf(`{"iss":"made_up_%d"}`, i)) + ".AAAA"
				_, _ = v.VerifyConnect(token, time.Now())
			})
		}
	})
	return all.Wait
}

// Made-up issuers cost few fetches, few at a time, however many there are; a known
// tenant's tokens stay in the cache, its new keys are found, and a new tenant gets
// in.
func TestMadeUpIssuersHaveOneBudget(t *testing.T) {
	public, private := edPair(t)
	_, rotated := edPair(t)
	const life = 20 * time.Second
	for name, others := range map[string]int32{"refuse": refuseOthers, "hang": hangForOthers, "serve": serveOthers} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &tenants{}
				s.others.Store(others)
				set := testkit.WebKey(t, "k", public)
				s.sets.Store("/good", keySetText(t, set))
				v := newTenants(t, s)
				defer v.Close()
				token := tenantToken(t, private, "good")
				requireIdentity(t, v, token, "1")
				generation := v.source.generation()
				wait := inventIssuers(v, 1000, life)
				time.Sleep(life / 2)

				synctest.Wait() // those of this moment have missed
				misses := v.Stats().CacheMisses.Load()
				_, err := v.VerifyConnect(token, time.Now())
				require.NoError(t, err)
				require.Equal(t, misses, v.Stats().CacheMisses.Load(), "it was in the cache")
				s.sets.Store("/good", keySetText(t, set, testkit.WebKey(t, "new", rotated.Public())))
				requireIdentity(t, v, edToken(t, rotated, "new", `{"sub":"2","iss":"good"}`), "2")

				wait()
				require.Equal(t, generation, v.source.generation(), "nobody's key went away")
				const fetches = freshBurst + int64((life+fetchEvery)/freshEvery) + 1
				require.LessOrEqual(t, s.asked.Load(), fetchAttempts*fetches)
				require.Positive(t, s.asked.Load())
				const atATime = freshBurst + int64(fetchAttempts*fetchTimeout/freshEvery) + 1
				require.LessOrEqual(t, s.most.Load(), atATime)
				require.Equal(t, 1, v.source.(*jwks).sizes()[0])

				time.Sleep(fetchEvery)
				s.sets.Store("/second", keySetText(t, set))
				requireIdentity(t, v, tenantToken(t, private, "second"), "1")
			})
		})
	}
}

// In a flood of made-up issuers a new tenant is told to come back, and gets in.
func TestANewTenantGetsInDuringAFlood(t *testing.T) {
	public, private := edPair(t)
	synctest.Test(t, func(t *testing.T) {
		s := &tenants{}
		s.sets.Store("/good", keySetText(t, testkit.WebKey(t, "k", public)))
		v := newTenants(t, s)
		defer v.Close()
		wait := inventIssuers(v, 50, time.Minute)
		time.Sleep(10 * time.Second)
		began := time.Now()
		_, err := v.VerifyConnect(tenantToken(t, private, "good"), time.Now())
		for ; err != nil; _, err = v.VerifyConnect(tenantToken(t, private, "good"), time.Now()) {
			require.ErrorIs(t, err, codec.DisconnectServerError)
			time.Sleep(37 * time.Millisecond)
		}
		require.Less(t, time.Since(began), 30*time.Second)
		wait()
	})
}

// Tenants that are what they say cost nobody anything: any number of them get in
// at once.
func TestATenantThatBecomesKnownGivesItsFetchBack(t *testing.T) {
	public, private := edPair(t)
	synctest.Test(t, func(t *testing.T) {
		s := &tenants{}
		v := newTenants(t, s)
		defer v.Close()
		began := time.Now()
		for i := range 10 * freshBurst {
			s.sets.Store(fmt.Sprintf("/t%d", i), keySetText(t, testkit.WebKey(t, "k", public)))
			requireIdentity(t, v, tenantToken(t, private, fmt.Sprint("t", i)), "1")
		}
		require.Zero(t, time.Since(began))
	})
}

// sizes returns how many known and fresh endpoints there are.
func (j *keyStore) sizes() [2]int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return [2]int{len(j.endpoints), len(j.fresh)}
}

// The number of endpoints is bounded. What strangers made up goes first and takes
// nobody's place; when a known one is forgotten, so are its tokens.
func TestNumberOfEndpointsIsBounded(t *testing.T) {
	v := newKeyedVerifier(t, "http://127.0.0.1:1/{{t}}", func(o *Options) { o.IssuerRegex = `^(?P<t>.*)$` })
	j := v.source.(*jwks)
	url := func(name string, i int) string { return fmt.Sprintf("http://127.0.0.1:1/%s%d", name, i) }
	for i := range maxEndpoints {
		j.makeKnown(j.endpoint(url("known", i)))
	}
	waited := j.endpoint("http://127.0.0.1:1/waited")
	_, leave := j.admit(waited, true, time.Now())
	require.NotNil(t, leave)
	hot := j.endpoint("http://127.0.0.1:1/hot")
	for i := range 2 * maxEndpoints {
		j.endpoint(url("made-up", i))
		require.Same(t, hot, j.endpoint("http://127.0.0.1:1/hot"))
	}
	require.Equal(t, [2]int{maxEndpoints, maxFresh}, j.sizes())
	require.Same(t, waited, j.endpoint("http://127.0.0.1:1/waited"), "a token waits for it")
	require.Zero(t, j.generation(), "no token was verified by what was forgotten")
	leave()

	j.makeKnown(hot)
	require.Equal(t, [2]int{maxEndpoints, maxFresh - 1}, j.sizes())
	require.Equal(t, uint64(1), j.generation(), "tokens of a forgotten endpoint must not stay verified")
	require.Same(t, hot, j.endpoint("http://127.0.0.1:1/hot"))
}

// A token that was verified by an endpoint that was forgotten meanwhile does not
// stay so: nobody would notice when the key is withdrawn.
func TestATokenOfAForgottenEndpointIsNotRemembered(t *testing.T) {
	public, private := edPair(t)
	s := newKeyServer(t)
	v := newKeyedVerifier(t, s.URL+"/{{t}}", func(o *Options) { o.IssuerRegex = tenantRegex })
	j := v.source.(*jwks)
	text := keySetText(t, testkit.WebKey(t, "k", public))
	s.do(func(w http.ResponseWriter, _ *http.Request) {
		j.dropFresh(time.Now(), true) // as a reload does
		_, _ = w.Write([]byte(text))
	})
	token := tenantToken(t, private, "good")
	requireIdentity(t, v, token, "1")
	requireIdentity(t, v, token, "1")
	require.Equal(t, int64(2), s.asked.Load())
	require.Zero(t, v.Stats().CacheHits.Load())
}

// Servers of made-up issuers that hang do not hold up what a reload is for.
func TestAReloadIsNotHeldUpByMadeUpIssuers(t *testing.T) {
	public, private := edPair(t)
	synctest.Test(t, func(t *testing.T) {
		s := &tenants{}
		s.others.Store(hangForOthers)
		s.sets.Store("/good", keySetText(t, testkit.WebKey(t, "k", public)))
		v := newTenants(t, s)
		token := tenantToken(t, private, "good")
		requireIdentity(t, v, token, "1")
		wait := inventIssuers(v, 1000, 5*time.Second)
		time.Sleep(3 * time.Second)
		requireGoneSoonAfterAReload(t, s, v, token).Close()
		wait()
	})
}

// Nor do those of known tenants, however many of them hang.
func TestAReloadIsNotHeldUpByTenantsThatAreDown(t *testing.T) {
	public, private := edPair(t)
	synctest.Test(t, func(t *testing.T) {
		s := &tenants{}
		s.others.Store(hangForOthers)
		text := keySetText(t, testkit.WebKey(t, "k", public))
		v := newTenants(t, s)
		const down = 200
		for i := range down {
			path := fmt.Sprintf("/t%d", i)
			s.sets.Store(path, text)
			requireIdentity(t, v, tenantToken(t, private, path[1:]), "1")
		}
		s.sets.Store("/good", text)
		token := tenantToken(t, private, "good")
		requireIdentity(t, v, token, "1")
		for i := range down {
			s.sets.Delete(fmt.Sprintf("/t%d", i))
		}
		time.Sleep(refreshMax + time.Minute) // until they are known to be down
		s.most.Store(0)
		s.asked.Store(0)
		next := requireGoneSoonAfterAReload(t, s, v, token)
		defer next.Close()
		time.Sleep(25 * time.Second) // one after the other it would be six minutes
		synctest.Wait()
		require.GreaterOrEqual(t, s.asked.Load(), int64(fetchAttempts*down), "all were asked, side by side")
		require.LessOrEqual(t, s.most.Load(), int64(maxRefreshes))
	})
}

// requireGoneSoonAfterAReload withdraws the key of "good", reloads, and requires
// that its token is refused as soon as a fetch of a server that hangs is over, and
// the next has begun. It closes v and returns what took its place.
func requireGoneSoonAfterAReload(t *testing.T, s *tenants, v *Verifier, token string) *Verifier {
	t.Helper()
	s.sets.Store("/good", keySetText(t))
	next, err := NewVerifier(Options{JWKSPublicEndpoint: "http://keys/{{t}}", IssuerRegex: tenantRegex, InsecureSkipJWKSEndpointSafetyCheck: true, Previous: v})
	require.NoError(t, err)
	v.Close()
	time.Sleep(fetchAttempts*fetchTimeout + time.Millisecond)
	synctest.Wait()
	requireInvalid(t, next, token)
	return next
}

// What was fetched for a tenant that no token has proved goes with a reload.
func TestAReloadForgetsWhatNoTokenHasProved(t *testing.T) {
	public, private := edPair(t)
	_, other := edPair(t)
	synctest.Test(t, func(t *testing.T) {
		s := &tenants{}
		s.sets.Store("/good", keySetText(t, testkit.WebKey(t, "k", public)))
		v := newTenants(t, s)
		requireInvalid(t, v, tenantToken(t, other, "good"))
		requireGoneSoonAfterAReload(t, s, v, tenantToken(t, private, "good")).Close()
	})
}

// Failures of made-up issuers do not fill the log.
func TestMadeUpIssuersAreLoggedOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logBuffer{}
		v := newVerifierOver(t, &tenants{}, Options{JWKSPublicEndpoint: "http://keys/{{t}}", IssuerRegex: tenantRegex, Log: log.logger()})
		inventIssuers(v, 100, retryDown/2)()
		v.Close()
		require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
	})
}

// Those who wait for key sets are counted over all endpoints.
func TestTokensThatWaitAreBoundedOverAllEndpoints(t *testing.T) {
	_, private := edPair(t)
	synctest.Test(t, func(t *testing.T) {
		s := &tenants{}
		s.others.Store(hangForOthers)
		v := newTenants(t, s)
		good, known := edPair(t)
		_, rotated := edPair(t)
		set := testkit.WebKey(t, "k", good)
		s.sets.Store("/good", keySetText(t, set))
		requireIdentity(t, v, tenantToken(t, known, "good"), "1")
		var all sync.WaitGroup
		var refused atomic.Int64
		const tokens = 4 * maxWaitingFresh
		for i := range tokens {
			token := edToken(t, private, fmt.Sprint(i), fmt.Sprintf(`{"iss":"t%d"}`, i%8))
			all.Go(func() {
				if _, err := v.VerifyConnect(token, time.Now()); !errors.Is(err, codec.DisconnectServerError) {
					t.Errorf("%v: no answer expected", err)
				}
				refused.Add(1)
			})
		}
		synctest.Wait()
		require.Equal(t, int64(tokens-maxWaitingFresh), refused.Load(), "more do not wait")
		s.sets.Store("/good", keySetText(t, set, testkit.WebKey(t, "new", rotated.Public())))
		requireIdentity(t, v, edToken(t, rotated, "new", `{"sub":"2","iss":"good"}`), "2") // it has room of its own
		all.Wait()
		require.Zero(t, v.source.(*jwks).crowd)
		v.Close()
	})
}
