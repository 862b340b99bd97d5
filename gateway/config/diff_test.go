package config

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDiffTellsWhatTakesEffectAndWhatNeedsARestart(t *testing.T) {
	load := func(text string) *Config {
		c, _ := mustLoad(t, fromJSON(text))
		return c
	}
	before := load(`{"http_api": {"key": "old-secret"}, "client": {"token": {"hmac_secret_key": "old-secret", "audience": "a"}, "allowed_origins": ["https://a"]},
		"channel": {"namespaces": [{"name": "aa"}, {"name": "bb", "history_size": 10, "history_ttl": "60s"}, {"name": "cc"}]}}`)
	after := load(`{"http_api": {"key": "new-secret"}, "client": {"token": {"hmac_secret_key": "new-secret", "audience": "b"}, "ping_interval": "30s"},
		"http_server": {"port": 9000}, "engine": {"redis": {"address": "redis://:new-secret@h"}},
		"channel": {"max_length": 100, "namespaces": [{"name": "dd"}, {"name": "bb", "history_size": 20, "history_ttl": "60s", "presence": true}, {"name": "aa", "slow_policy": "drop_oldest"}]}}`)
	live, restart := Diff(before, after)
	text := func(changes []Change, isLive bool) []string {
		var all []string
		for _, c := range changes {
			require.Equal(t, isLive, c.Live, c.Key)
			all = append(all, c.String())
		}
		return all
	}
	require.Equal(t, []string{
		`client.token.hmac_secret_key: changed`,
		`client.token.audience: "a" -> "b"`,
		`channel.namespaces[aa].slow_policy: "disconnect" -> "drop_oldest"`,
		`channel.namespaces[bb].presence: false -> true`,
		`channel.namespaces[bb].history_size: 10 -> 20`,
		`channel.namespaces[cc]: removed`,
		`channel.namespaces[dd]: added`,
		`channel.max_length: 255 -> 100`,
		`http_api.key: changed`,
	}, text(live, true))
	require.Equal(t, []string{
		`http_server.port: 8000 -> 9000`,
		`client.allowed_origins: ["https://a"] -> []`,
		`client.ping_interval: "25s" -> "30s"`,
		`engine.redis.address: changed`,
	}, text(restart, false))
}

func TestDiffOfEqualConfigurationsIsEmpty(t *testing.T) {
	a, b := Default(), Default()
	b.Client.AllowedOrigins, b.Channel.Namespaces = []string{}, []Namespace{}
	b.Client.Proxy.Connect.HTTP.StaticHeaders = map[string]string{}
	live, restart := Diff(a, b)
	require.Empty(t, live)
	require.Empty(t, restart)
	b.Channel.Namespaces = []Namespace{{Name: "b"}, {Name: "a"}}
	a.Channel.Namespaces = []Namespace{{Name: "a"}, {Name: "b"}}
	live, restart = Diff(a, b)
	require.Empty(t, append(live, restart...))
}

// A change of any option is found, and no secret shows.
func TestDiffFindsEveryOption(t *testing.T) {
	for _, o := range Options() {
		if o.InObject || o.Kind == "list of objects" {
			continue
		}
		value, _ := sampleOf(o)
		after := decodedAs(t, "c.json", nest(o.Key, value))
		live, restart := Diff(Default(), after)
		all := append(live, restart...)
		require.Len(t, all, 1, o.Key)
		require.Equal(t, o.Key, all[0].Key)
		require.Equal(t, o.Live, all[0].Live)
		require.Equal(t, o.File || o.Kind == "map of strings", all[0].Text == "changed", fmt.Sprint(o.Key, ": ", all[0].Text))
	}
}
