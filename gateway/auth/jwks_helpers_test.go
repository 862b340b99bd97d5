package auth

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/gateway/testkit"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

// with returns the key with members replaced; "" removes one.
func with(k map[string]string, pairs ...string) map[string]string {
	out := make(map[string]string)
	for name, value := range k {
		out[name] = value
	}
	for i := 0; i < len(pairs); i += 2 {
		if out[pairs[i]] = pairs[i+1]; pairs[i+1] == "" {
			delete(out, pairs[i])
		}
	}
	return out
}

func keySetText(t testing.TB, keys ...map[string]string) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"keys": append([]map[string]string{}, keys...)})
	require.NoError(t, err)
	return string(text)
}

// keyServer is a key server whose behaviour a test can change.
type keyServer struct {
	*httptest.Server
	asked  atomic.Int64
	answer atomic.Pointer[http.HandlerFunc]
	mu     sync.Mutex
	paths  []string
}

func newKeyServer(t testing.TB, keys ...map[string]string) *keyServer {
	t.Helper()
	s := &keyServer{}
	s.set(t, keys...)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		s.mu.Lock()
		s.paths = append(s.paths, r.URL.String())
		s.mu.Unlock()
		(*s.answer.Load())(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *keyServer) do(h http.HandlerFunc) { s.answer.Store(&h) }

func (s *keyServer) say(status int, text string) {
	s.do(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
	})
}

func (s *keyServer) set(t testing.TB, keys ...map[string]string) { s.say(200, keySetText(t, keys...)) }

func (s *keyServer) requested() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.paths...)
}

// newHastyVerifier returns a verifier over a key server, closed with the test.
// A machine that stands still for two seconds makes its fetches fail.
func newHastyVerifier(t testing.TB, url string, change func(*Options)) *Verifier {
	t.Helper()
	o := Options{JWKSPublicEndpoint: url}
	if change != nil {
		change(&o)
	}
	v, err := NewVerifier(o)
	require.NoError(t, err)
	t.Cleanup(v.Close)
	return v
}

// newKeyedVerifier is newHastyVerifier for a server that answers: its fetches
// take what time they need.
func newKeyedVerifier(t testing.TB, url string, change func(*Options)) *Verifier {
	t.Helper()
	o := Options{JWKSPublicEndpoint: url}
	if change != nil {
		change(&o)
	}
	v := newVerifierOver(t, patient{newKeyClient().Transport.(*http.Transport)}, o)
	t.Cleanup(v.Close)
	return v
}

// newVerifierOver returns a verifier that fetches keys by rt, to be closed.
func newVerifierOver(t testing.TB, rt http.RoundTripper, o Options) *Verifier {
	t.Helper()
	v := &Verifier{rules: newClaimRules(&o), stats: &Stats{}}
	client := newKeyClient()
	client.Transport = rt
	v.use(&o, newJWKS(newEndpointURL(o.JWKSPublicEndpoint, &v.rules), client, &o, v.stats, nil))
	return v
}

// patient is a transport whose requests do not end with the time for a fetch.
type patient struct{ *http.Transport }

// RoundTrip implements http.RoundTripper.
func (p patient) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	time.AfterFunc(2*time.Minute, cancel) // a test that fails must end all the same
	return p.Transport.RoundTrip(r.WithContext(ctx))
}

// signKid returns a token with a key id.
func signKid(t testing.TB, m jwt.SigningMethod, key any, kid, payload string) string {
	t.Helper()
	quoted, err := json.Marshal(kid)
	require.NoError(t, err)
	return sign(t, m, key, `{"alg":"`+m.Alg()+`","kid":`+string(quoted)+`}`, payload)
}

// edPair returns a new Ed25519 key, the cheapest to make and to sign with.
func edPair(t testing.TB) (ed25519.PublicKey, ed25519.PrivateKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return public, private
}

func edToken(t testing.TB, key ed25519.PrivateKey, kid, payload string) string {
	t.Helper()
	return signKid(t, jwt.SigningMethodEdDSA, key, kid, payload)
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct{ testkit.LogBuffer }

func (b *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
