package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		`{}`, `[]`, `null`, ``, `{"uni_sse": true}`, `{"http_server": {"port": "abc", "address": "["}}`,
		`{"channel": {"namespaces": [{"name": "news", "history_size": 1, "history_ttl": "1s", "force_recovery": true}, null, 1]}}`,
		`{"client": {"allowed_origins": ["*", "{a", "[!", "\\"], "token": {"issuer_regex": "(?P<t>a|b)", "jwks_public_endpoint": "https://x/{{t}}"}}}`,
		`{"client": {"proxy": {"connect": {"enabled": true, "endpoint": "http://[", "http": {"static_headers": {"a": "${SLUICE_VAR_X}"}}}}}}`,
		`{"engine": {"type": "redis", "redis": {"address": ["redis://:x@h", 1]}}, "broker": {"enabled": true, "type": "nats"}}`,
		`{"engine": {"type": "redis", "redis": {"cluster_address": ["a:1,b:2", ","], "sentinel_address": "s:1", "sentinel_tls": {"enabled": true}, "presence_ttl": "1ms"}}}`,
		`{"engine": {"type": "redis", "redis": {"sharded_pubsub": true, "reference_control": true, "prefix": ""}}, "presence_manager": {"enabled": true, "redis": {"probe_interval": "1s"}}}`,
		`{"cluster": {"survey_timeout": "9ms"}, "client": {"user_connection_limit_scope": ["node"]}, "broker": {"enabled": true, "type": "redis", "redis": null}}`,
		`{"uni_sse": {"retry": "9s-1s", "connect_code_to_http_response": {"transforms": [{"code": 1}, {}]}}}`,
		`{"websocket": {"disabled": 0}, "consumers": [1], "client.token": 1, "ſse": {"enabled": true}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, rep, err := fromJSON(string(data)).load()
		require.NotNil(t, rep)
		require.Equal(t, err == nil, c != nil)
		if err == nil {
			_, _, again := fromJSON(string(data)).load()
			require.NoError(t, again)
		}
	})
}

// FuzzText feeds every option the same text, as an environment variable would.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"", "1", "-1", "true", "25s", "1s-2s", "1e400", "0x1p-2", "NaN", "{}", "[{}]", "9223372036854775808", "-", "\xff"} {
		f.Add(seed)
	}
	options := Options()
	f.Fuzz(func(t *testing.T, text string) {
		env := make([]string, 0, len(options))
		for _, o := range options {
			if o.Env != "" && !o.InObject {
				env = append(env, o.Env+"="+text)
			}
		}
		c, _, err := given{env: env}.load()
		require.Equal(t, err == nil, c != nil)
	})
}

// FuzzLoadFormats loads the same bytes as a file of each format, end to end.
func FuzzLoadFormats(f *testing.F) {
	for _, seed := range []string{
		"uni_sse: true\nport: [", "a: &a [*a, *b]\n<<: *a", "uni_sse = true\n[[namespaces]]\nname = 'x'\n[namespaces.a]", "? a\n: !!int b", "a: |\n  x",
		`{"uni_sse": true, "namespaces": [{"name": "aa", "proxy_subscribe": 1}, null], "engine": "redis", "broker": "nats", "proxies": [{"name": 1}, 2]}`,
		`{"granular_proxy_mode": true, "connect_proxy_name": {}, "refresh_proxy_name": "a", "proxies": [{"name": "a", "grpc_x": 1, "endpoint_file": "x"}]}`,
		`{"api_key_file": "x", "http_api": {"key_file": 1, "key": "y"}, "history_meta_ttl": 5, "tls": {"enabled": true}, "admin": [], "redis_tls_key_file": ""}`,
		`{"engine": "redis", "redis_address": ["h:1", 2], "redis_cluster_address": "a:1,b:1", "redis_sentinel_tls": {}, "global_presence_ttl": 1, "redis_use_lists": "x"}`,
		"a.b.c = [{x=1},\n{y=1979-05-27}]\n\"\\u00e9\" = '''\n'''", "- a\n-\n  - b: {c: d}", "%YAML 1.2\n---\na: 1\n...\n", "\tx: 1", `a: "\x"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for ext := range formats {
			c, rep, err := file("c"+ext, string(data)).load()
			require.NotNil(t, rep)
			require.Equal(t, err == nil, c != nil)
			for _, finding := range rep.Findings {
				require.NotEmpty(t, finding.Kind)
				require.NotEmpty(t, finding.Detail)
			}
		}
	})
}
