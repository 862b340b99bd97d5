package auth

import (
	"fmt"
	"testing"

	"sluice/gateway/testkit"

	"github.com/stretchr/testify/require"
)

func TestEndpointTemplatesAreFilledFromIssuerAndAudience(t *testing.T) {
	publicA, privateA := edPair(t)
	publicB, privateB := edPair(t)
	a := newKeyServer(t, testkit.WebKey(t, "k", publicA))
	v := newKeyedVerifier(t, a.URL+"/{{realm}}/{{ app }}/keys?r={{realm}}", func(o *Options) {
		o.IssuerRegex = `^https://id\.example\.com/(?P<realm>one|two)$`
		o.AudienceRegex = `^(?P<app>web|mobile)$`
	})
	claims := func(iss, aud string) string { return fmt.Sprintf(`{"sub":"42","iss":%q,"aud":%s}`, iss, aud) }
	requireIdentity(t, v, edToken(t, privateA, "k", claims("https://id.example.com/one", `["x","mobile","web"]`)), "42")
	require.Equal(t, []string{"/one/mobile/keys?r=one"}, a.requested())
	// The same key id of another realm is another key.
	a.set(t, testkit.WebKey(t, "k", publicB))
	requireIdentity(t, v, edToken(t, privateB, "k", claims("https://id.example.com/two", `"web"`)), "42")
	requireInvalid(t, v, edToken(t, privateB, "k", claims("https://id.example.com/one", `"mobile"`)))
	requireIdentity(t, v, edToken(t, privateA, "k", claims("https://id.example.com/one", `"mobile"`)), "42")
	requireInvalid(t, v, edToken(t, privateA, "k", claims("https://id.example.com/three", `"web"`)))
	requireInvalid(t, v, edToken(t, privateA, "k", claims("https://id.example.com/one", `"desktop"`)))
	require.Equal(t, []string{"/one/mobile/keys?r=one", "/two/web/keys?r=two"}, a.requested())
}

func TestClaimsCannotLeaveTheEndpointOfATemplate(t *testing.T) {
	rules := newClaimRules(&Options{IssuerRegex: `(?s)^(?P<t>.*)$`})
	f := func(template, value, want string) {
		t.Helper()
		got, err := newEndpointURL(template, &rules).of(&keyQuery{issuer: value})
		if want == "" {
			require.Error(t, err, got)
			return
		}
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	const host, path = "https://{{t}}.example.com/keys", "https://h/{{t}}/keys"
	f(host, "one", "https://one.example.com/keys")
	f(path, "one", "https://h/one/keys")
	f(path, "a/b", "https://h/a/b/keys")
	f(path, "a..b", "https://h/a..b/keys")
	for _, bad := range []string{"evil.com/", "evil.com/x?", "evil.com#", "u@evil.com", "a:80", "a\\b", "a b", "a%2fb", "é", "a\x00", "a\n", ""} {
		f(host, bad, "")
	}
	for _, bad := range []string{"..", "../x", "x/../..", "%2e%2e", "%2E./x", "a b", "a\\..", "a\r\nb", "é", "\x7f", "%zz"} {
		f(path, bad, "")
	}
	// The part of a URL that only looks like its path.
	f("https://h.example.com?t={{t}}", "a", "https://h.example.com?t=a")
}

func TestNewVerifierRefusesBadEndpoints(t *testing.T) {
	f := func(want string, o Options) {
		t.Helper()
		v, err := NewVerifier(o)
		require.Nil(t, v)
		require.ErrorContains(t, err, want)
	}
	f("is not a URL: allowed a URL with http:// or https://", Options{JWKSPublicEndpoint: "keys.json"})
	f("is not a URL: allowed a URL with http:// or https://", Options{JWKSPublicEndpoint: "file:///etc/passwd"})
	f("is not a URL: allowed a URL with http:// or https://", Options{JWKSPublicEndpoint: "{{t}}://h/", IssuerRegex: "(?P<t>https)"})
	f("no group (?P<t>...)", Options{JWKSPublicEndpoint: "https://h/{{t}}"})
	f("no group (?P<t>...)", Options{JWKSPublicEndpoint: "https://h/{{t}}", IssuerRegex: "(?P<x>a)"})
	f("no group (?P<>...)", Options{JWKSPublicEndpoint: "https://h/{{}}", IssuerRegex: "(a)"})
	f("auth: token.audience_regex: set together with audience", Options{JWKSPublicEndpoint: "https://h/", Audience: "a", AudienceRegex: "a"})
	const url = "https://u:secret@h/{{t}}"
	f(`group "t" fills a part of the URL and could match anything`, Options{JWKSPublicEndpoint: url, IssuerRegex: "(?P<t>.*)"})
	v, err := NewVerifier(Options{JWKSPublicEndpoint: url, IssuerRegex: "(?P<t>.*)", InsecureSkipJWKSEndpointSafetyCheck: true})
	require.NoError(t, err)
	v.Close()
}
