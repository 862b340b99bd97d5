package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	json "github.com/goccy/go-json"
	"github.com/golang-jwt/jwt/v5"

	"sluice/codec"
)

// keySet is one answer of a key server. It is immutable.
type keySet struct {
	byID map[string][]webKey // "" are those without an id
}

// webKey is a key that tokens may be signed with.
type webKey struct {
	key  jwt.VerificationKey
	algs []string // what it may be used for
	// print tells keys apart: digests of equal keys with equal uses are equal.
	print digest
}

// find returns the keys with this id that fit the algorithm, and whether there
// is any key with this id.
func (s *keySet) find(kid, alg string) (keys []jwt.VerificationKey, known bool) {
	if s == nil {
		return nil, false
	}
	same, known := s.byID[kid]
	for i := range same {
		if slices.Contains(same[i].algs, alg) {
			keys = append(keys, same[i].key)
		}
	}
	return keys, known
}

// fitting returns all keys for the algorithm, whatever their id, the same ones
// each time in an order that may differ.
func (s *keySet) fitting(alg string) (keys []jwt.VerificationKey) {
	for id := range s.byID {
		fit, _ := s.find(id, alg)
		keys = append(keys, fit...)
	}
	return keys
}

// keeps reports whether every key of old is still in s.
func (s *keySet) keeps(old *keySet) bool {
	if old == nil {
		return true
	}
	for kid, keys := range old.byID {
		for i := range keys {
			if !slices.ContainsFunc(s.byID[kid], func(k webKey) bool { return k.print == keys[i].print }) {
				return false
			}
		}
	}
	return true
}

// jwkWire is a JSON Web Key (RFC 7517, 7518 section 6, 8037 section 2).
type jwkWire struct {
	Kty string   `json:"kty"`
	Use string   `json:"use"`
	Ops []string `json:"key_ops"`
	Kid string   `json:"kid"`
	Alg string   `json:"alg"`
	Crv string   `json:"crv"`
	N   string   `json:"n"`
	E   string   `json:"e"`
	X   string   `json:"x"`
	Y   string   `json:"y"`
}

// jwkNames are the members that count, of exactly these names and each once
// (RFC 7517 section 4).
var jwkNames = codec.Names{
	"kty": nil, "use": nil, "key_ops": nil, "kid": nil, "alg": nil, "crv": nil, "n": nil, "e": nil, "x": nil, "y": nil,
}

// decodeKeySet decodes the document of a key server. Keys that are not for
// signatures, or are of a kind or strength that is not accepted here, are left
// out; the error says that it is no key set at all.
func decodeKeySet(body []byte) (*keySet, error) {
	// Why: as with claims, the lenient decoder below works on checked text only.
	text, err := codec.AppendCompact(make([]byte, 0, len(body)), body, codec.Limits{})
	if err != nil {
		return nil, fmt.Errorf("no key set: %w", err)
	}
	var doc struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if text[0] != '{' {
		return nil, errors.New(`no key set: a JSON object with "keys" expected`)
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, errors.New(`no key set: "keys" is not a list`)
	}
	if doc.Keys == nil {
		return nil, errors.New(`no key set: there is no list "keys"`)
	}
	set := &keySet{byID: make(map[string][]webKey)}
	for _, raw := range *doc.Keys {
		var w jwkWire
		raw, err := codec.AppendExact(nil, raw, jwkNames)
		if err != nil || len(raw) == 0 || raw[0] != '{' || json.Unmarshal(raw, &w) != nil || !w.verifies() {
			continue
		}
		if k, ok := w.key(); ok {
			kid := strings.Clone(w.Kid) // not the whole document
			set.byID[kid] = append(set.byID[kid], k)
		}
	}
	return set, nil
}

// verifies reports whether a key may be used to check signatures: "use" and
// "key_ops" are optional (RFC 7517 section 4.2 and 4.3).
func (w *jwkWire) verifies() bool {
	return (w.Use == "" || w.Use == "sig") && (w.Ops == nil || slices.Contains(w.Ops, "verify"))
}

// Algorithms by family; an EC key has just the one of its curve.
var (
	rsaAlgs = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	okpAlgs = []string{"EdDSA"}
	ecAlgs  = map[string][]string{"P-256": {"ES256"}, "P-384": {"ES384"}, "P-521": {"ES512"}}
)

var curves = map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}

// webAlgs returns every algorithm that a key set can have keys for. Keys are
// public, so no HMAC: a secret there would be anybody's.
func webAlgs() []string {
	all := slices.Concat(rsaAlgs, okpAlgs)
	for _, algs := range ecAlgs {
		all = append(all, algs...)
	}
	return all
}

// key returns the key that is written down, if it is one that can be used.
func (w *jwkWire) key() (webKey, bool) {
	k := webKey{}
	var err error
	switch w.Kty {
	case "RSA":
		k.algs = rsaAlgs
		k.key, err = w.rsaKey()
	case "EC":
		k.algs = ecAlgs[w.Crv]
		k.key, err = w.ecKey()
	case "OKP":
		k.algs = okpAlgs
		k.key, err = w.edKey()
	default:
		return k, false
	}
	if err != nil {
		return k, false
	}
	if w.Alg != "" {
		if !slices.Contains(k.algs, w.Alg) {
			return k, false
		}
		k.algs = []string{strings.Clone(w.Alg)}
	}
	k.print = digestOf(strings.Join([]string{w.Kty, w.Alg, w.Crv, w.N, w.E, w.X, w.Y}, " "))
	return k, true
}

// maxRSABits bounds what the check of one signature may cost.
const maxRSABits = 8192

func (w *jwkWire) rsaKey() (*rsa.PublicKey, error) {
	n, errN := unbase64URL(w.N)
	e, errE := unbase64URL(w.E)
	if err := errors.Join(errN, errE); err != nil {
		return nil, err
	}
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(n)}
	exponent := new(big.Int).SetBytes(e)
	if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits {
		return nil, fmt.Errorf("%d bits: %d to %d expected", bits, minRSABits, maxRSABits)
	}
	// crypto/rsa takes odd exponents of 2 to 31 bits.
	if exponent.BitLen() < 2 || exponent.BitLen() > 31 || exponent.Bit(0) == 0 || key.N.Bit(0) == 0 {
		return nil, errors.New("not a modulus and an exponent")
	}
	key.E = int(exponent.Int64())
	return key, nil
}

func (w *jwkWire) ecKey() (*ecdsa.PublicKey, error) {
	curve := curves[w.Crv]
	if curve == nil {
		return nil, errors.New("unknown curve")
	}
	x, errX := unbase64URL(w.X)
	y, errY := unbase64URL(w.Y)
	if err := errors.Join(errX, errY); err != nil {
		return nil, err
	}
	size := (curve.Params().BitSize + 7) / 8
	if len(x) > size || len(y) > size {
		return nil, errors.New("coordinates too long")
	}
	point := make([]byte, 1+2*size)
	point[0] = 4 // uncompressed, SEC 1 section 2.3.3
	copy(point[1+size-len(x):], x)
	copy(point[1+2*size-len(y):], y)
	return ecdsa.ParseUncompressedPublicKey(curve, point)
}

func (w *jwkWire) edKey() (ed25519.PublicKey, error) {
	x, err := unbase64URL(w.X)
	if err != nil {
		return nil, err
	}
	if w.Crv != "Ed25519" || len(x) != ed25519.PublicKeySize {
		return nil, errors.New("not an Ed25519 key")
	}
	return x, nil
}

// unbase64URL decodes the base64 of RFC 7515 section 2; the padding that some
// servers add is let through.
func unbase64URL(s string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
}
