package testkit

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"reflect"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

func TestTokensVerifyWithTheirKeysAndAlgorithms(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	curve := func(c elliptic.Curve) *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	p256, p384, p521 := curve(elliptic.P256()), curve(elliptic.P384()), curve(elliptic.P521())
	f := func(alg, text string, key, wrongKey any, kid any) {
		t.Helper()
		verify := func(key any) (*jwt.Token, error) {
			return jwt.Parse(text, func(*jwt.Token) (any, error) { return key, nil }, jwt.WithValidMethods([]string{alg}))
		}
		token, err := verify(key)
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		if want := (jwt.MapClaims{"sub": "42"}); !reflect.DeepEqual(token.Claims, want) || token.Header["kid"] != kid {
			t.Errorf("%s: got claims %v, header %v", alg, token.Claims, token.Header)
		}
		if _, err := verify(wrongKey); err == nil {
			t.Errorf("%s: verified with a wrong key", alg)
		}
	}
	claims := map[string]any{"sub": "42"}
	f("HS256", HS256(t, "secret", claims), []byte("secret"), []byte("other"), nil)
	f("HS384", Token(t, "HS384", []byte("secret"), claims), []byte("secret"), []byte("other"), nil)
	f("HS512", Token(t, "HS512", []byte("secret"), claims), []byte("secret"), []byte("other"), nil)
	f("RS256", Token(t, "RS256", rsaKey, claims), &rsaKey.PublicKey, public, nil)
	f("RS384", Token(t, "RS384", rsaKey, claims, "k"), &rsaKey.PublicKey, public, "k")
	f("RS512", Token(t, "RS512", rsaKey, claims), &rsaKey.PublicKey, public, nil)
	f("ES256", ES256(t, p256, claims, "k"), &p256.PublicKey, &p384.PublicKey, "k")
	f("ES384", Token(t, "ES384", p384, claims), &p384.PublicKey, &p256.PublicKey, nil)
	f("ES512", Token(t, "ES512", p521, claims), &p521.PublicKey, &p256.PublicKey, nil)
	f("EdDSA", Token(t, "EdDSA", ed, claims, "k"), public, &rsaKey.PublicKey, "k")
	f("PS256", Sign(t, jwt.SigningMethodPS256, rsaKey, map[string]any{"kid": "x"}, claims), &rsaKey.PublicKey, public, "x")
	f("none", Sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, claims), jwt.UnsafeAllowNoneSignatureType, []byte("x"), nil)
	mustFail(t, func(t testing.TB) { ES256(t, p384, claims) }, "sign with ES256")

	for _, key := range []crypto.PublicKey{&rsaKey.PublicKey, &p256.PublicKey, public} {
		block, rest := pem.Decode([]byte(PublicPEM(t, key)))
		if block == nil || len(rest) > 0 {
			t.Fatalf("%T: no single PEM block", key)
		}
		if got, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil || !reflect.DeepEqual(got, key) {
			t.Fatalf("%T: got %v, %v", key, got, err)
		}
	}
	mustFail(t, func(t testing.TB) { PublicPEM(t, "no key") }, "public key")
}

func TestRawTokenTakesAnything(t *testing.T) {
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("expected %q, got %q", want, got)
		}
	}
	f(RawToken(map[string]any{"alg": "none"}, map[string]any{}, nil), "eyJhbGciOiJub25lIn0.e30.")
	f(RawToken([]byte("{"), []byte(nil), func(in []byte) []byte { return in[:2] }), "ew..ZXc")
	f(RawToken(map[string]any{}, []any{1}, func(in []byte) []byte {
		if string(in) != "e30.WzFd" {
			t.Errorf("signing input %q", in)
		}
		return []byte{0xFF}
	}), "e30.WzFd._w")
}
