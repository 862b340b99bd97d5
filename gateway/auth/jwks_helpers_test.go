package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

// webKeyOf is a public key as a key server writes it down.
func webKeyOf(t testing.TB, kid string, public any) map[string]string {
	t.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	k := map[string]string{"kid": kid, "use": "sig"}
	switch p := public.(type) {
	case *rsa.PublicKey:
		k["kty"], k["n"], k["e"] = "RSA", b64(p.N.Bytes()), b64(big.NewInt(int64(p.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := p.Bytes()
		require.NoError(t, err)
		half := len(point) / 2
		k["kty"], k["crv"] = "EC", p.Curve.Params().Name
		k["x"], k["y"] = b64(point[1:1+half]), b64(point[1+half:])
	case ed25519.PublicKey:
		k["kty"], k["crv"], k["x"] = "OKP", "Ed25519", b64(p)
	default:
		t.Fatalf("no JWK for a %T", public)
	}
	return k
}

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

// newKeyedVerifier returns a verifier over a key server, closed with the test.
func newKeyedVerifier(t testing.TB, url string, change func(*Options)) *Verifier {
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
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
