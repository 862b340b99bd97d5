package node_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPatternsThatNoBrowserCanSendAreWarnedOf(t *testing.T) {
	const at = "file config.json:1: client.allowed_origins: "
	f := func(pattern, want string) {
		t.Helper()
		require.Equal(t, at+fmt.Sprintf("%q ", pattern)+want, warningsOf(t, fmt.Sprintf(`{"client": {"allowed_origins": [%q]}}`, pattern)))
	}
	f("https://app.example.com/", "has a path, but an origin ends behind host and port: write https://app.example.com")
	f("https://app.example.com:443", "has the default port, which browsers leave out: write https://app.example.com")
	f("app.example.com", "has no scheme: write https://app.example.com")
	f("https://a.example,https://b.example",
		"looks like several origins in one: make each an entry of its own; in a variable or a flag separate them by spaces")
	require.Empty(t, warningsOf(t, `{"client": {"allowed_origins": ["https://*.example.com", "http://localhost:*", "*.example.com"]}}`))

	_, rep := mustLoad(t, given{env: []string{`SLUICE_CLIENT_ALLOWED_ORIGINS=["https://a.example","https://b.example"]`}})
	require.Contains(t, strings.Join(rep.Warnings, "\n"), `env SLUICE_CLIENT_ALLOWED_ORIGINS: client.allowed_origins: `+
		`"[\"https://a.example\",\"https://b.example\"]" looks like JSON`)
	_, _, err := given{env: []string{`SLUICE_CLIENT_ALLOWED_ORIGINS=["https://b-a.example"`}}.load(t)
	require.ErrorContains(t, err, "looks like JSON", "a pattern that cannot be compiled says so too")
}

func TestOriginsOfAnybodyTogetherWithAmbientCredentialsAreRefused(t *testing.T) {
	const header = `{"http_server": {"trusted_proxies": ["10.0.0.7"]}, "client": {"allowed_origins": [%q], "user_id_http_header": "X-User"}}`
	const cookie = `{"client": {"allowed_origins": [%q], "token_cookie": "session"}}`
	const hook = `{"client": {"allowed_origins": [%q], "proxy": {"%s": {"enabled": true, "endpoint": "http://b.example/", "http_headers": ["X-A", "cookie"]}}}}`
	connect, refresh := fmt.Sprintf(hook, "%q", "connect"), fmt.Sprintf(hook, "%q", "refresh")
	connect, refresh = strings.Replace(connect, `"%q"`, "%q", 1), strings.Replace(refresh, `"%q"`, "%q", 1)
	for with, text := range map[string]string{
		"client.user_id_http_header": header, "client.token_cookie": cookie,
		"Cookie in client.proxy.connect.http_headers": connect, "Cookie in client.proxy.refresh.http_headers": refresh,
	} {
		for _, pattern := range []string{"*", "**", "https://*", "http*://*", "*://*", "https://*.com", "*example.com", "null"} {
			_, _, err := fromJSON(strings.Replace(text, "%q", fmt.Sprintf("%q", pattern), 1)).load(t)
			require.ErrorContains(t, err, fmt.Sprintf("client.allowed_origins: %q lets pages of anybody in", pattern))
			require.ErrorContains(t, err, "with "+with+" a browser says who the user is")
			require.ErrorContains(t, err, "allowed origins whose owner is named")
		}
		mustLoad(t, fromJSON(strings.Replace(text, "%q", `"https://*.example.com"`, 1)))
	}
	for _, text := range []string{
		`{"client": {"allowed_origins": ["*"]}}`,
		`{"client": {"allowed_origins": ["*"], "proxy": {"connect": {"enabled": true, "endpoint": "http://b.example/", "http_headers": ["Authorization"]}}}}`,
		`{"client": {"allowed_origins": ["*"], "proxy": {"connect": {"enabled": false, "endpoint": "http://b.example/", "http_headers": ["Cookie"]}}}}`,
	} {
		require.Contains(t, warningsOf(t, text), `["*"] lets the pages of every site connect`)
	}
	require.Contains(t, warningsOf(t, `{"client": {"allowed_origins": ["https://*example.com"]}}`),
		`"https://*example.com" lets pages of anybody connect: https://`)
}

func TestAUserHeaderNeedsTrustedProxies(t *testing.T) {
	_, _, err := fromJSON(`{"client": {"user_id_http_header": "X-User"}}`).load(t)
	require.EqualError(t, err, `config: file config.json:1: client.user_id_http_header: "X-User" needs http_server.trusted_proxies: `+
		`without it every client could say who it is; allowed only with the addresses of the proxies that authenticate`)
	require.Empty(t, warningsOf(t, `{"http_server": {"trusted_proxies": ["10.0.0.7"]}, "client": {"user_id_http_header": "X-User"}}`))
	require.Contains(t, warningsOf(t, `{"client": {"user_id_http_header": "X-User", "insecure": true}}`), "has no effect without http_server.trusted_proxies")
	_, _, err = fromJSON(`{"client_user_id_http_header": "X-User"}`).load(t)
	require.ErrorContains(t, err, "needs http_server.trusted_proxies", "of version 5 too")
	_, _, err = fromJSON(`{"http_server": {"trusted_proxies": ["10.0.0.7"], "proxy_protocol": true, "forwarded_header": "none"}, "client": {"user_id_http_header": "X-User"}}`).load(t)
	require.ErrorContains(t, err, "cannot be the proxy's with http_server.forwarded_header none")
}
