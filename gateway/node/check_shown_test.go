package node_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/config/schema"
)

const planted = "hunter2-do-not-show"

// everything returns all that a Load said.
func everything(t *testing.T, g given) string {
	t.Helper()
	_, rep, err := g.load(t)
	return fmt.Sprint(rep.Warnings, err)
}

func TestSecretsNeverShow(t *testing.T) {
	f := func(text string) {
		t.Helper()
		said := everything(t, fromJSON(text))
		require.NotContains(t, said, planted)
		require.Contains(t, said, "config: ", "the text has to be refused for this test to mean something: "+text)
	}
	// A secret of the wrong type, in every place that holds one.
	for _, o := range config.Options() {
		if o.Secret != schema.SecretAll || o.InObject {
			continue
		}
		value := `["` + planted + `"]`
		if o.Kind == schema.KindStringMap {
			value = `{"Authorization": ["` + planted + `"], "X": "` + planted + `"}`
		}
		parts := strings.Split(o.Key, ".")
		for i := len(parts) - 1; i >= 0; i-- {
			value = `{"` + parts[i] + `": ` + value + `}`
		}
		f(value)
	}
	// A secret where a section should be, and URLs with secrets.
	for _, text := range []string{
		`{"client": "S"}`, `{"client": {"token": "S"}}`, `{"admin": "S"}`, `{"engine": "redis://:S@h"}`, `{"engine": {"redis": "S"}}`,
		`{"http_server": {"tls": "S"}}`, `{"client": {"proxy": {"connect": {"http": "S"}}}}`, `"S"`,
		`{"client": {"proxy": {"connect": {"enabled": true, "endpoint": "grpc://u:S@h"}}}}`,
		`{"client": {"proxy": {"connect": {"enabled": true, "endpoint": "http://u:S@?S"}}}}`,
		`{"client": {"proxy": {"connect": {"enabled": true, "endpoint": "u:S@h"}}}}`,
		`{"client": {"token": {"jwks_public_endpoint": "ftp://u:S@h/?key=S"}}}`,
		`{"engine": {"type": "redis", "redis": {"address": "http://u:S@h:1"}}}`,
		`{"engine": {"type": "redis", "redis": {"address": "u:S@h:x:y"}}}`,
		`{"engine": {"type": "redis", "redis": {"address": "redis://u:%S@h"}}}`,
		`{"engine": {"type": "redis", "redis": {"cluster_address": ["h?password=S"]}}}`,
		`{"broker": {"enabled": true, "type": "nats", "nats": {"url": "x://u:S@h, x://u:S@h"}}}`,
		`{"http_server": {"tls": {"enabled": true, "cert_pem": "S", "key_pem": "S"}}}`,
		`{"client": {"proxy": {"connect": {"enabled": true, "endpoint": "http://h", "http": {"static_headers": {"A": "S\n"}}}}}}`,
		`{"client": {"token": {"hmac_secret_key": "S"}}`, `{"client": S}`, `{"client": "S`, `{S}`,
	} {
		f(strings.ReplaceAll(text, "S", planted))
	}
}

func TestSecretsInFilesOfOtherFormatsNeverShow(t *testing.T) {
	for name, texts := range map[string][]string{
		"c.yaml": {
			"client: {token: {hmac_secret_key: [S]}}", "token_hmac_secret_key: {S: S}", "api_key: &S [S", "api_key: \"S", "admin_password: !S S", "S", "- S", "a: *S",
			"redis_address: 'http://u:S@h:1'\nengine: redis", "engine: redis://:S@h", "api_key: S\n x: S\n: S", "admin: S", "a: @S", "a: `S",
			"proxy_static_http_headers: {A: [S]}", "proxy_connect_endpoint: 'grpc://u:S@h'", "api_key: 'S' S", "? [S]\n: S",
		},
		"c.toml": {
			"api_key = [\"S\"]", "api_key = S", "api_key = \"S", "api_key = 'S' S", "[S", "api_key = \"\\S\"", "api_key = 1S", "S", "api_key = '''S", "api_key = { S", "api_key = 0xS",
			"engine = \"redis://:S@h\"", "proxy_connect_endpoint = \"grpc://u:S@h\"", "[http_api]\nkey = [\"S\"]", "admin = \"S\"", "api_key = 1979-05-27TS",
		},
	} {
		for _, text := range texts {
			said := everything(t, file(name, strings.ReplaceAll(text, "S", planted)))
			require.NotContains(t, said, planted, text)
			require.Contains(t, said, "config: ", text)
		}
	}
}

// Whatever option an address is given to, its user and password are in no error and no finding. So is a secret that stands
// where the path of its file should be.
func TestUserinfoNeverShowsWhereverItStands(t *testing.T) {
	values := []string{
		"https://S:S@host/path", "https://S:x@S@host", "S:S@host:1", "S@host", "//S:S@host", "https://S:S@ho st/(",
		"ftp://S:S@host", "https://S:\"S@host", "grpc://" + strings.Repeat("S", 40) + "@host",
	}
	n := 0
	try := func(key, value string) {
		n++
		value = strings.ReplaceAll(value, "S", planted)
		quoted, err := json.Marshal(value)
		require.NoError(t, err)
		for _, text := range []string{nest(key, string(quoted)), nest(key, "["+string(quoted)+"]"), nest(key, `{`+string(quoted)+`: 1}`)} {
			text = strings.ReplaceAll(text, "[]", "")
			require.NotContains(t, everything(t, fromJSON(text)), planted, text)
		}
		require.NotContains(t, everything(t, given{flags: map[string]string{key: value}}), planted, key)
	}
	for _, o := range config.Options() {
		if o.InObject {
			continue
		}
		for _, value := range values {
			try(o.Key, value)
			if o.File {
				try(o.Key+"_file", value)
			}
		}
	}
	require.Greater(t, n, 1000)
	for _, text := range []string{
		`{"S:S@host": 1}`, `{"client": {"https://S:S@host": 1}}`, `{"client.https://S:S@host": 1}`,
		`{"client": {"proxy": {"connect": {"enabled": true, "endpoint": "http://h", "http_headers": ["https://S:S@host"]}}}}`,
		`{"client": {"proxy": {"connect": {"enabled": true, "endpoint": "http://h", "http": {"static_headers": {"https://S:S@host": "a"}}}}}}`,
		`{"channel": {"namespaces": [{"name": "https://S:S@host"}]}}`, `{"channel": {"namespaces": [{"name": "aa", "channel_regex": "https://S:S@host("}]}}`,
		`{"client": {"connect_code_to_unidirectional_disconnect": {"transforms": [{"code": 1, "to": {"code": 4000, "reason": "\u0001https://S:S@host"}}]}}}`,
		`{"granular_proxy_mode": true, "connect_proxy_name": "https://S:S@host", "proxies": []}`,
		`{"granular_proxy_mode": true, "connect_proxy_name": "x", "proxies": [{"name": "https://S:S@host"}]}`,
	} {
		require.NotContains(t, everything(t, fromJSON(strings.ReplaceAll(text, "S", planted))), planted, text)
	}
}
