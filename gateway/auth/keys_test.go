package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"sluice/codec"
)

func header(m jwt.SigningMethod) string { return `{"alg":"` + m.Alg() + `","typ":"JWT"}` }

func TestEveryFamilyOfKeysIsActiveTogether(t *testing.T) {
	ec := ecKey(t, elliptic.P256())
	v := newTestVerifier(t, func(o *Options) {
		o.RSAPublicKey = publicPEM(t, rsaKey().Public())
		o.ECDSAPublicKey = publicPEM(t, ec.Public())
	})
	f := func(m jwt.SigningMethod, key any) {
		t.Helper()
		requireIdentity(t, v, sign(t, m, key, header(m), `{"sub":"42"}`), "42")
	}
	f(jwt.SigningMethodHS256, []byte(secret))
	f(jwt.SigningMethodHS384, []byte(secret))
	f(jwt.SigningMethodHS512, []byte(secret))
	f(jwt.SigningMethodRS256, rsaKey())
	f(jwt.SigningMethodRS384, rsaKey())
	f(jwt.SigningMethodRS512, rsaKey())
	f(jwt.SigningMethodPS256, rsaKey())
	f(jwt.SigningMethodPS384, rsaKey())
	f(jwt.SigningMethodPS512, rsaKey())
	f(jwt.SigningMethodES256, ec)
}

func TestOnlyTheAlgorithmOfTheCurveIsAccepted(t *testing.T) {
	methods := map[elliptic.Curve]*jwt.SigningMethodECDSA{
		elliptic.P256(): jwt.SigningMethodES256,
		elliptic.P384(): jwt.SigningMethodES384,
		elliptic.P521(): jwt.SigningMethodES512,
	}
	for curve, own := range methods {
		key := ecKey(t, curve)
		v := newTestVerifier(t, func(o *Options) { o.HMACSecretKey, o.ECDSAPublicKey = "", publicPEM(t, key.Public()) })
		for _, m := range methods {
			token := ecToken(t, key, m)
			if m == own {
				requireIdentity(t, v, token, "42")
			} else {
				requireInvalid(t, v, token)
			}
		}
	}
}

// ecToken signs with any pair of key and algorithm, also one that the library
// refuses to sign with: r and s are right for the digest, padded or cut to the
// size that the algorithm wants.
func ecToken(t *testing.T, key *ecdsa.PrivateKey, m *jwt.SigningMethodECDSA) string {
	t.Helper()
	text := segment(header(m)) + "." + segment(`{"sub":"42"}`)
	h := m.Hash.New()
	h.Write([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, h.Sum(nil))
	require.NoError(t, err)
	limit := new(big.Int).Lsh(big.NewInt(1), uint(8*m.KeySize))
	sig := make([]byte, 2*m.KeySize)
	r.Mod(r, limit).FillBytes(sig[:m.KeySize])
	s.Mod(s, limit).FillBytes(sig[m.KeySize:])
	return text + "." + segment(string(sig))
}

func TestWithoutKeysEveryTokenIsInvalid(t *testing.T) {
	v := newTestVerifier(t, func(o *Options) { o.HMACSecretKey = "" })
	requireInvalid(t, v, mint(t, `{"sub":"42"}`))
	requireInvalid(t, v, sign(t, jwt.SigningMethodHS256, []byte(""), header(jwt.SigningMethodHS256), `{"sub":"42"}`))
	requireInvalid(t, v, sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, `{"alg":"none"}`, `{"sub":"42"}`))
}

func TestForgedTokensAreInvalid(t *testing.T) {
	rsaPEM := publicPEM(t, rsaKey().Public())
	ec := ecKey(t, elliptic.P256())
	v := newTestVerifier(t, func(o *Options) {
		o.RSAPublicKey = rsaPEM
		o.ECDSAPublicKey = publicPEM(t, ec.Public())
	})
	const payload = `{"sub":"42"}`
	good := mint(t, payload)
	h, rest, _ := strings.Cut(good, ".")
	p, sig, _ := strings.Cut(rest, ".")
	hs := func(header string) string {
		return sign(t, jwt.SigningMethodHS256, []byte(secret), header, payload)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	for name, token := range map[string]string{
		"HMAC with the RSA public key":            sign(t, jwt.SigningMethodHS256, []byte(rsaPEM), header(jwt.SigningMethodHS256), payload),
		"HMAC with the RSA public key, trimmed":   sign(t, jwt.SigningMethodHS256, []byte(strings.TrimSpace(rsaPEM)), header(jwt.SigningMethodHS256), payload),
		"HMAC with the DER of the RSA public key": sign(t, jwt.SigningMethodHS256, derOf(t, rsaPEM), header(jwt.SigningMethodHS256), payload),
		"HMAC with an empty key":                  sign(t, jwt.SigningMethodHS256, []byte{}, header(jwt.SigningMethodHS256), payload),
		"HMAC that claims to be RSA":              hs(`{"alg":"RS256"}`),
		"HS256 that claims to be HS512":           hs(`{"alg":"HS512"}`),
		"RSA with another key":                    sign(t, jwt.SigningMethodRS256, other, header(jwt.SigningMethodRS256), payload),
		"RSA key that claims to be ECDSA":         sign(t, jwt.SigningMethodRS256, rsaKey(), `{"alg":"ES256"}`, payload),
		"none":                                    segment(`{"alg":"none"}`) + "." + p + ".",
		"none with a signature":                   segment(`{"alg":"none"}`) + "." + p + "." + sig,
		"None":                                    segment(`{"alg":"None"}`) + "." + p + ".",
		"NONE":                                    segment(`{"alg":"NONE"}`) + "." + p + ".",
		"empty alg":                               segment(`{"alg":""}`) + "." + p + ".",
		"alg in lower case":                       hs(`{"alg":"hs256"}`),
		"alg with a space":                        hs(`{"alg":"HS256 "}`),
		"alg key in capitals":                     hs(`{"ALG":"HS256"}`),
		"alg is a list":                           hs(`{"alg":["HS256"]}`),
		"alg is null":                             hs(`{"alg":null}`),
		"no alg":                                  hs(`{"typ":"JWT"}`),
		"second alg is none":                      hs(`{"alg":"HS256","alg":"none"}`),
		"critical extension":                      hs(`{"alg":"HS256","crit":["b64"],"b64":false}`),
		"header is a list":                        hs(`[]`),
		"header is null":                          hs(`null`),
		"header is not JSON":                      hs(`{"alg":"HS256"`),
		"payload exchanged":                       h + "." + segment(`{"sub":"43"}`) + "." + sig,
		"signature cut":                           good[:len(good)-4],
		"no signature":                            h + "." + p + ".",
		"two parts":                               h + "." + p,
		"four parts":                              good + "." + sig,
		"one part":                                h,
		"empty":                                   "",
		"dots":                                    "..",
		"padding":                                 good + "=",
		"not base64":                              h + ".!." + sig,
		"blank in front":                          " " + good,
		"bearer":                                  "Bearer " + good,
		"signature of another token":              h + "." + p + "." + mint(t, `{}`)[strings.LastIndexByte(mint(t, `{}`), '.')+1:],
		"ECDSA signature of zeros":                segment(`{"alg":"ES256"}`) + "." + p + "." + segment(string(make([]byte, 64))),
	} {
		t.Run(name, func(t *testing.T) { requireInvalid(t, v, token) })
	}
	requireIdentity(t, v, good, "42")
}

func derOf(t *testing.T, text string) []byte {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	require.NotNil(t, block)
	return block.Bytes
}

func TestHugeTokensAreRefusedBeforeParsing(t *testing.T) {
	v := newTestVerifier(t, nil)
	long := mint(t, `{"sub":"42","info":"`+strings.Repeat("x", 1<<20)+`"}`)
	requireInvalid(t, v, long)
	requireInvalid(t, v, strings.Repeat(".", 1<<20))
	requireInvalid(t, v, strings.Repeat(".", 5000))
	requireInvalid(t, v, strings.Repeat("e30.", 5000))
	_, err := v.VerifyConnect(long, now)
	require.ErrorContains(t, err, "at most 65536 expected")

	fits := mint(t, `{"sub":"42","info":"`+strings.Repeat("x", 48000)+`"}`)
	require.Less(t, len(fits), maxToken)
	require.Len(t, requireIdentity(t, v, fits, "42").Info.String(), 48002)
}

func TestDeeplyNestedClaimsAreRefused(t *testing.T) {
	v := newTestVerifier(t, nil)
	const n = 20000
	requireInvalid(t, v, mint(t, `{"info":`+strings.Repeat("[", n)+strings.Repeat("]", n)+`}`))
	requireInvalid(t, v, mint(t, strings.Repeat(`{"subs":`, 5000)+"1"+strings.Repeat("}", 5000)))
	requireInvalid(t, v, sign(t, jwt.SigningMethodHS256, []byte(secret),
		`{"alg":"HS256","x":`+strings.Repeat("[", n)+strings.Repeat("]", n)+`}`, `{}`))
}

func TestPreviousHMACKeyCountsUntilItsTime(t *testing.T) {
	until := now.Unix()
	v := newTestVerifier(t, func(o *Options) {
		o.HMACPreviousSecretKey = "old"
		o.HMACPreviousSecretKeyValidUntil = until
	})
	old := sign(t, jwt.SigningMethodHS384, []byte("old"), header(jwt.SigningMethodHS384), `{"sub":"42"}`)
	current := mint(t, `{"sub":"43"}`)
	f := func(token string, at time.Time, ok bool) {
		t.Helper()
		_, err := v.VerifyConnect(token, at)
		require.Equal(t, ok, err == nil, "%v", err)
	}
	end := time.Unix(until+1, 0)
	for range 2 { // the second time from the cache
		f(old, now, true)
		f(current, now, true)
		f(old, end.Add(-1), true)
		f(current, end.Add(-1), true)
	}
	f(old, end, false)
	f(current, end, true)
	f(old, end, false)
	requireInvalid(t, v, sign(t, jwt.SigningMethodHS256, []byte("older"), header(jwt.SigningMethodHS256), `{}`))

	alone := newTestVerifier(t, func(o *Options) { o.HMACSecretKey, o.HMACPreviousSecretKey = "", "old" })
	requireIdentity(t, alone, old, "42")
	requireInvalid(t, alone, current)
}

func TestPreviousHMACKeyIsNotUsedForOtherFamilies(t *testing.T) {
	v := newTestVerifier(t, func(o *Options) {
		o.HMACPreviousSecretKey = "old"
		o.RSAPublicKey = publicPEM(t, rsaKey().Public())
	})
	token := sign(t, jwt.SigningMethodRS256, rsaKey(), header(jwt.SigningMethodRS256), `{"sub":"42"}`)
	requireIdentity(t, v, token, "42")
	requireInvalid(t, v, sign(t, jwt.SigningMethodHS256, []byte("old"), `{"alg":"RS256"}`, `{"sub":"42"}`))
}

func TestSkippingTheSignatureSkipsNothingElse(t *testing.T) {
	v := newTestVerifier(t, func(o *Options) {
		o.HMACSecretKey = ""
		o.InsecureSkipTokenSignatureVerify = true
		o.Audience = "us"
		o.IssuerRegex = "^good"
	})
	const ok = `"aud":"us","iss":"good one"`
	requireIdentity(t, v, mint(t, `{"sub":"42",`+ok+`}`), "42")
	requireIdentity(t, v, segment(`{"alg":"none"}`)+"."+segment(`{"sub":"42",`+ok+`}`)+".", "42")
	requireInvalid(t, v, mint(t, `{"sub":"42","aud":"them","iss":"good one"}`))
	requireInvalid(t, v, mint(t, `{"sub":"42","aud":"us","iss":"bad"}`))
	requireInvalid(t, v, mint(t, `{"sub":42,`+ok+`}`))
	requireInvalid(t, v, mint(t, `{"channel":"x",`+ok+`}`))
	requireInvalid(t, v, "a.b.c")
	requireError(t, v, mint(t, `{"exp":1,`+ok+`}`), now, codec.ErrTokenExpired)
}

func TestNewVerifierRefusesBadOptions(t *testing.T) {
	small := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: derOf(t, publicPEM(t,
		&rsa.PublicKey{N: new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 511), big.NewInt(1)), E: 65537}))})
	ec := publicPEM(t, ecKey(t, elliptic.P256()).Public())
	for _, c := range []struct {
		name, want string
		o          Options
	}{
		{"RSA key is not PEM", "auth: token.rsa_public_key: the value is not an RSA public key", Options{RSAPublicKey: "key"}},
		{"RSA key is an ECDSA key", "auth: token.rsa_public_key: the value is not an RSA public key", Options{RSAPublicKey: ec}},
		{"RSA key is small", "rsa_public_key: the key has 512 bits", Options{RSAPublicKey: string(small)}},
		{"ECDSA key is not PEM", "auth: token.ecdsa_public_key: the value is not an ECDSA public key", Options{ECDSAPublicKey: "key"}},
		{"ECDSA key is an RSA key", "auth: token.ecdsa_public_key: the value is not an ECDSA public key", Options{ECDSAPublicKey: publicPEM(t, rsaKey().Public())}},
		{"ECDSA curve", "the key has the curve P-224", Options{ECDSAPublicKey: publicPEM(t, ecKey(t, elliptic.P224()).Public())}},
		{"two audiences", "token.audience_regex: set together with audience", Options{Audience: "a", AudienceRegex: "b"}},
		{"two issuers", "token.issuer_regex: set together with issuer", Options{Issuer: "a", IssuerRegex: "b"}},
		{"audience regex", "audience_regex: \"(\" is not a regular expression", Options{AudienceRegex: "("}},
		{"issuer regex", "issuer_regex: \"(\" is not a regular expression", Options{IssuerRegex: "("}},
		{"user id claim", "user_id_claim: \"user-id\" is not the name of a claim", Options{UserIDClaim: "user-id"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := NewVerifier(c.o)
			require.Nil(t, v)
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := NewVerifier(Options{RSAPublicKey: "x", Audience: "a", AudienceRegex: "("})
	require.Equal(t, 3, len(strings.Split(err.Error(), "\n")), "%v", err)
}

// The age of a cached answer is a span, the end of a key is a date: neither stands
// in for the other when the wall clock is set.
func TestCachedTokenOfAPreviousKeyEndsWithTheWallClock(t *testing.T) {
	until := now.Add(2 * time.Hour)
	v := newTestVerifier(t, func(o *Options) {
		o.HMACPreviousSecretKey = "old"
		o.HMACPreviousSecretKeyValidUntil = until.Unix()
	})
	old := sign(t, jwt.SigningMethodHS384, []byte("old"), header(jwt.SigningMethodHS384), `{"sub":"42"}`)
	e, err := v.verify(old, now, nil)
	require.NoError(t, err)
	require.Equal(t, momentOf(time.Unix(until.Unix()+1, 0), never), e.keysUntil)
	require.Equal(t, sinceBegin(now), e.found)
	e.found = sinceBegin(now.Add(23 * time.Hour)) // as it looks when the wall clock is set three hours ahead
	require.True(t, e.usable(0, now.Add(time.Hour)))
	require.False(t, e.usable(0, now.Add(3*time.Hour)))
}

// A key may be good for longer than a date can say, as by a value in milliseconds.
func TestTokensOfAKeyThatIsGoodForEverAreCached(t *testing.T) {
	for _, until := range []int64{1900000000000, 9999999999999, 1900000000000000, math.MaxInt64 - 1, math.MaxInt64} {
		v := newTestVerifier(t, func(o *Options) {
			o.HMACPreviousSecretKey = "old"
			o.HMACPreviousSecretKeyValidUntil = until
		})
		token := mint(t, `{"sub":"42"}`)
		for range 3 {
			requireIdentity(t, v, token, "42")
		}
		require.EqualValues(t, 2, v.Stats().CacheHits.Load(), "%d", until)
	}
}
