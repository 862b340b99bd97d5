package test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// keyServer serves a key set that a test can change.
type keyServer struct {
	*httptest.Server
	asked atomic.Int64

	// Guarded by mu.
	mu     sync.Mutex
	status int
	text   string
	paths  []string
}

func newKeyServer(t *testing.T, keys ...map[string]string) *keyServer {
	t.Helper()
	k := &keyServer{}
	k.set(t, keys...)
	k.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.asked.Add(1)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.paths = append(k.paths, r.URL.String())
		w.WriteHeader(k.status)
		_, _ = w.Write([]byte(k.text)) // A gateway that went away is its business.
	}))
	t.Cleanup(k.Close)
	return k
}

func (k *keyServer) say(status int, text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.status, k.text = status, text
}

func (k *keyServer) set(t *testing.T, keys ...map[string]string) {
	t.Helper()
	text, err := json.Marshal(map[string]any{"keys": append([]map[string]string{}, keys...)})
	require.NoError(t, err)
	k.say(http.StatusOK, string(text))
}

// rsaKey is made once: it is the slowest thing of these tests.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic("BUG: no RSA key: " + err.Error())
	}
	return key
})

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	require.NoError(t, err)
	return key
}

// fetched asks with a token again as long as the gateway says that it has no key
// set at the moment: a fetch has a second, which a busy machine may not give. It
// ends with one that was answered in another way.
func (s *server) fetched(t *testing.T, opts testkit.ConnectOptions) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		c := s.connect(t, opts)
		p := c.Next(t)
		c.Close()
		if p.Kind != "disconnect" || !strings.Contains(string(p.Raw), `"code":3004`) {
			return
		}
		require.True(t, time.Now().Before(deadline), "the key set was not fetched: %s", p.Raw)
		<-time.After(6 * time.Second) // one more fetch is allowed for tokens by then
	}
}

func TestTokensOfEveryFamilyByKeySet(t *testing.T) {
	p256, p384, p521 := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384()), ecKey(t, elliptic.P521())
	edPublic, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	stranger := ecKey(t, elliptic.P256())
	k := newKeyServer(t, testkit.WebKey(t, "rsa", &rsaKey().PublicKey), testkit.WebKey(t, "p256", &p256.PublicKey),
		testkit.WebKey(t, "p384", &p384.PublicKey), testkit.WebKey(t, "p521", &p521.PublicKey), testkit.WebKey(t, "ed", edPublic))
	s := startStrict(t, parts{client: fmt.Sprintf(
		`, "token": {"jwks_public_endpoint": %q, "hmac_secret_key": %q}`, k.URL+"/keys", testSecret)}, nil)
	who := map[string]any{"sub": "42"}
	s.fetched(t, testkit.ConnectOptions{Token: testkit.ES256(t, p256, who, "p256")})
	for name, token := range map[string]string{
		"RS256": testkit.Token(t, "RS256", rsaKey(), who, "rsa"), "RS384": testkit.Token(t, "RS384", rsaKey(), who, "rsa"),
		"RS512": testkit.Token(t, "RS512", rsaKey(), who, "rsa"), "ES256": testkit.ES256(t, p256, who, "p256"),
		"ES384": testkit.Token(t, "ES384", p384, who, "p384"), "ES512": testkit.Token(t, "ES512", p521, who, "p521"),
		"EdDSA": testkit.Token(t, "EdDSA", edPrivate, who, "ed"), "no kid": testkit.ES256(t, p256, who),
		"PS256": testkit.Sign(t, jwt.SigningMethodPS256, rsaKey(), map[string]any{"kid": "rsa"}, who),
	} {
		s.connects(t, name, "42", testkit.ConnectOptions{Token: token})
	}
	pem := testkit.PublicPEM(t, &rsaKey().PublicKey)
	for name, token := range map[string]string{
		"no kid, of a stranger":        testkit.ES256(t, stranger, who),
		"unknown kid":                  testkit.ES256(t, p256, who, "nobody"),
		"kid that climbs":              testkit.ES256(t, p256, who, "../../../../etc/passwd"),
		"kid that is no text":          testkit.Sign(t, jwt.SigningMethodES256, p256, map[string]any{"kid": 5}, who),
		"another's key":                testkit.ES256(t, stranger, who, "p256"),
		"key of another family":        testkit.ES256(t, p256, who, "rsa"),
		"HMAC key beside a key set":    testkit.HS256(t, testSecret, who),
		"HMAC with the RSA key as PEM": testkit.Sign(t, jwt.SigningMethodHS256, []byte(pem), map[string]any{"kid": "rsa"}, who),
		"none":                         testkit.Sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, map[string]any{"kid": "rsa"}, who),
	} {
		opts := testkit.ConnectOptions{Token: token}
		s.fetched(t, opts)
		s.refused(t, name, 3500, opts)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, path := range k.paths {
		require.Equal(t, "/keys", path, "a kid never becomes part of the URL")
	}
}

func TestKeySetRotatesAndItsOutageIsNotTerminal(t *testing.T) {
	first, second, third := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	k := newKeyServer(t)
	k.say(http.StatusInternalServerError, "")
	s := startStrict(t, parts{client: withAnonymous + fmt.Sprintf(`, "token": {"jwks_public_endpoint": %q}`, k.URL)}, nil)
	who := map[string]any{"sub": "42"}
	opts := func(key *ecdsa.PrivateKey, kid string) testkit.ConnectOptions {
		return testkit.ConnectOptions{Token: testkit.ES256(t, key, who, kid)}
	}
	s.refused(t, "no key set yet", 3004, opts(first, "1"))
	s.connects(t, "nobody else is disturbed", "", testkit.ConnectOptions{})
	k.say(http.StatusOK, "<html>down for maintenance</html>")
	s.refused(t, "no key set but a page", 3004, opts(first, "1"))

	k.set(t, testkit.WebKey(t, "1", &first.PublicKey))
	s.fetched(t, opts(first, "1"))
	s.connects(t, "up", "42", opts(first, "1"))
	k.set(t, testkit.WebKey(t, "1", &first.PublicKey), testkit.WebKey(t, "2", &second.PublicKey))
	s.fetched(t, opts(second, "2"))
	s.connects(t, "a new key", "42", opts(second, "2"))
	s.connects(t, "the old one beside it", "42", opts(first, "1"))

	k.say(http.StatusServiceUnavailable, "")
	s.connects(t, "known key while the server is down", "42", opts(second, "2"))
	s.refused(t, "unknown key while the server is down", 3004, opts(third, "3"))
}
