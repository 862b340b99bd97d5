package auth

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/codec"
	"sluice/gateway/testkit"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

// junk returns a token that names a key nobody has.
func junk(kid string) string {
	return segment(`{"alg":"EdDSA","kid":"`+kid+`"}`) + "." + segment(`{}`) + ".AAAA"
}

// flood has tokens looked at, so many a second for so long, each with a key id
// of its own, and counts the answers. It returns what waits for all of them.
func flood(v *Verifier, perSecond int, life time.Duration) (terminal, later *atomic.Int64, wait func()) {
	terminal, later = new(atomic.Int64), new(atomic.Int64)
	var all sync.WaitGroup
	all.Go(func() {
		for i := range int(life.Seconds() * float64(perSecond)) {
			time.Sleep(time.Second / time.Duration(perSecond))
			all.Go(func() {
				_, err := v.VerifyConnect(junk(fmt.Sprint("junk-", i)), time.Now())
				if errors.Is(err, codec.DisconnectServerError) {
					later.Add(1)
				} else {
					terminal.Add(1)
				}
			})
		}
	})
	return terminal, later, all.Wait
}

// A flood of made-up key ids costs few fetches, and a token of a key that is new
// is taken all the same, each and every one, within the time between two fetches.
func TestAFloodOfUnknownKeyIDsDoesNotShutNewKeysOut(t *testing.T) {
	publicA, privateA := edPair(t)
	publicB, privateB := edPair(t)
	for _, perSecond := range []int{1, 50, 500} {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeServer{}
			f.say(keySetText(t, testkit.WebKey(t, "a", publicA)))
			v := newFakeKeyed(t, f, "http://keys/", Options{CacheSize: -1})
			defer v.Close()
			requireIdentity(t, v, edToken(t, privateA, "a", `{"sub":"1"}`), "1")
			const life = 30 * time.Second
			asked := f.asked.Load()
			terminal, later, wait := flood(v, perSecond, life)
			time.Sleep(10 * time.Second)
			f.say(keySetText(t, testkit.WebKey(t, "b", publicB)))
			var mine sync.WaitGroup
			for i := range 20 { // while the set that is known is the old one
				mine.Go(func() {
					began := time.Now()
					id, err := v.VerifyConnect(edToken(t, privateB, "b", fmt.Sprintf(`{"sub":"%d"}`, i)), time.Now())
					if err != nil || id.User != fmt.Sprint(i) || time.Since(began) > fetchEvery {
						t.Errorf("a token of a new key: %v after %s", err, time.Since(began))
					}
				})
			}
			mine.Wait()
			wait()
			require.Equal(t, int64(float64(perSecond)*life.Seconds()), terminal.Load()+later.Load())
			require.Zero(t, later.Load(), "all were answered by a fetch")
			require.LessOrEqual(t, f.asked.Load()-asked, int64(fetchBurst+(life+fetchEvery)/fetchEvery+1))
			requireIdentity(t, v, edToken(t, privateB, "b", `{"sub":"2"}`), "2")
		})
	}
}

// More than may wait are told to come back: their key may be there.
func TestTooManyUnknownKeyIDsAreNotTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{}
		f.say(keySetText(t))
		v := newFakeKeyed(t, f, "http://keys/", Options{CacheSize: -1})
		defer v.Close()
		synctest.Wait()
		terminal, later, wait := flood(v, 10_000, 10*time.Second)
		wait()
		require.Positive(t, later.Load())
		require.Positive(t, terminal.Load())
		require.LessOrEqual(t, terminal.Load(), int64(maxWaiting*(10*time.Second/fetchEvery+fetchBurst+2)))
		require.Zero(t, v.source.(*jwks).endpoint("http://keys/").waiting)
	})
}

// One key id that is not in the set is looked for once in a while.
func TestOneUnknownKeyIDMakesFewFetches(t *testing.T) {
	_, private := edPair(t)
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{}
		f.say(keySetText(t))
		v := newFakeKeyed(t, f, "http://keys/", Options{})
		defer v.Close()
		synctest.Wait()
		before := f.asked.Load()
		token := edToken(t, private, "unknown", `{}`)
		for range 600 {
			requireInvalid(t, v, token)
			time.Sleep(100 * time.Millisecond)
		}
		require.LessOrEqual(t, f.asked.Load()-before, int64(time.Minute/unknownFor)+1)
	})
}

// Those who wait for a fetch are not held by a store that closes.
func TestClosingEndsTheWaitForAFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{}
		f.say(keySetText(t))
		v := newFakeKeyed(t, f, "http://keys/", Options{CacheSize: -1})
		synctest.Wait()
		e := v.source.(*jwks).endpoint("http://keys/")
		e.mu.Lock()
		e.budget.tokens, e.budget.counted = 0, time.Now()
		e.mu.Unlock()
		waiting := make(chan error)
		for i := range 3 {
			go func() {
				_, err := v.VerifyConnect(junk(fmt.Sprint(i)), time.Now())
				waiting <- err
			}()
		}
		synctest.Wait()
		v.Close()
		for range 3 {
			require.ErrorIs(t, <-waiting, codec.DisconnectServerError)
		}
	})
}

// replace returns a verifier that takes the place of v, as a reload does.
func replace(t *testing.T, v *Verifier, template string) *Verifier {
	t.Helper()
	next, err := NewVerifier(Options{JWKSPublicEndpoint: template, Previous: v})
	require.NoError(t, err)
	v.Close()
	return next
}

// However often an operator reloads, a withdrawn key is gone within seconds; and
// reloads cost the key server no more than tokens may.
func TestReloadsDoNotKeepWithdrawnKeysAlive(t *testing.T) {
	public, private := edPair(t)
	token := edToken(t, private, "k", `{"sub":"1"}`)
	for _, every := range []time.Duration{100 * time.Millisecond, time.Second, time.Minute, 4 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeServer{}
			f.say(keySetText(t, testkit.WebKey(t, "k", public)))
			v := newFakeKeyed(t, f, "http://keys/", Options{})
			requireIdentity(t, v, token, "1")
			f.say(keySetText(t))
			time.Sleep(time.Second)
			v = replace(t, v, "http://keys/")
			requireIdentity(t, v, token, "1") // what is known stays until there is an answer
			asked := f.asked.Load()
			for began := time.Now(); time.Since(began) < 2*fetchEvery; {
				time.Sleep(every)
				v = replace(t, v, "http://keys/")
			}
			synctest.Wait()
			requireInvalid(t, v, token)
			require.LessOrEqual(t, f.asked.Load()-asked, int64((2*fetchEvery+every)/fetchEvery)+2)
			v.Close()
		})
	}
}

// A fetch that was under way at the reload may have begun before the key went.
func TestAReloadDuringAFetchIsFollowedByAnother(t *testing.T) {
	public, private := edPair(t)
	token := edToken(t, private, "k", `{"sub":"1"}`)
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{}
		f.say(keySetText(t, testkit.WebKey(t, "k", public)))
		v := newFakeKeyed(t, f, "http://keys/", Options{})
		requireIdentity(t, v, token, "1")
		e := v.source.(*jwks).endpoint("http://keys/")
		e.mu.Lock()
		under := e.begin(time.Now())
		e.mu.Unlock()
		v = replace(t, v, "http://keys/")
		v.source.(*jwks).fetch(e, under)
		f.say(keySetText(t))
		time.Sleep(fetchEvery)
		synctest.Wait()
		requireInvalid(t, v, token)
		v.Close()
	})
}

func TestTokensWithoutAKeyID(t *testing.T) {
	type pair struct {
		public  ed25519.PublicKey
		private ed25519.PrivateKey
	}
	var keys [maxTried + 1]pair
	var listed []map[string]string
	for i := range keys {
		keys[i].public, keys[i].private = edPair(t)
		k := testkit.WebKey(t, fmt.Sprint("k", i), keys[i].public)
		if i%2 == 1 {
			delete(k, "kid")
		}
		listed = append(listed, k)
	}
	token := func(i int, sub string) string {
		return sign(t, jwt.SigningMethodEdDSA, keys[i].private, `{"alg":"EdDSA"}`, `{"sub":"`+sub+`"}`)
	}
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{}
		rsa := testkit.WebKey(t, "r", rsaKey().Public()) // does not fit, so it does not count
		f.say(keySetText(t, append(listed[:maxTried:maxTried], rsa)...))
		v := newFakeKeyed(t, f, "http://keys/", Options{})
		defer v.Close()
		for i := range maxTried {
			requireIdentity(t, v, token(i, "1"), "1")
		}
		asked := f.asked.Load()
		requireInvalid(t, v, token(maxTried, "2"))
		require.Equal(t, asked+1, f.asked.Load(), "it may be of a new key")
		requireInvalid(t, v, token(maxTried, "2"))
		require.Equal(t, asked+1, f.asked.Load(), "no more than a kid that is unknown")

		f.say(keySetText(t, listed[maxTried])) // the keys are rotated
		requireIdentity(t, v, token(maxTried, "3"), "3")
		requireInvalid(t, v, token(0, "4"))

		f.say(keySetText(t, listed...))
		time.Sleep(refreshMax + refreshTick)
		synctest.Wait()
		_, err := v.VerifyConnect(token(0, "5"), time.Now())
		require.ErrorIs(t, err, codec.DisconnectInvalidToken)
		require.ErrorContains(t, err, "header kid: the id of a key expected, there are 5 for EdDSA: at most 4 are tried")
		requireIdentity(t, v, edToken(t, keys[0].private, "k0", `{"sub":"6"}`), "6")

		f.text.Store(nil)
		time.Sleep(unknownFor)
		f.say(keySetText(t, listed[0]))
		time.Sleep(refreshMax + refreshTick)
		f.text.Store(nil)
		requireUnavailable(t, v, token(1, "7"))
		requireIdentity(t, v, token(0, "8"), "8")
	})
}

func TestAKeyIDOfAnotherTypeIsInvalid(t *testing.T) {
	public, private := edPair(t)
	s := newKeyServer(t, testkit.WebKey(t, "5", public))
	v := newKeyedVerifier(t, s.URL, nil)
	requireIdentity(t, v, edToken(t, private, "5", `{"sub":"1"}`), "1")
	for _, kid := range []string{"5", "null", "[]", "true"} {
		requireInvalid(t, v, sign(t, jwt.SigningMethodEdDSA, private, `{"alg":"EdDSA","kid":`+kid+`}`, `{"sub":"1"}`))
	}
}

// A subscription token is named as such, whichever key it is signed with.
func TestASubscriptionTokenIsNamed(t *testing.T) {
	v := newTestVerifier(t, nil)
	f := func(token string) {
		t.Helper()
		_, err := v.VerifyConnect(token, now)
		require.ErrorIs(t, err, codec.DisconnectInvalidToken)
		require.ErrorContains(t, err, "auth: token: claim channel: a connection token expected, this is a subscription token")
	}
	f(sign(t, jwt.SigningMethodHS256, []byte(secret), `{"alg":"HS256"}`, `{"sub":"1","channel":"c"}`))
	f(sign(t, jwt.SigningMethodHS256, []byte("the key of subscription tokens"), `{"alg":"HS256"}`, `{"sub":"1","channel":"c"}`))
	_, _, err := v.VerifySubscription(sign(t, jwt.SigningMethodHS256, []byte("another"), `{"alg":"HS256"}`, `{"sub":"1","channel":"c"}`), now)
	require.False(t, strings.Contains(err.Error(), "connection token expected"), err)
}
