package auth

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/gateway/testkit"

	"github.com/stretchr/testify/require"
)

// fakeServer answers requests without a socket, so that time can be faked.
type fakeServer struct {
	asked atomic.Int64
	text  atomic.Pointer[string] // nil: refuse
}

func (f *fakeServer) say(text string) { f.text.Store(&text) }

// RoundTrip implements http.RoundTripper.
func (f *fakeServer) RoundTrip(*http.Request) (*http.Response, error) {
	f.asked.Add(1)
	text := f.text.Load()
	if text == nil {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(*text))}, nil
}

// newFakeKeyed returns a verifier over the server, to be closed in the bubble.
func newFakeKeyed(t *testing.T, f *fakeServer, template string, o Options) *Verifier {
	t.Helper()
	o.JWKSPublicEndpoint = template
	return newVerifierOver(t, f, o)
}

func TestKeysAreRefreshedInTheBackground(t *testing.T) {
	publicA, privateA := edPair(t)
	publicB, privateB := edPair(t)
	a, b := edToken(t, privateA, "a", `{"sub":"1"}`), edToken(t, privateB, "b", `{"sub":"2"}`)
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{}
		f.say(keySetText(t, testkit.WebKey(t, "a", publicA)))
		v := newFakeKeyed(t, f, "http://keys/", Options{})
		defer v.Close()
		synctest.Wait()
		require.Equal(t, int64(1), f.asked.Load(), "a fixed endpoint is asked before the first token")
		requireIdentity(t, v, a, "1")
		requireIdentity(t, v, a, "1")
		f.say(keySetText(t, testkit.WebKey(t, "b", publicB)))
		time.Sleep(refreshMin - time.Second)
		synctest.Wait()
		require.Equal(t, int64(1), f.asked.Load())
		requireIdentity(t, v, a, "1")
		time.Sleep(refreshMax - refreshMin + refreshTick)
		synctest.Wait()
		asked := f.asked.Load()
		require.GreaterOrEqual(t, asked, int64(2))
		requireInvalid(t, v, a) // withdrawn, though it was cached
		requireIdentity(t, v, b, "2")
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		require.InDelta(t, 60, f.asked.Load()-asked, 25, "about every ten minutes")
		v.source.(*jwks).cancel()
		synctest.Wait()
		asked = f.asked.Load()
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		require.Equal(t, asked, f.asked.Load(), "nothing is fetched after the end")
	})
}

func TestStaleKeysWorkForAsLongAsTheServerIsDown(t *testing.T) {
	public, private := edPair(t)
	token := edToken(t, private, "k", `{"sub":"42"}`)
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{}
		f.say(keySetText(t, testkit.WebKey(t, "k", public)))
		v := newFakeKeyed(t, f, "http://keys/", Options{CacheSize: -1})
		defer v.Close()
		requireIdentity(t, v, token, "42")
		f.text.Store(nil)
		time.Sleep(48 * time.Hour)
		synctest.Wait()
		asked := f.asked.Load()
		require.Greater(t, asked, int64(1000), "it is tried again every minute")
		requireIdentity(t, v, token, "42")
		require.Equal(t, asked, f.asked.Load(), "a known key never waits for the server")
		requireUnavailable(t, v, edToken(t, private, "other", `{}`))
		f.say(keySetText(t))
		time.Sleep(2 * retryDown)
		synctest.Wait()
		requireInvalid(t, v, token) // withdrawn in the meantime
	})
}

func TestServerThatComesUpIsFoundWithinSeconds(t *testing.T) {
	public, private := edPair(t)
	token := edToken(t, private, "k", `{"sub":"42"}`)
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{}
		v := newFakeKeyed(t, f, "http://keys/", Options{})
		defer v.Close()
		for range 100 {
			requireUnavailable(t, v, token)
		}
		require.LessOrEqual(t, f.asked.Load(), int64(fetchAttempts*(fetchBurst+1)))
		f.say(keySetText(t, testkit.WebKey(t, "k", public)))
		time.Sleep(fetchEvery)
		requireIdentity(t, v, token, "42")
	})
}

func TestUnknownKeyIDIsAskedForAgainLater(t *testing.T) {
	public, private := edPair(t)
	token := edToken(t, private, "k", `{"sub":"42"}`)
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{}
		f.say(keySetText(t))
		v := newFakeKeyed(t, f, "http://keys/", Options{})
		defer v.Close()
		requireInvalid(t, v, token)
		f.say(keySetText(t, testkit.WebKey(t, "k", public)))
		requireInvalid(t, v, token)
		time.Sleep(unknownFor)
		requireIdentity(t, v, token, "42")
	})
}

func TestEndpointsThatNeverAnsweredAreDropped(t *testing.T) {
	_, private := edPair(t)
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{}
		v := newFakeKeyed(t, f, "http://keys/{{t}}", Options{IssuerRegex: `^(?P<t>\w+)$`})
		defer v.Close()
		require.Zero(t, f.asked.Load(), "a template names no endpoint")
		for _, iss := range []string{"a", "b", "c"} {
			requireUnavailable(t, v, edToken(t, private, "k", `{"iss":"`+iss+`"}`))
		}
		j := v.source.(*jwks)
		require.Equal(t, [2]int{0, 3}, j.sizes())
		asked := f.asked.Load()
		time.Sleep(2 * freshFor)
		synctest.Wait()
		require.Zero(t, j.sizes())
		require.Equal(t, asked, f.asked.Load(), "nobody asked for them")
	})
}
