package auth

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

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
