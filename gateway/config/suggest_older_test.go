package config

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config/legacy"
	"sluice/gateway/config/schema"
)

// What the names of version 3 mean now, "" = nothing.
var (
	olderChannelNames = map[string]string{
		"recover":                     "force_recovery",
		"history_recover":             "force_recovery",
		"history_lifetime":            "history_ttl",
		"position":                    "force_positioning",
		"anonymous":                   "allow_subscribe_for_anonymous",
		"publish":                     "",
		"subscribe_to_publish":        "",
		"protected":                   "",
		"server_side":                 "",
		"presence_disable_for_client": "",
		"history_disable_for_client":  "",
	}
	olderNames = map[string]string{
		"secret":                           "client.token.hmac_secret_key",
		"client_anonymous":                 "client.allow_anonymous_connect_without_token",
		"v3_use_offset":                    "",
		"use_unlimited_history_by_default": "",
	}
)

// Of a name of version 3 or before it is said what means the same now, or that nothing does: never a name that is only alike.
func TestNamesBeforeVersion4(t *testing.T) {
	const is, gone = "a name of version 3", ", which nothing took the place of"
	for name, now := range olderChannelNames {
		alone, inside := is+gone, is+gone
		if now != "" {
			alone, inside = is+"; did you mean channel.without_namespace."+now+"?", is+"; did you mean channel.namespaces[0]."+now+"?"
			require.NotNil(t, schema.ChannelSection().ByName[now], now)
		}
		require.Equal(t, "file config.json:1: "+name+": unknown key, ignored: "+alone, warningsOf(t, nest(name, `"x"`)))
		require.Equal(t, "file config.json:1: channel.namespaces[0]."+name+": unknown key, ignored: "+inside,
			warningsOf(t, `{"channel": {"namespaces": [{"name": "news", "`+name+`": true}]}}`))
		require.Equal(t, "file config.json:1: channel.without_namespace."+name+": unknown key, ignored: "+alone,
			warningsOf(t, nest("channel.without_namespace."+name, "true")))
		require.Nil(t, legacy.Targets(name), name)
	}
	for name, now := range olderNames {
		want := is + gone
		if now != "" {
			want = is + "; did you mean " + now + "?"
			f, _ := schema.FindOption(now)
			require.NotNil(t, f, now)
		}
		require.Equal(t, "file config.json:1: "+name+": unknown key, ignored: "+want, warningsOf(t, nest(name, `"x"`)))
	}
	_, rep := mustLoad(t, given{env: []string{"CENTRIFUGO_PUBLISH=true", "CENTRIFUGO_RECOVER=true"}})
	require.Contains(t, rep.Warnings, "env CENTRIFUGO_PUBLISH: unknown variable, ignored: "+is+gone)
	require.Contains(t, rep.Warnings, "env CENTRIFUGO_RECOVER: unknown variable, ignored: "+is+"; did you mean CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_FORCE_RECOVERY?")
	_, _, err := given{flags: map[string]string{"publish": "true"}}.load()
	require.EqualError(t, err, "config: flag --publish: unknown option: "+is+gone)
	require.Empty(t, legacy.Suggest("publish"))
	require.Equal(t, "channel.without_namespace.force_recovery", legacy.Suggest("recover"))
}
