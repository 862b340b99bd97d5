package auth

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// keySource knows the keys that tokens are signed with. Its methods may be
// called from any goroutine.
type keySource interface {
	// methods returns every "alg" that the source can have a key for. It is
	// asked once.
	methods() []string
	// keys returns what may have signed a token, in the order to try; it
	// holds until the given time, zero for no end. An error that wraps a
	// codec.Disconnect decides what the client is told, any other is an
	// invalid token.
	keys(q *keyQuery, now time.Time) (keys []jwt.VerificationKey, until time.Time, err error)
	// generation changes whenever a key went away; tokens that were verified
	// before do not count any more.
	generation() uint64
	// close ends what the source has running; it is called once.
	close()
}

// renewer is a keySource whose keys may be newer elsewhere.
type renewer interface {
	// renew looks for newer keys for a token without a key id that no key
	// has signed, and has found try again with each. It returns nil as soon
	// as that reports success. token stands for the token.
	renew(q *keyQuery, token digest, found func() bool) error
	// proved tells that a key which was returned for q has signed a token.
	proved(q *keyQuery)
}

// keyQuery is what a token says about its key. Nothing of it is verified.
type keyQuery struct {
	alg, kid string // of the header
	issuer   string
	audience []string
	waits    Waits // for whoever fetches keys; nil: it may

	// endpoint is what jwks.keys notes for proved.
	endpoint *endpoint
}

// minRSABits is what crypto/rsa itself wants of a key at least.
const minRSABits = 1024

// staticKeys are the keys of the configuration, by algorithm: a key is only
// ever used with the algorithms of its own family and, for ECDSA, its curve,
// whatever the token says. That is what keeps an RSA public key from being
// taken for an HMAC secret.
type staticKeys struct {
	byAlg         map[string][]jwt.VerificationKey
	previous      []jwt.VerificationKey // HMAC keys with the previous one, nil without
	previousUntil int64                 // Unix seconds, 0 = no end
}

// newStaticKeys returns those of options that were checked.
func newStaticKeys(o *Options) *staticKeys {
	k := &staticKeys{byAlg: make(map[string][]jwt.VerificationKey), previousUntil: min(o.HMACPreviousSecretKeyValidUntil, farFuture)}
	k.addHMAC(o)
	if key, _ := parseRSA(o.RSAPublicKey); key != nil {
		k.allow([]jwt.VerificationKey{key}, jwt.SigningMethodRS256, jwt.SigningMethodRS384, jwt.SigningMethodRS512,
			jwt.SigningMethodPS256, jwt.SigningMethodPS384, jwt.SigningMethodPS512)
	}
	if key, method, _ := parseECDSA(o.ECDSAPublicKey); key != nil {
		k.allow([]jwt.VerificationKey{key}, method)
	}
	return k
}

func (k *staticKeys) addHMAC(o *Options) {
	var main []jwt.VerificationKey
	if o.HMACSecretKey != "" {
		main = []jwt.VerificationKey{[]byte(o.HMACSecretKey)}
	}
	if o.HMACPreviousSecretKey != "" {
		k.previous = append(main[:len(main):len(main)], []byte(o.HMACPreviousSecretKey))
	}
	if len(main) > 0 || len(k.previous) > 0 {
		k.allow(main, jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512)
	}
}

// parseRSA returns the key of client.token.rsa_public_key, nil without one, or
// what is wrong with it.
func parseRSA(text string) (key *rsa.PublicKey, wrong string) {
	if text == "" {
		return nil, ""
	}
	key, err := jwt.ParseRSAPublicKeyFromPEM([]byte(text))
	if err != nil {
		return nil, "the value is not an RSA public key: allowed PEM text"
	}
	if bits := key.N.BitLen(); bits < minRSABits {
		return nil, fmt.Sprintf("the key has %d bits: allowed %d or more", bits, minRSABits)
	}
	return key, ""
}

// parseECDSA does so for client.token.ecdsa_public_key, with what the key signs.
func parseECDSA(text string) (key *ecdsa.PublicKey, method jwt.SigningMethod, wrong string) {
	if text == "" {
		return nil, nil, ""
	}
	key, err := jwt.ParseECPublicKeyFromPEM([]byte(text))
	if err != nil {
		return nil, nil, "the value is not an ECDSA public key: allowed PEM text"
	}
	for _, m := range []*jwt.SigningMethodECDSA{jwt.SigningMethodES256, jwt.SigningMethodES384, jwt.SigningMethodES512} {
		if m.CurveBits == key.Curve.Params().BitSize {
			return key, m, ""
		}
	}
	return nil, nil, fmt.Sprintf("the key has the curve %s: allowed P-256, P-384 and P-521", key.Curve.Params().Name)
}

func (k *staticKeys) allow(keys []jwt.VerificationKey, methods ...jwt.SigningMethod) {
	for _, m := range methods {
		k.byAlg[m.Alg()] = keys
	}
}

func (k *staticKeys) methods() []string {
	algs := make([]string, 0, len(k.byAlg)) // not nil: nil would allow every algorithm
	for alg := range k.byAlg {
		algs = append(algs, alg)
	}
	return algs
}

func (k *staticKeys) keys(q *keyQuery, now time.Time) ([]jwt.VerificationKey, time.Time, error) {
	if k.previous == nil || !isHMAC(q.alg) {
		return k.byAlg[q.alg], time.Time{}, nil
	}
	if k.previousUntil == 0 {
		return k.previous, time.Time{}, nil
	}
	if now.Unix() > k.previousUntil {
		return k.byAlg[q.alg], time.Time{}, nil
	}
	return k.previous, time.Unix(k.previousUntil+1, 0), nil
}

func isHMAC(alg string) bool {
	_, ok := jwt.GetSigningMethod(alg).(*jwt.SigningMethodHMAC)
	return ok
}

func (k *staticKeys) generation() uint64 { return 0 }

func (k *staticKeys) close() {}
