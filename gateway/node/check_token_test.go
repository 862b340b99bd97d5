package node_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/config/report"
)

func TestTokensAreValidated(t *testing.T) {
	const key = "client.token."
	f := func(fields, want string) {
		t.Helper()
		text := `{"client": {"token": {` + fields + `}}}`
		if want == "" {
			mustLoad(t, fromJSON(text))
			return
		}
		refused(t, text, want)
	}
	f(`"audience": "a", "audience_regex": "b"`, at+key+`audience_regex: set together with audience: allowed one of them`)
	f(`"issuer": "a", "issuer_regex": "b"`, at+key+`issuer_regex: set together with issuer: allowed one of them`)
	f(`"issuer_regex": "("`, at+key+"issuer_regex: \"(\" is not a regular expression (error parsing regexp: missing closing ): `(`): allowed RE2 syntax")
	f(`"user_id_claim": "user-id"`, at+key+`user_id_claim: "user-id" is not the name of a claim: allowed letters and _`)
	f(`"user_id_claim": "user_id"`, "")
	f(`"rsa_public_key": "x"`, at+key+`rsa_public_key: the value is not an RSA public key: allowed PEM text`)
	f(`"rsa_public_key": "`+oneLine(ecPublic)+`"`, at+key+`rsa_public_key: the value is not an RSA public key: allowed PEM text`)
	f(`"ecdsa_public_key": "`+oneLine(ecPublic)+`"`, "")
	f(`"ecdsa_public_key": "-----BEGIN"`, at+key+`ecdsa_public_key: the value is not an ECDSA public key: allowed PEM text`)
	f(`"jwks_public_endpoint": "keys"`, at+key+`jwks_public_endpoint: "keys" is not a URL: allowed a URL with http:// or https:// and a host`)
	require.Contains(t, warningsOf(t, `{"client": {"token": {"hmac_secret_key": "s", "jwks_public_endpoint": "https://k.example/"}}}`),
		"set: the other token keys are ignored")
}

func TestJWKSPlaceholdersMustBeSafe(t *testing.T) {
	const key = "client.token.jwks_public_endpoint"
	f := func(url, regex, want string) {
		t.Helper()
		text := `{"client": {"token": {"jwks_public_endpoint": "` + url + `", "issuer_regex": "` + regex + `"}}}`
		if want == "" {
			mustLoad(t, fromJSON(text))
			return
		}
		refused(t, text, at+key+": "+want)
	}
	const unsafe = `group "t" fills a part of the URL and could match anything: allowed plain alternatives such as (?P<t>one|two)`
	f("https://k/{{t}}/certs", "^https://i/(?P<t>one|two)$", "")
	f("https://k/{{ t }}", "(?P<t>a|b|abc|on|one)", "")
	f("https://{{t}}.k/", "(?P<t>(one)|t(?:wo|hree))", "")
	f("https://k/{{x}}", "(?P<t>one|two)", `no group (?P<x>...) in issuer_regex or audience_regex fills its {{x}}`)
	f("https://k/{{t}}", "", `no group (?P<t>...) in issuer_regex or audience_regex fills its {{t}}`)
	for _, group := range []string{".*", ".+", "[^x]+", "[a-z]*", "a*", "[a-z]", "(?i)one", "[./]", `\\w`, "^", "a{1,3}"} {
		f("https://k/{{t}}", "(?P<t>"+group+")", unsafe)
	}
	mustLoad(t, fromJSON(`{"client": {"token": {"jwks_public_endpoint": "https://k/{{t}}", "issuer_regex": "(?P<t>.*)", "insecure_skip_jwks_endpoint_safety_check": true}}}`))
}

func TestPublicKeysInAllTheirForms(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	pkix, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(t, err)
	encode := func(kind string, der []byte) string {
		return oneLine(string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
	}
	for _, text := range []string{
		`"rsa_public_key": "` + encode("PUBLIC KEY", pkix) + `"`,
		`"rsa_public_key": "` + encode("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&key.PublicKey)) + `"`,
		`"ecdsa_public_key": "` + oneLine(ecCert) + `"`,
	} {
		mustLoad(t, fromJSON(`{"client": {"token": {`+text+`}}}`))
	}
	for _, text := range []string{
		`"ecdsa_public_key": "` + encode("PUBLIC KEY", pkix) + `"`,
		`"rsa_public_key": "` + encode("PUBLIC KEY", []byte("junk")) + `"`,
		`"rsa_public_key": "` + encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)) + `"`,
	} {
		_, _, err := fromJSON(`{"client": {"token": {` + text + `}}}`).load(t)
		require.ErrorContains(t, err, "public key: allowed PEM text")
		require.NotContains(t, err.Error(), "BEGIN")
	}
}

// A key that can be guessed from a token is found, of either option and without
// showing it, and does not pass --strict; the server takes it all the same.
func TestShortHMACKeysAreFound(t *testing.T) {
	for _, key := range []string{"hmac_secret_key", "hmac_previous_secret_key"} {
		for n, weak := range map[int]bool{1: true, 31: true, 32: false, 64: false} {
			secret := strings.Repeat("s", n)
			c, rep := mustLoad(t, fromJSON(`{"uni_sse": {"enabled": true}, "http_api": {"key": "kkkkkkkkkkkkkkkk"}, "client": {"token": {"`+key+`": "`+secret+`"}}}`))
			require.Contains(t, []string{c.Client.Token.HMACSecretKey, c.Client.Token.HMACPreviousSecretKey}, secret)
			i := slices.IndexFunc(rep.Findings, func(f config.Finding) bool { return f.Kind == report.KindWeak })
			require.Equal(t, weak, i >= 0, "%s of %d bytes", key, n)
			if weak {
				f := rep.Findings[i]
				require.Equal(t, "client.token."+key, f.Key)
				require.Equal(t, fmt.Sprintf("%d bytes: whoever has a token can guess it; use 32 or more that are random, 64 for HS512", n), f.Detail)
				require.True(t, f.Kind.Strict())
			}
		}
	}
}
