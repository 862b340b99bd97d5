package auth

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/testkit"
)

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
	for name, h := range keyServerFaults(good, elsewhere.URL) {
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

// keyServerFaults are answers of a key server that are no key set, though some have one,
// good, in them; elsewhere is the URL of another host.
func keyServerFaults(good, elsewhere string) map[string]http.HandlerFunc {
	say := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = w.Write([]byte(good))
		}
	}
	return map[string]http.HandlerFunc{
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
		"redirect":         func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere, http.StatusFound) },
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
