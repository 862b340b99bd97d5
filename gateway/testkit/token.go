package testkit

import (
	"crypto"
	"crypto/ecdsa"
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
	return Token(t, "HS256", []byte(secret), claims)
}

// ES256 mints a token signed with a P-256 key. An optional kid goes into the token's header.
func ES256(t testing.TB, key *ecdsa.PrivateKey, claims map[string]any, kid ...string) string {
	t.Helper()
	return Token(t, "ES256", key, claims, kid...)
}

// Token mints a token signed by the algorithm of that name, with a key of its family: the bytes of a secret or a private
// key. An optional kid goes into the token's header.
func Token(t testing.TB, alg string, key any, claims map[string]any, kid ...string) string {
	t.Helper()
	var header map[string]any
	if len(kid) > 0 {
		header = map[string]any{"kid": kid[0]}
	}
	return Sign(t, jwt.GetSigningMethod(alg), key, header, claims)
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
