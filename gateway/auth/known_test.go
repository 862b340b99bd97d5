package auth

import (
	"fmt"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// warm returns a verifier that knows the header of mint.
func warm(t testing.TB, change func(*Options)) *Verifier {
	t.Helper()
	v := newTestVerifier(t, func(o *Options) {
		if o.CacheSize = -1; change != nil {
			change(o)
		}
	})
	requireIdentity(t, v, mint(t, `{"sub":"1","user_id":"1","iss":"us","aud":["them"]}`), "1")
	require.Len(t, *v.headers.all.Load(), 1)
	return v
}

func TestKnownHeadersChangeNoAnswer(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"plain":      nil,
		"user claim": func(o *Options) { o.UserIDClaim = "user_id" },
		"issuer":     func(o *Options) { o.IssuerRegex, o.Audience = "^us$", "them" },
	} {
		t.Run(name, func(t *testing.T) {
			v := warm(t, change)
			good := mint(t, `{"sub":"42","user_id":"43","iss":"us","aud":["them"],"info":{"a":1},"channels":["x","y"]}`)
			first, last := strings.IndexByte(good, '.'), strings.LastIndexByte(good, '.')
			head, claims, signature := good[:first], good[first+1:last], good[last+1:]
			tokens := []string{
				good, good + ".", good + ".x", "." + good, head, head + ".", head + "..", head + "." + claims, head + "." + claims + ".",
				head + "." + claims + "." + signature[1:], head + "." + claims[1:] + "." + signature, head + ".." + signature,
				head + "." + claims + "\n." + signature, good + "\n", good + "=", head + ".!." + signature, good + "!", "",
			}
			for _, payload := range []string{
				`{}`, `null`, `[]`, ` {} `, `{"sub":5}`, `{"sub":null}`, `{"sub":"a\u0062"}`, `{"su\u0062":"c"}`, `{"sub":"1","sub":"2"}`, `{"SUB":"1"}`, `{"user_id":7}`,
				`{"iss":5}`, `{"iss":null}`, `{"iss":"us","aud":"them"}`, `{"iss":"us","aud":["them",1]}`, `{"iss":"other","aud":"them"}`,
				`{"exp":1}`, `{"nbf":99999999999}`, `{"expire_at":1}`, `{"expire_at":"1"}`, `{"expire_at":2147483647}`, `{"exp":"1900000000"}`, `{"exp":1.5e9}`,
				`{"info":null,"meta":null}`, `{"b64info":"eyJhIjoxfQ=="}`, `{"b64info":""}`, `{"b64info":"!"}`, `{"info":{"a":[1, 2]},"meta":"m"}`,
				`{"channel":"x"}`, `{"channel":""}`, `{"channels":[]}`, `{"channels":null}`, `{"channels":["a","a",""]}`, `{"channels":["\u0061"]}`, `{"channels":[1]}`, `{"channels":{}}`,
				`{"subs":{"a":{"info":1},"b":null}}`, `{"subs":{"a":1}}`, "{\"sub\":\"\xff\"}", `{"sub":"é"}`, strings.Repeat("[", 300), `{"sub":"` + strings.Repeat("x", 5000) + `"}`,
			} {
				tokens = append(tokens, mint(t, payload))
			}
			for _, token := range tokens {
				cold := newTestVerifier(t, func(o *Options) {
					if o.CacheSize = -1; change != nil {
						change(o)
					}
				})
				want, wantErr := cold.VerifyConnect(token, now)
				got, err := v.VerifyConnect(token, now)
				require.Equal(t, want, got, "%q", token)
				require.Equal(t, fmt.Sprint(wantErr), fmt.Sprint(err), "%q", token)
			}
		})
	}
}

// What strangers write is not remembered, nor is more than a few headers.
func TestHeadersAreKnownOnceATokenIsRight(t *testing.T) {
	v := newTestVerifier(t, nil)
	good := mint(t, `{"sub":"42"}`)
	_, err := v.VerifyConnect(good[:len(good)-1]+"A"+good[len(good)-1:], now)
	require.Error(t, err)
	require.Nil(t, v.headers.all.Load())
	for i := range 3 * maxKnownHeaders {
		requireIdentity(t, v, sign(t, jwt.SigningMethodHS256, []byte(secret), fmt.Sprintf(`{"alg":"HS256","kid":"%d"}`, i), `{"sub":"42"}`), "42")
	}
	require.Len(t, *v.headers.all.Load(), maxKnownHeaders)
}

func FuzzPlainClaims(f *testing.F) {
	f.Add(`{"sub":"42","exp":1900000000,"info":{"name":"Alice"},"channels":["news"]}`, "")
	f.Add(`{"user_id":5,"iss":"us","aud":["a"],"nbf":"1","meta":null,"info":null,"expire_at":-1,"b64info":"e30="}`, "user_id")
	f.Add(`{"sub":"\u0061","channel":"","x":{},"subs":{}}`, "sub")
	f.Fuzz(func(t *testing.T, src, userIDClaim string) {
		text, err := codec.AppendCompact(nil, []byte(src), codec.Limits{})
		if err != nil || text[0] != '{' || userIDClaim != "" && !userIDClaimPattern.MatchString(userIDClaim) {
			return
		}
		plain, full := new(claims), new(claims)
		if !plain.readPlain(text, userIDClaim) {
			require.Zero(t, *plain)
			return
		}
		require.NoError(t, full.read(text, userIDClaim))
		require.Equal(t, full, plain)
	})
}
