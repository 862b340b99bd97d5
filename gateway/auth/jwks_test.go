package auth

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/testkit"
)

func TestEveryAlgorithmThroughAKeySet(t *testing.T) {
	p256, p384, p521 := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384()), ecKey(t, elliptic.P521())
	edPublic, edPrivate := edPair(t)
	var keys []map[string]string
	tokens := make(map[string]string)
	f := func(m jwt.SigningMethod, private, public any) {
		t.Helper()
		name := m.Alg()
		keys = append(keys,
			testkit.WebKey(t, name, public),
			with(testkit.WebKey(t, name+" named", public), "alg", name))
		tokens[name] = signKid(t, m, private, name, `{"sub":"42"}`)
		tokens[name+" named"] = signKid(t, m, private, name+" named", `{"sub":"42"}`)
	}
	f(jwt.SigningMethodRS256, rsaKey(), rsaKey().Public())
	f(jwt.SigningMethodRS384, rsaKey(), rsaKey().Public())
	f(jwt.SigningMethodRS512, rsaKey(), rsaKey().Public())
	f(jwt.SigningMethodPS256, rsaKey(), rsaKey().Public())
	f(jwt.SigningMethodPS384, rsaKey(), rsaKey().Public())
	f(jwt.SigningMethodPS512, rsaKey(), rsaKey().Public())
	f(jwt.SigningMethodES256, p256, p256.Public())
	f(jwt.SigningMethodES384, p384, p384.Public())
	f(jwt.SigningMethodES512, p521, p521.Public())
	f(jwt.SigningMethodEdDSA, edPrivate, edPublic)
	s := newKeyServer(t, keys...) // all of them before the first fetch, which begins with the verifier
	v := newKeyedVerifier(t, s.URL, nil)
	for name, token := range tokens {
		t.Run(name, func(t *testing.T) { requireIdentity(t, v, token, "42") })
	}
}

func TestKeysThatAreNotForSignaturesAreSkipped(t *testing.T) {
	public, private := edPair(t)
	key := testkit.WebKey(t, "k", public)
	small := &rsa.PublicKey{N: rsaKey().N, E: 1}
	f := func(name string, listed map[string]string, ok bool) {
		t.Run(name, func(t *testing.T) {
			s := newKeyServer(t, listed)
			v := newKeyedVerifier(t, s.URL, nil)
			token := edToken(t, private, "k", `{"sub":"42"}`)
			if listed["kty"] == "RSA" {
				token = signKid(t, jwt.SigningMethodRS256, rsaKey(), "k", `{"sub":"42"}`)
			}
			if ok {
				requireIdentity(t, v, token, "42")
			} else {
				requireInvalid(t, v, token)
			}
		})
	}
	f("as it should be", key, true)
	f("padded", with(key, "x", key["x"]+"="), true)
	f("no use", with(key, "use", ""), true) // RFC 7517 section 4.2: optional
	f("use enc", with(key, "use", "enc"), false)
	f("USE enc, which does not count", with(key, "USE", "enc"), true)
	f("KTY", with(key, "kty", "", "KTY", "OKP"), false)
	f("no kid", with(key, "kid", ""), false)
	f("no kty", with(key, "kty", ""), false)
	f("oct", map[string]string{"kty": "oct", "use": "sig", "kid": "k", "k": "AAAA"}, false)
	f("another curve", with(key, "crv", "X25519"), false)
	f("short", with(key, "x", key["x"][:20]), false)
	f("not base64", with(key, "x", "!"), false)
	f("another alg", with(key, "alg", "ES256"), false)
	f("RSA", testkit.WebKey(t, "k", rsaKey().Public()), true)
	f("RSA for PS256", with(testkit.WebKey(t, "k", rsaKey().Public()), "alg", "PS256"), false)
	f("RSA for HS256", with(testkit.WebKey(t, "k", rsaKey().Public()), "alg", "HS256"), false)
	f("RSA for RS512 only", with(testkit.WebKey(t, "k", rsaKey().Public()), "alg", "RS512"), false)
	f("RSA with exponent 1", testkit.WebKey(t, "k", small), false)
	f("RSA without modulus", with(testkit.WebKey(t, "k", rsaKey().Public()), "n", ""), false)
}

func TestKeyOperationsOfAKey(t *testing.T) {
	public, private := edPair(t)
	token := edToken(t, private, "k", `{"sub":"42"}`)
	for ops, ok := range map[string]bool{
		`["verify"]`: true, `["sign","verify"]`: true, `null`: true,
		`[]`: false, `["sign"]`: false, `["encrypt","wrapKey"]`: false, `["Verify"]`: false, `"verify"`: false, `5`: false,
	} {
		for _, use := range []string{"sig", ""} {
			s := newKeyServer(t)
			s.say(200, strings.Replace(keySetText(t, with(testkit.WebKey(t, "k", public), "use", use)), `{"keys":[{`, `{"keys":[{"key_ops":`+ops+`,`, 1))
			v := newKeyedVerifier(t, s.URL, nil)
			if ok {
				requireIdentity(t, v, token, "42")
			} else {
				requireInvalid(t, v, token)
			}
		}
	}
}

func TestOneBadKeyDoesNotSpoilTheSet(t *testing.T) {
	public, private := edPair(t)
	good := keySetText(t, testkit.WebKey(t, "good", public))
	s := newKeyServer(t)
	s.say(200, strings.Replace(good, `[`, `[null,5,"x",[],{"kid":7},{"kty":"EC","crv":"P-256","x":"AA","y":"AA","use":"sig","kid":"bad"},`, 1))
	v := newKeyedVerifier(t, s.URL, nil)
	requireIdentity(t, v, edToken(t, private, "good", `{"sub":"42"}`), "42")
	requireInvalid(t, v, edToken(t, private, "bad", `{"sub":"42"}`))
}

func TestTokensCannotConfuseAKeySet(t *testing.T) {
	ec := ecKey(t, elliptic.P256())
	edPublic, edPrivate := edPair(t)
	s := newKeyServer(t, testkit.WebKey(t, "rsa", rsaKey().Public()), testkit.WebKey(t, "ec", ec.Public()), testkit.WebKey(t, "ed", edPublic))
	v := newKeyedVerifier(t, s.URL, func(o *Options) {
		o.HMACSecretKey, o.HMACPreviousSecretKey, o.RSAPublicKey = secret, "old", publicPEM(t, rsaKey().Public())
	})
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	const payload = `{"sub":"42"}`
	for name, token := range map[string]string{
		"HMAC with the configured secret": mint(t, payload),
		"HMAC with a kid":                 signKid(t, jwt.SigningMethodHS256, []byte(secret), "rsa", payload),
		"HMAC with the modulus":           signKid(t, jwt.SigningMethodHS256, rsaKey().N.Bytes(), "rsa", payload),
		"HMAC with the PEM":               signKid(t, jwt.SigningMethodHS256, []byte(publicPEM(t, rsaKey().Public())), "rsa", payload),
		"none":                            segment(`{"alg":"none","kid":"rsa"}`) + "." + segment(payload) + ".",
		"no kid, of another key":          sign(t, jwt.SigningMethodRS256, other, `{"alg":"RS256"}`, payload),
		"no kid, HMAC with the secret":    sign(t, jwt.SigningMethodHS256, []byte(secret), `{"alg":"HS256"}`, payload),
		"kid is a number":                 sign(t, jwt.SigningMethodRS256, rsaKey(), `{"alg":"RS256","kid":1}`, payload),
		"kid of another kind":             signKid(t, jwt.SigningMethodRS256, rsaKey(), "ec", payload),
		"kid of a third kind":             signKid(t, jwt.SigningMethodEdDSA, edPrivate, "rsa", payload),
		"another RSA key":                 signKid(t, jwt.SigningMethodRS256, other, "rsa", payload),
		"kid with another case":           signKid(t, jwt.SigningMethodRS256, rsaKey(), "RSA", payload),
		"jwk in the header": sign(t, jwt.SigningMethodRS256, other,
			`{"alg":"RS256","kid":"x","jwk":`+strings.TrimSuffix(strings.TrimPrefix(keySetText(t, testkit.WebKey(t, "x", other.Public())), `{"keys":[`), `]}`)+`}`, payload),
		"huge kid": signKid(t, jwt.SigningMethodRS256, rsaKey(), strings.Repeat("k", 2*maxKeyID), payload),
	} {
		t.Run(name, func(t *testing.T) { requireInvalid(t, v, token) })
	}
	requireIdentity(t, v, signKid(t, jwt.SigningMethodRS256, rsaKey(), "rsa", payload), "42")
}

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

// requireUnavailable: the client may try again.
func requireUnavailable(t testing.TB, v *Verifier, token string) {
	t.Helper()
	requireDisconnect(t, v, token, codec.DisconnectServerError)
}

func TestKeyServerFaultsAreNotTerminal(t *testing.T) {
	public, private := edPair(t)
	good := keySetText(t, testkit.WebKey(t, "k", public))
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		t.Error("the redirect to another host was followed")
		_, _ = w.Write([]byte(good))
	}))
	defer elsewhere.Close()
	say := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = w.Write([]byte(good))
		}
	}
	for name, h := range map[string]http.HandlerFunc{
		"500":              status(500),
		"404":              status(404),
		"201":              status(201),
		"empty":            say(""),
		"HTML":             say("<!doctype html><title>Sign in</title>"),
		"no keys":          say(`{}`),
		"keys null":        say(`{"keys":null}`),
		"keys an object":   say(`{"keys":{}}`),
		"a list":           say(`[` + good + `]`),
		"two documents":    say(good + good),
		"cut off":          say(good[:len(good)-2]),
		"huge":             say(strings.Repeat(" ", MaxAnswer) + good),
		"deep":             say(`{"keys":[],"x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`),
		"redirect":         func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) },
		"endless redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) },
		"hang": func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		},
		"hang in the body": func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(good[:10]))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		"connection cut": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"not HTTP": func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = c.Write([]byte("SSH-2.0-OpenSSH\r\n\r\n"))
				_ = c.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newKeyServer(t)
			s.do(h)
			v := newHastyVerifier(t, s.URL, nil)
			token := edToken(t, private, "k", `{"sub":"42"}`)
			requireUnavailable(t, v, token)
			require.NotZero(t, v.Stats().KeyFetchErrors.Load())
			// And up: the next connect finds the keys.
			s.say(200, good)
			requireIdentitySoon(t, v, token, "42")
		})
	}
}

// requireIdentitySoon is requireIdentity of a client that tries again when it
// is told so: a fetch that the machine held up fails.
func requireIdentitySoon(t testing.TB, v *Verifier, token, user string) {
	t.Helper()
	testkit.Eventually(t, func() bool {
		_, err := v.VerifyConnect(token, now)
		return !errors.Is(err, codec.DisconnectServerError)
	}, "the keys to be fetched")
	requireIdentity(t, v, token, user)
}

func TestEmptyKeySetIsAnAnswer(t *testing.T) {
	_, private := edPair(t)
	s := newKeyServer(t)
	v := newKeyedVerifier(t, s.URL, nil)
	requireInvalid(t, v, edToken(t, private, "k", `{}`))
}

func TestKeyServerThatRefusesConnections(t *testing.T) {
	public, private := edPair(t)
	s := newKeyServer(t, testkit.WebKey(t, "k", public))
	v := newKeyedVerifier(t, s.URL, nil)
	requireIdentity(t, v, edToken(t, private, "k", `{"sub":"1"}`), "1")
	s.Close()
	// Known keys work on, for tokens that were never seen as well.
	requireIdentity(t, v, edToken(t, private, "k", `{"sub":"2"}`), "2")
	// Whether another key exists cannot be said.
	requireUnavailable(t, v, edToken(t, private, "new", `{"sub":"3"}`))
	cold := newHastyVerifier(t, s.URL, nil)
	for i := range 3 * fetchBurst {
		requireUnavailable(t, cold, edToken(t, private, "k", fmt.Sprintf(`{"sub":"%d"}`, i)))
	}
}

func TestSecondAttemptCounts(t *testing.T) {
	public, private := edPair(t)
	s := newKeyServer(t)
	text := keySetText(t, testkit.WebKey(t, "k", public))
	s.do(func(w http.ResponseWriter, _ *http.Request) {
		if s.asked.Load() == 1 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = w.Write([]byte(text))
	})
	v := newKeyedVerifier(t, s.URL, nil)
	requireIdentity(t, v, edToken(t, private, "k", `{"sub":"42"}`), "42")
	require.Equal(t, int64(2), s.asked.Load())
	require.Equal(t, uint64(1), v.Stats().KeyFetches.Load())
	require.Zero(t, v.Stats().KeyFetchErrors.Load())
}

func TestRedirectOnTheSameHostIsFollowed(t *testing.T) {
	public, private := edPair(t)
	s := newKeyServer(t)
	text := keySetText(t, testkit.WebKey(t, "k", public))
	s.do(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/old" {
			http.Redirect(w, r, "/new", http.StatusMovedPermanently)
			return
		}
		_, _ = w.Write([]byte(text))
	})
	v := newKeyedVerifier(t, s.URL+"/old", nil)
	requireIdentity(t, v, edToken(t, private, "k", `{"sub":"42"}`), "42")
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

func TestSecretsOfTheEndpointNeverShow(t *testing.T) {
	_, private := edPair(t)
	const planted = "hunter2"
	log := &logBuffer{}
	s := newKeyServer(t)
	s.do(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != planted || password != planted {
			t.Errorf("no credentials came: %q", r.Header)
		}
		w.Header().Set("X-Secret", planted)
		http.Error(w, planted, 500)
	})
	host := strings.TrimPrefix(s.URL, "http://")
	var said []string
	f := func(url string) {
		v := newKeyedVerifier(t, url, func(o *Options) { o.Log = log.logger() })
		_, err := v.VerifyConnect(edToken(t, private, "k", `{}`), now)
		require.Error(t, err)
		said = append(said, err.Error())
	}
	f("http://" + planted + ":" + planted + "@" + host + "/keys?token=" + planted)
	s.do(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+planted+".invalid/", http.StatusFound)
	})
	f("http://" + planted + ":" + planted + "@" + host + "/keys?token=" + planted)
	s.do(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\n" + planted + "\r\n\r\n"))
			_ = c.Close()
		}
	})
	f("http://" + planted + ":" + planted + "@" + host + "/keys?token=" + planted)
	s.Close()
	f("http://" + planted + ":" + planted + "@" + host + "/keys?token=" + planted)
	_, err := NewVerifier(Options{JWKSPublicEndpoint: "ftp://" + planted + "@h"})
	// A fetch is over before it is logged.
	testkit.Eventually(t, func() bool { return log.String() != "" }, "a failure to be logged")
	said = append(said, err.Error(), log.String())
	require.Contains(t, said[len(said)-1], host+"/keys", "nothing was logged: the test means nothing")
	require.NotContains(t, strings.Join(said, "\n"), planted)
}

func TestOutageIsLoggedOnceAndItsEndToo(t *testing.T) {
	public, private := edPair(t)
	log := &logBuffer{}
	s := newKeyServer(t)
	s.say(500, "")
	v := newKeyedVerifier(t, s.URL, func(o *Options) { o.Log = log.logger() })
	for i := range 20 {
		requireUnavailable(t, v, edToken(t, private, fmt.Sprint(i), `{}`))
	}
	// A fetch is over before it is logged.
	testkit.Eventually(t, func() bool { return log.String() != "" }, "the outage to be logged")
	require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
	s.set(t, testkit.WebKey(t, "k", public))
	v.source.(*jwks).endpoint(s.URL).budgetBack()
	requireIdentity(t, v, edToken(t, private, "k", `{"sub":"1"}`), "1")
	testkit.Eventually(t, func() bool { return strings.Contains(log.String(), "can be fetched again") }, "its end to be logged")
	require.Equal(t, 2, strings.Count(log.String(), "\n"), log.String())
}

// budgetBack lets tokens cause fetches again.
func (e *endpoint) budgetBack() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.budget.tokens = fetchBurst
}
