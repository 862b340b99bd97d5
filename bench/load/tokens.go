//go:build linux

package load

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"

	"github.com/golang-jwt/jwt/v5"
)

// rsaBits is the size of the key pair that RS256 tokens are made with: what
// providers of identities use.
const rsaBits = 2048

// UserName is the user of the n-th stream.
func UserName(n int) string { return "bench-" + strconv.Itoa(n) }

// SignToken returns a token with these claims.
func SignToken(method jwt.SigningMethod, key any, claims jwt.MapClaims) (string, error) {
	token, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		return "", fmt.Errorf("bench: sign a token with %s: %w", method.Alg(), err)
	}
	return token, nil
}

// NewKeyPair returns a key for RS256 tokens and its public half as PEM text.
func NewKeyPair() (key *rsa.PrivateKey, public string, err error) {
	if key, err = rsa.GenerateKey(rand.Reader, rsaBits); err != nil {
		return nil, "", fmt.Errorf("bench: key pair: %w", err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, "", fmt.Errorf("bench: key pair: %w", err)
	}
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}

// MintAll returns n tokens, made on all CPUs: an RSA signature takes a
// millisecond.
func MintAll(n int, mint func(i int) (string, error)) ([]string, error) {
	tokens := make([]string, n)
	errs := make([]error, runtime.NumCPU())
	var wg sync.WaitGroup
	for part := range errs {
		wg.Go(func() {
			for i := part; i < n && errs[part] == nil; i += len(errs) {
				tokens[i], errs[part] = mint(i)
			}
		})
	}
	wg.Wait()
	return tokens, errors.Join(errs...)
}
