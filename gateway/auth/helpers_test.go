package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"sluice/codec"
)

const secret = "a secret of the tests"

// now is the time of all tests, in the middle of a second.
var now = time.Unix(1_800_000_000, 500_000_000)

func newTestVerifier(t testing.TB, change func(*Options)) *Verifier {
	t.Helper()
	o := Options{HMACSecretKey: secret}
	if change != nil {
		change(&o)
	}
	v, err := NewVerifier(o)
	require.NoError(t, err)
	return v
}

func segment(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// sign returns a token whose header and payload are exactly these texts.
func sign(t testing.TB, method jwt.SigningMethod, key any, header, payload string) string {
	t.Helper()
	text := segment(header) + "." + segment(payload)
	sig, err := method.Sign(text, key)
	require.NoError(t, err)
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// mint returns an HS256 token with the payload.
func mint(t testing.TB, payload string) string {
	t.Helper()
	return sign(t, jwt.SigningMethodHS256, []byte(secret), `{"alg":"HS256","typ":"JWT"}`, payload)
}

func publicPEM(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

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

func requireIdentity(t testing.TB, v *Verifier, token, user string) *Identity {
	t.Helper()
	id, err := v.VerifyConnect(token, now)
	require.NoError(t, err)
	require.Equal(t, user, id.User)
	return id
}

func requireDisconnect(t testing.TB, v *Verifier, token string, want *codec.Disconnect) {
	t.Helper()
	id, err := v.VerifyConnect(token, now)
	require.Nil(t, id)
	var told *codec.Disconnect
	require.ErrorAs(t, err, &told)
	require.Same(t, want, told, "%v", err)
}

func requireError(t testing.TB, v *Verifier, token string, at time.Time, want *codec.Error) {
	t.Helper()
	id, err := v.VerifyConnect(token, at)
	require.Nil(t, id)
	var told *codec.Error
	require.ErrorAs(t, err, &told)
	require.Same(t, want, told, "%v", err)
}

func requireInvalid(t testing.TB, v *Verifier, token string) {
	t.Helper()
	requireDisconnect(t, v, token, codec.DisconnectInvalidToken)
}

// newVerifier returns a verifier over a source of the test's own.
func newVerifier(o *Options, rules claimRules, source keySource) *Verifier {
	v := &Verifier{rules: rules, stats: &Stats{}}
	v.use(o, source)
	return v
}
