package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"strings"
	"testing"

	"sluice/gateway/testkit"

	"github.com/stretchr/testify/require"
)

func FuzzKeySet(f *testing.F) {
	public, _ := edPair(f)
	f.Add(keySetText(f, testkit.WebKey(f, "a", rsaKey().Public()), testkit.WebKey(f, "b", ecKey(f, elliptic.P521()).Public()), testkit.WebKey(f, "c", public)))
	for _, seed := range []string{
		``, `{}`, `{"keys":null}`, `{"keys":[null,1,[],{}]}`, `{"keys":[{"kid":1}]}`, "<!doctype html>", `[{"keys":[]}]`,
		`{"keys":[{"kty":"RSA","use":"sig","kid":"k","n":"","e":""}]}`,
		`{"keys":[{"kty":"EC","use":"sig","kid":"k","crv":"P-256","x":"AA","y":"AA"}]}`,
		`{"keys":[{"kty":"OKP","use":"sig","kid":"k","crv":"Ed25519","x":"AA"}],"keys":[]}`,
		`{"KEYS":[{"KTY":"oct","USE":"sig","KID":"k","k":"AA"}]}`,
		`{"keys":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		set, err := decodeKeySet([]byte(text))
		if err != nil {
			require.Nil(t, set)
			return
		}
		require.True(t, set.keeps(set))
		for kid, keys := range set.byID {
			require.NotEmpty(t, kid)
			for _, k := range keys {
				require.NotEmpty(t, k.algs)
				switch p := k.key.(type) {
				case *rsa.PublicKey:
					require.Subset(t, rsaAlgs, k.algs)
					require.GreaterOrEqual(t, p.N.BitLen(), minRSABits)
					require.LessOrEqual(t, p.N.BitLen(), maxRSABits)
				case *ecdsa.PublicKey:
					require.Equal(t, ecAlgs[p.Curve.Params().Name], k.algs)
					_, err := p.Bytes()
					require.NoError(t, err, "a point that is not on its curve")
				case ed25519.PublicKey:
					require.Equal(t, okpAlgs, k.algs)
					require.Len(t, p, ed25519.PublicKeySize)
				default:
					t.Fatalf("a key of type %T", p)
				}
			}
		}
	})
}
