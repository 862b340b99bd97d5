package testkit

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// HS256 mints a token signed with the bytes of secret.
func HS256(t testing.TB, secret string, claims map[string]any) string {
	t.Helper()
	return Sign(t, jwt.SigningMethodHS256, []byte(secret), nil, claims)
}

// HS384 is HS256 with SHA-384.
func HS384(t testing.TB, secret string, claims map[string]any) string {
	t.Helper()
	return Sign(t, jwt.SigningMethodHS384, []byte(secret), nil, claims)
}

// HS512 is HS256 with SHA-512.
func HS512(t testing.TB, secret string, claims map[string]any) string {
	t.Helper()
	return Sign(t, jwt.SigningMethodHS512, []byte(secret), nil, claims)
}

// RS256 mints a token signed with an RSA key (PKCS #1 v1.5). An optional kid goes into the token's header.
func RS256(t testing.TB, key *rsa.PrivateKey, claims map[string]any, kid ...string) string {
	t.Helper()
	return Sign(t, jwt.SigningMethodRS256, key, keyID(kid), claims)
}

// RS384 is RS256 with SHA-384.
func RS384(t testing.TB, key *rsa.PrivateKey, claims map[string]any, kid ...string) string {
	t.Helper()
	return Sign(t, jwt.SigningMethodRS384, key, keyID(kid), claims)
}

// RS512 is RS256 with SHA-512.
func RS512(t testing.TB, key *rsa.PrivateKey, claims map[string]any, kid ...string) string {
	t.Helper()
	return Sign(t, jwt.SigningMethodRS512, key, keyID(kid), claims)
}

// ES256 mints a token signed with a P-256 key. An optional kid goes into the token's header.
func ES256(t testing.TB, key *ecdsa.PrivateKey, claims map[string]any, kid ...string) string {
	t.Helper()
	return Sign(t, jwt.SigningMethodES256, key, keyID(kid), claims)
}

// ES384 is ES256 for a P-384 key.
func ES384(t testing.TB, key *ecdsa.PrivateKey, claims map[string]any, kid ...string) string {
	t.Helper()
	return Sign(t, jwt.SigningMethodES384, key, keyID(kid), claims)
}

// ES512 is ES256 for a P-521 key.
func ES512(t testing.TB, key *ecdsa.PrivateKey, claims map[string]any, kid ...string) string {
	t.Helper()
	return Sign(t, jwt.SigningMethodES512, key, keyID(kid), claims)
}

// EdDSA mints a token signed with an Ed25519 key. An optional kid goes into the token's header.
func EdDSA(t testing.TB, key ed25519.PrivateKey, claims map[string]any, kid ...string) string {
	t.Helper()
	return Sign(t, jwt.SigningMethodEdDSA, key, keyID(kid), claims)
}

// Sign mints a token with any method of the jwt module, jwt.SigningMethodNone and the PS family included. The members of
// header are set over alg and typ, so a token can lie about its algorithm.
func Sign(t testing.TB, method jwt.SigningMethod, key any, header, claims map[string]any) string {
	t.Helper()
	token := jwt.NewWithClaims(method, jwt.MapClaims(claims))
	for name, value := range header {
		token.Header[name] = value
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatalf("testkit: sign with %s: %v", method.Alg(), err)
	}
	return text
}

// RawToken joins the three parts of a token without any check. header and payload are taken as they are when they are
// []byte, so that they can be broken JSON, and encoded as JSON otherwise. sign gets `header.payload` in base64url; nil
// leaves the signature empty.
func RawToken(header, payload any, sign func(signingInput []byte) []byte) string {
	input := part(header) + "." + part(payload)
	var signature []byte
	if sign != nil {
		signature = sign([]byte(input))
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// PublicPEM is a public key as the configuration takes it.
func PublicPEM(t testing.TB, key crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatalf("testkit: public key: %v", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func keyID(kid []string) map[string]any {
	if len(kid) == 0 {
		return nil
	}
	return map[string]any{"kid": kid[0]}
}

func part(v any) string {
	text, raw := v.([]byte)
	if !raw {
		var err error
		if text, err = json.Marshal(v); err != nil {
			panic(fmt.Sprintf("BUG: testkit: RawToken: %v", err))
		}
	}
	return base64.RawURLEncoding.EncodeToString(text)
}
