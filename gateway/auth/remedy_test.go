package auth

import (
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"sluice/gateway/testkit"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

// requireRemedy requires that a token is refused for a reason, with a remedy that holds a text.
func requireRemedy(t *testing.T, v *Verifier, token, reason, remedy string) {
	t.Helper()
	_, err := v.VerifyConnect(token, time.Now())
	require.Error(t, err)
	gotReason, gotRemedy := Remedy(err)
	require.Equal(t, reason, gotReason, err)
	require.Contains(t, gotRemedy, remedy, err)
	require.Contains(t, gotRemedy, "sluice checktoken")
	require.LessOrEqual(t, len(err.Error()), 2*maxDetail)
}

// Every kind of refusal has its reason and a remedy that names what to change,
// whatever the token itself says: its texts are in those of errors.
func TestEveryRefusalHasItsRemedy(t *testing.T) {
	const misleading = "bytes long, malformed, signing method, header kid, signature is invalid, this is a subscription token"
	f := func(v *Verifier, token, reason, remedy string) {
		t.Helper()
		requireRemedy(t, v, token, reason, remedy)
	}
	hmac := func(header, payload string) string {
		return sign(t, jwt.SigningMethodHS256, []byte(secret), header, payload)
	}
	const h = `{"alg":"HS256"}`
	plain := newTestVerifier(t, nil)
	f(plain, strings.Repeat("x", maxToken+1), "token_too_long", "the rest in the backend")
	f(plain, misleading, "token_malformed", "three parts")
	f(plain, "a.b.c", "token_malformed", "three parts")
	f(plain, segment(h)+".!.c", "token_malformed", "three parts")
	f(plain, hmac(h, `{"channel":"c"}`), "subscription_token", "connection token")
	f(plain, sign(t, jwt.SigningMethodHS256, []byte("another"), h, `{"channel":"c"}`), "subscription_token", "connection token")
	f(plain, sign(t, jwt.SigningMethodHS256, []byte("another"), h, `{}`), "token_signature", "client.token.hmac_secret_key")
	f(plain, hmac(`{"alg":"`+misleading+`"}`, `{}`), "token_algorithm", "algorithm")
	f(plain, hmac(`{}`, `{}`), "token_algorithm", "algorithm")
	f(plain, segment(`{"alg":"none"}`)+"."+segment(`{}`)+".", "token_algorithm", "algorithm")
	f(plain, sign(t, jwt.SigningMethodRS256, rsaKey(), `{"alg":"RS256"}`, `{}`), "token_algorithm", "algorithm")
	f(plain, hmac(`{"alg":"HS256","crit":["`+misleading+`"]}`, `{}`), "token_invalid", "mint another")
	for _, claims := range []string{
		`[]`, `{"sub":5}`, `{"exp":"` + misleading + `"}`, `{"aud":{}}`, `{"nbf":[]}`, `{"iss":5}`, `{"sub":"1","sub":"2"}`,
		`{"subs":{"` + misleading + `":{"b64data":"?"}}}`,
	} {
		f(plain, hmac(h, claims), "token_claims", "sluice docs identity")
	}
	previous := newTestVerifier(t, func(o *Options) {
		o.HMACSecretKey, o.HMACPreviousSecretKey, o.HMACPreviousSecretKeyValidUntil = "", secret, 1
	})
	f(previous, hmac(h, `{}`), "token_algorithm", "algorithm")
	unsigned := newTestVerifier(t, func(o *Options) { o.InsecureSkipTokenSignatureVerify = true })
	f(unsigned, "x", "token_malformed", "three parts")
	f(unsigned, segment(`{"alg":"x"}`)+"."+segment(`{}`)+".", "token_algorithm", "algorithm")

	theirs := `{"iss":"` + misleading + `","aud":"` + misleading + `"}`
	f(newTestVerifier(t, func(o *Options) { o.Issuer = "us" }), hmac(h, theirs), "token_claims", "client.token.issuer")
	f(newTestVerifier(t, func(o *Options) { o.IssuerRegex = "^us$" }), hmac(h, theirs), "token_claims", "client.token.issuer")
	f(newTestVerifier(t, func(o *Options) { o.Audience = "us" }), hmac(h, theirs), "token_claims", "client.token.audience")
	f(newTestVerifier(t, func(o *Options) { o.AudienceRegex = "^us$" }), hmac(h, theirs), "token_claims", "client.token.audience")
}

// With a key set the remedies name that, not the keys of the configuration.
func TestEveryRefusalByAKeySetHasItsRemedy(t *testing.T) {
	var listed []map[string]string
	var keys [maxTried + 1]ed25519.PrivateKey
	for i := range keys {
		var public ed25519.PublicKey
		public, keys[i] = edPair(t)
		listed = append(listed, testkit.WebKey(t, string(rune('a'+i)), public))
	}
	s := newKeyServer(t, listed[0])
	many := newKeyServer(t, listed...)
	f := func(v *Verifier, token, reason, remedy string) {
		t.Helper()
		requireRemedy(t, v, token, reason, remedy)
	}
	const endpoint = "client.token.jwks_public_endpoint"
	v := newKeyedVerifier(t, s.URL, nil)
	f(v, edToken(t, keys[1], "a", `{}`), "token_signature", endpoint)
	f(v, edToken(t, keys[1], "no key of the key set", `{}`), "token_key_id", endpoint)
	f(v, edToken(t, keys[1], strings.Repeat("k", maxKeyID+1), `{}`), "token_key_id", endpoint)
	f(v, sign(t, jwt.SigningMethodEdDSA, keys[0], `{"alg":"EdDSA","kid":5}`, `{}`), "token_key_id", endpoint)
	f(v, sign(t, jwt.SigningMethodEdDSA, keys[1], `{"alg":"EdDSA"}`, `{}`), "token_signature", endpoint)
	f(v, signKid(t, jwt.SigningMethodRS256, rsaKey(), "a", `{}`), "token_algorithm", "algorithm")
	f(v, sign(t, jwt.SigningMethodRS256, rsaKey(), `{"alg":"RS256"}`, `{}`), "token_algorithm", "algorithm")
	f(v, signKid(t, jwt.SigningMethodHS256, []byte(secret), "a", `{}`), "token_algorithm", "algorithm")
	f(newKeyedVerifier(t, many.URL, nil), sign(t, jwt.SigningMethodEdDSA, keys[0], `{"alg":"EdDSA"}`, `{}`), "token_key_id", endpoint)
	template := newKeyedVerifier(t, s.URL+"/{{t}}", func(o *Options) { o.IssuerRegex = `(?P<t>.*)` })
	f(template, edToken(t, keys[0], "a", `{"iss":"../signature is invalid"}`), "token_claims", "sluice docs identity")
}
