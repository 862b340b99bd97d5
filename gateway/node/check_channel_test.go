package node_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChannelOptionsAreValidated(t *testing.T) {
	f := func(options, want string) {
		t.Helper()
		without := `{"channel": {"without_namespace": {` + options + `}}}`
		inside := `{"channel": {"namespaces": [{"name": "aa", ` + options + `}]}}`
		if want == "" {
			mustLoad(t, fromJSON(without))
			mustLoad(t, fromJSON(inside))
			return
		}
		refused(t, without, at+"channel.without_namespace."+want)
		refused(t, inside, at+"channel.namespaces[0]."+want)
	}
	const history = `"history_size": 10, "history_ttl": "60s", `
	f(`"history_size": 10, "history_ttl": "60s"`, "")
	f(`"history_size": 10`, `history_size: 10 needs history_ttl: allowed both or neither`)
	f(`"history_ttl": "60s"`, `history_ttl: 1m0s needs history_size: allowed both or neither`)
	f(`"history_size": 10, "history_ttl": "1500ms"`, `history_ttl: 1.5s: allowed whole seconds`)
	f(`"history_meta_ttl": "1500ms"`, `history_meta_ttl: 1.5s: allowed whole seconds`)
	f(history+`"history_meta_ttl": "59s"`, `history_ttl: 1m0s is more than history_meta_ttl (59s), so that positions would be forgotten before publications: allowed at most that`)
	f(history+`"history_meta_ttl": "60s"`, "")
	f(`"history_size": 1, "history_ttl": "721h"`,
		`history_ttl: 721h0m0s is more than channel.history_meta_ttl (720h0m0s), so that positions would be forgotten before publications: allowed at most that`)
	f(`"history_size": 1, "history_ttl": "721h", "history_meta_ttl": "800h"`, "")
	f(`"force_recovery": true`, `force_recovery: true needs history: set history_size and history_ttl`)
	f(history+`"force_recovery": true`, "")
	f(`"force_positioning": true`, "")
	f(history+`"auto_cache_recover": true, "force_recovery_mode": "cache"`, `auto_cache_recover: true needs force_recovery and force_recovery_mode "cache"`)
	f(history+`"auto_cache_recover": true, "force_recovery": true`, `auto_cache_recover: true needs force_recovery and force_recovery_mode "cache"`)
	f(history+`"auto_cache_recover": true, "force_recovery": true, "force_recovery_mode": "cache"`, "")
	f(`"channel_regex": "[a-z"`, "channel_regex: \"[a-z\" is not a regular expression (error parsing regexp: missing closing ]: `[a-z`): allowed RE2 syntax")
	f(`"history_size": -1`, `history_size: -1 is out of range: allowed 0 or more`)

	f(`"slow_policy": "drop_oldest", "conflate_key": "k", "max_rate": "1s"`, "")
	f(`"slow_policy": "disconnect", "force_positioning": true`, "")
	f(`"compression": ["zstd", "gzip"]`, "")
	f(`"compression": ["gzip", "gzip"]`, `compression: "gzip" stands there twice: allowed each coding once, the preferred one first`)
	f(`"compression": ["br"]`, `compression: "br" is unknown: allowed "dcz", "gzip", "zstd"`)
	for with, needs := range map[string]string{
		"force_recovery":    history + `"force_recovery": true`,
		"force_positioning": `"force_positioning": true`,
		"delta (allowed_delta_types or delta_publish)":  `"allowed_delta_types": ["fossil"]`,
		"delta (allowed_delta_types or delta_publish) ": `"delta_publish": true`,
	} {
		with = strings.TrimSpace(with)
		f(needs+`, "slow_policy": "drop_oldest"`, `slow_policy: "drop_oldest" leaves publications out and cannot go together with `+with+`: allowed "disconnect" there`)
		f(needs+`, "conflate_key": "k"`, `conflate_key: "k" leaves publications out and cannot go together with `+with+`: allowed empty there`)
		f(needs+`, "max_rate": "1s"`, `max_rate: 1s leaves publications out and cannot go together with `+with+`: allowed 0 there`)
	}
	require.Contains(t, warningsOf(t, `{"channel": {"without_namespace": {"subscription_type": "map"}}}`), `"map" is not supported`)
	require.Contains(t, warningsOf(t, `{"channel": {"without_namespace": {"allow_subscribe_for_anonymous": true}}}`), `true has no effect without allow_subscribe_for_client`)
}

func TestNamespacesAreValidated(t *testing.T) {
	f := func(names, want string) {
		t.Helper()
		refused(t, `{"channel": {"namespaces": [`+names+`]}}`, want)
	}
	mustLoad(t, fromJSON(`{"channel": {"namespaces": [{"name": "a-Z_0.9"}, {"name": "bb"}]}}`))
	f(`{"name": "bb"}, {"name": "bb"}`, at+`channel.namespaces[1].name: "bb" is already the name of channel.namespaces[0]: allowed a name of its own`)
	f(`{"presence": true}`, `channel.namespaces[0].name: "" is not the name of a namespace: allowed letters, digits, - _ and . , at least two of them`)
	for _, name := range []string{"x", "a:b", "ä ä", "a b"} {
		f(`{"name": "`+name+`"}`, at+`channel.namespaces[0].name: "`+name+`" is not the name of a namespace: allowed letters, digits, - _ and . , at least two of them`)
	}
	refused(t, `{"channel": {"history_meta_ttl": "100ms"}}`, at+`channel.history_meta_ttl: 100ms: allowed whole seconds`)
}

func TestPersonalChannelIsValidated(t *testing.T) {
	const section = "client.subscribe_to_user_personal_channel."
	f := func(personal, channel, want string) {
		t.Helper()
		text := `{"client": {"subscribe_to_user_personal_channel": ` + personal + `}, "channel": ` + channel + `}`
		if want == "" {
			mustLoad(t, fromJSON(text))
			return
		}
		refused(t, text, want)
	}
	const both = `{"namespaces": [{"name": "aa"}, {"name": "bb", "presence": true}]}`
	f(`{"enabled": true}`, `{}`, "")
	f(`{"enabled": true, "personal_channel_namespace": "aa"}`, both, "")
	f(`{"enabled": true, "personal_channel_namespace": "bb", "single_connection": true}`, both, "")
	f(`{"enabled": false, "personal_channel_namespace": "cc", "single_connection": true}`, both, "")
	f(`{"enabled": true, "single_connection": true}`, `{"without_namespace": {"presence": true}}`, "")
	f(`{"enabled": true, "personal_channel_namespace": "cc"}`, both,
		at+section+`personal_channel_namespace: "cc" is not among channel.namespaces: allowed "aa", "bb", or empty for none`)
	f(`{"enabled": true, "personal_channel_namespace": "cc"}`, `{}`,
		at+section+`personal_channel_namespace: "cc" is not among channel.namespaces: allowed the name of a namespace (there are none), or empty for none`)
	f(`{"enabled": true, "personal_channel_namespace": "aa", "single_connection": true}`, both,
		at+section+`single_connection: true needs presence in channel.namespaces[0]`)
	f(`{"enabled": true, "single_connection": true}`, `{}`, at+section+`single_connection: true needs presence in channel.without_namespace`)
}
