package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// oldConfig is a file of version 5 as people have them, 40 lines with what
// Sluice has and with what it lacks.
const oldConfig = `{
  "token_hmac_secret_key": "hmac-secret-of-thirty-two-bytes-.",
  "token_audience": "app",
  "swagger": true,
  "admin": true,
  "admin_password": "pw-9f86d081884c7d65",
  "admin_secret": "admin-secret-of-thirty-two-bytes",
  "api_key": "key-9f86d081884c7d65",
  "api_insecure": false,
  "address": "127.0.0.1",
  "port": 8000,
  "internal_port": "9000",
  "health": true,
  "prometheus": true,
  "uni_sse": true,
  "uni_sse_max_request_body_size": 65536,
  "websocket_disable": true,
  "allowed_origins": ["https://app.example.com"],
  "allow_anonymous_connect_without_token": false,
  "allow_subscribe_for_client": true,
  "ping_interval": "20s",
  "client_channel_limit": 256,
  "client_queue_max_size": 2097152,
  "client_user_connection_limit": 8,
  "user_subscribe_to_personal": true,
  "user_personal_channel_namespace": "personal",
  "global_history_meta_ttl": "168h",
  "proxy_refresh_endpoint": "http://127.0.0.1:3001/refresh",
  "proxy_refresh_timeout": "2s",
  "proxy_http_headers": ["Cookie", "X-Request-Id"],
  "log_level": "info",
  "shutdown_timeout": "20s",
  "namespaces": [
    {"name": "personal", "presence": true},
    {
      "name": "chat",
      "presence": true, "join_leave": true, "force_push_join_leave": true,
      "history_size": 100, "history_ttl": "300s", "force_recovery": true
    }
  ]
}
`

// A file of version 5 becomes one of version 6 that checkconfig --strict has
// nothing against, in each format, and that is no longer than it has to be.
func TestConvertconfig(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "old.json")
	require.NoError(t, os.WriteFile(old, []byte(oldConfig), 0o600))
	_, _, code := command("checkconfig", "--strict", "-c", old)
	require.Equal(t, 1, code, "the old file fails")
	for _, name := range configNames {
		path := filepath.Join(dir, "new-"+name)
		out, errs, code := command("convertconfig", old, path)
		require.Equal(t, 0, code, out)
		require.Empty(t, out)
		require.Contains(t, errs, ":4: swagger: not supported, ignored: ")
		require.NotContains(t, errs, "a flat key of versions 4 and 5")
		require.Contains(t, errs, path+" written. Next: sluice checkconfig --strict -c "+path+"\n")
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Less(t, strings.Count(string(text), "\n"), 90)
		for _, gone := range []string{"swagger", "websocket", "max_request_body_size", "insecure", "8000", "redis"} {
			require.NotContains(t, string(text), gone)
		}

		out, errs, code = command("checkconfig", "--strict", "-c", path)
		require.Equal(t, 0, code, out)
		require.Empty(t, out)
		require.Empty(t, errs)

		out, _, code = command("convertconfig", old, path)
		require.Equal(t, 1, code)
		require.Equal(t, "error: target file already exists: "+path+"\n", out)
		again, _, code := command("convertconfig", path)
		require.Equal(t, 0, code)
		require.Equal(t, string(text), again, "what is short already stays as it is")
	}
}

// What the server would refuse is not converted, and nothing is written.
func TestConvertconfigRefuses(t *testing.T) {
	dir := t.TempDir()
	to := filepath.Join(dir, "new.yaml")
	f := func(want, text string) {
		t.Helper()
		out, _, code := command("convertconfig", configFile(t, text), to)
		require.Equal(t, 1, code)
		require.Contains(t, out, want)
		require.NoFileExists(t, to)
	}
	f("config.json:1: http_server.port (written as port): \"x\" is not a port", `{"port": "x"}`)
	f("config.json:2: http_server.reuse_port is on with the memory engine: not supported, ", "{\n\"http_server\": {\"reuse_port\": \"on\"}}")
	out, _, code := command("convertconfig", configFile(t, `{"broker": "nats", "nats_url": "nats://h:1"}`))
	require.Equal(t, 0, code)
	require.Contains(t, out, "nats://h:1")
	out, _, code = command("convertconfig", filepath.Join(dir, "none.json"), to)
	require.Equal(t, 1, code)
	require.Contains(t, out, "none.json: not found")
	out, _, code = command("convertconfig", configFile(t, `{}`), filepath.Join(dir, "new.ini"))
	require.Equal(t, 1, code)
	require.Contains(t, out, "allowed .json, .yaml, .yml, .toml")
	for _, args := range [][]string{nil, {"a", "b", "c"}} {
		_, errs, code := command(append([]string{"convertconfig"}, args...)...)
		require.Equal(t, 1, code)
		require.Contains(t, errs, "the old file expected")
	}
}

// Values keep their kind, tables are not empty, and hooks that nobody wanted are
// not there.
func TestConvertconfigWritesNothingThatSaysNothing(t *testing.T) {
	old := configFile(t, `{"uni_sse": true, "internal_port": "8132", "proxy_connect_endpoint": "http://127.0.0.1:1/c",
		"proxy_http_headers": ["X-A"], "namespaces": [{"name": "aa"}]}`)
	path := filepath.Join(t.TempDir(), "new.toml")
	out, _, code := command("convertconfig", old, path)
	require.Equal(t, 0, code, out)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, `[uni_sse]
enabled = true

[http_server]
internal_port = 8132

[client.proxy.connect]
enabled = true
endpoint = "http://127.0.0.1:1/c"
http_headers = ["X-A"]

[[channel.namespaces]]
name = "aa"
`, string(text))
}

// A file of a fleet on Redis becomes one that goes on working: nothing is left out of it, and
// nobody is told of another engine.
func TestConvertconfigKeepsTheEngineOnRedis(t *testing.T) {
	const rest = `, "uni_sse": true, "allow_subscribe_for_client": true, "api_key": "key-9f86d081884c7d65", "token_hmac_secret_key": "hmac-secret-of-thirty-two-bytes-."}`
	f := func(redis string, want ...string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "new.yaml")
		out, errs, code := command("convertconfig", configFile(t, "{"+redis+rest), path)
		require.Equal(t, 0, code, out)
		require.Equal(t, path+" written. Next: sluice checkconfig --strict -c "+path+"\n", errs)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, line := range append(want, `type: "redis"`) {
			require.Contains(t, string(text), line)
		}
		out, errs, code = command("checkconfig", "--strict", "-c", path)
		require.Equal(t, 0, code, out)
		require.Empty(t, out+errs)
	}
	f(`"engine": "redis"`)
	f(`"engine": "redis", "redis_address": "h:1", "redis_password": "9f86d081884c7d65", "redis_prefix": "p", "redis_db": 3, "global_presence_ttl": "90s"`,
		`address: ["h:1"]`, `password: "9f86d081884c7d65"`, `prefix: "p"`, `db: 3`, `presence_ttl: "1m30s"`)
	f(`"engine": "redis", "redis_address": ["redis://h1:1", "redis://h2:1"], "redis_tls": true, "redis_force_resp2": true`, `address: ["redis://h1:1", "redis://h2:1"]`, `force_resp2: true`)
	f(`"engine": "redis", "redis_cluster_address": ["h1:1,h2:1"], "redis_presence_hash_field_ttl": true`, `cluster_address: ["h1:1,h2:1"]`, `presence_hash_field_ttl: true`)
	f(`"engine": "redis", "redis_sentinel_address": "h1:1,h2:1", "redis_sentinel_master_name": "m", "redis_sentinel_password": "9f86d081884c7d65"`,
		`sentinel_master_name: "m"`, `sentinel_password: "9f86d081884c7d65"`)
	f(`"engine": "redis", "redis_address": "redis+sentinel://h:1?sentinel_master_name=m"`, `address: ["redis+sentinel://h:1?sentinel_master_name=m"]`)
}
