package check_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// A start that nobody can use says so in one line for each reason, and a usable one says nothing.
func TestAStartThatNobodyCanUseIsNamed(t *testing.T) {
	const (
		off     = `uni_sse.enabled: false: no stream can be opened; set it to true`
		closed  = `client.token: no key, and no other way in: nobody can connect; set client.token.hmac_secret_key or another key, client.allow_anonymous_connect_without_token, or client.proxy.connect`
		nothing = `channel: nothing that clients may ask for: only tokens and calls of the API give channels; set channel.without_namespace.allow_subscribe_for_client, or that of a namespace`
		nobody  = nothing + `, and allow_subscribe_for_anonymous there, since nobody can be anybody else`
	)
	f := func(text string, want ...string) {
		t.Helper()
		rep := load(t, text, nil)
		got := []string{}
		for _, found := range rep.Findings {
			if slices.Contains([]string{"uni_sse.enabled", "client.token", "channel"}, found.Key) {
				got = append(got, found.String())
			}
		}
		require.Equal(t, append([]string{}, want...), got, text)
	}
	f(`{}`, off, closed, nobody)
	f(`{"uni_sse": {"enabled": true}}`, closed, nobody)
	f(`{"broadcast": {"enabled": true}}`)
	const open = `{"uni_sse": {"enabled": true}, `
	for _, key := range []string{`"hmac_secret_key": "ssssssssssssssssssssssssssssssss"`, `"hmac_previous_secret_key": "ssssssssssssssssssssssssssssssss"`, `"jwks_public_endpoint": "https://h/"`} {
		f(open+`"client": {"token": {`+key+`}}}`, nothing)
	}
	f(open+`"client": {"token": {"ecdsa_public_key": "checked by package auth"}}}`, nothing)
	f(open+`"client": {"user_id_http_header": "X-User"}, "http_server": {"trusted_proxies": ["10.0.0.1"]}}`, nothing)
	f(open+`"client": {"insecure_skip_token_signature_verify": true}}`, nothing)
	f(open+`"client": {"allow_anonymous_connect_without_token": true}}`, nobody)
	f(open + `"client": {"insecure": true}}`)
	f(open + `"client": {"proxy": {"connect": {"enabled": true, "endpoint": "http://h"}}}}`)

	const keyed, anonymous = open + `"client": {"token": {"hmac_secret_key": "ssssssssssssssssssssssssssssssss"}}, `, open + `"client": {"allow_anonymous_connect_without_token": true}, `
	f(keyed + `"channel": {"without_namespace": {"allow_subscribe_for_client": true}}}`)
	f(keyed + `"channel": {"namespaces": [{"name": "aa"}, {"name": "bb", "allow_subscribe_for_client": true}]}}`)
	f(keyed + `"channel": {"without_namespace": {"allow_user_limited_channels": true}}}`)
	f(keyed+`"channel": {"user_boundary": "", "without_namespace": {"allow_user_limited_channels": true}}}`, nothing)
	f(keyed+`"channel": {"namespace_boundary": "", "namespaces": [{"name": "bb", "allow_subscribe_for_client": true}]}}`, nothing)
	f(keyed+`"channel": {"without_namespace": {"allow_subscribe_for_client": true, "subscribe_proxy_enabled": true}}}`, nothing)
	f(keyed+`"channel": {"without_namespace": {"allow_subscribe_for_client": true, "subscription_type": "map"}}}`, nothing)
	f(keyed+`"channel": {"without_namespace": {"allow_subscribe_for_anonymous": true}}}`, nothing)
	f(open + `"client": {"token": {"hmac_secret_key": "ssssssssssssssssssssssssssssssss"}, "subscribe_to_user_personal_channel": {"enabled": true}}}`)
	f(open+`"client": {"allow_anonymous_connect_without_token": true, "subscribe_to_user_personal_channel": {"enabled": true}}}`, nobody)
	f(anonymous + `"channel": {"without_namespace": {"allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true}}}`)
	f(anonymous+`"channel": {"without_namespace": {"allow_subscribe_for_client": true}}}`, nobody)
	f(anonymous+`"channel": {"without_namespace": {"allow_user_limited_channels": true}}}`, nobody)
}
