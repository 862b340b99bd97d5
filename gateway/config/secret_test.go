package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const planted = "hunter2-do-not-show"

// everything returns all that a Load said.
func everything(g given) string {
	_, rep, err := g.load()
	return fmt.Sprint(rep.Warnings, err)
}

func TestSecretsNeverShow(t *testing.T) {
	f := func(text string) {
		t.Helper()
		said := everything(fromJSON(text))
		require.NotContains(t, said, planted)
		require.Contains(t, said, "config: ", "the text has to be refused for this test to mean something: "+text)
	}
	// A secret of the wrong type, in every place that holds one.
	for _, o := range Options() {
		if !o.Secret || o.InObject {
			continue
		}
		value := `["` + planted + `"]`
		if o.Type == "map of strings" {
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

func TestSecretsInUnknownPlacesNeverShow(t *testing.T) {
	for _, text := range []string{
		`{"token_hmac_secret_key": "S"}`, `{"client": {"token": {"hmac_secret": "S"}}}`, `{"redis_password": "S"}`, `{"grpc_api": {"enabled": true, "key": "S"}}`,
		`{"client": {"subscription_token": {"enabled": true, "hmac_secret_key": "S"}}}`,
		`{"client": {"token": {"hmac_secret_key": "S", "hmac_secret_key": "S"}}}`,
	} {
		require.NotContains(t, everything(fromJSON(strings.ReplaceAll(text, "S", planted))), planted)
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
			said := everything(file(name, strings.ReplaceAll(text, "S", planted)))
			require.NotContains(t, said, planted, text)
			require.Contains(t, said, "config: ", text)
		}
	}
}

func TestSecretsOfTheEnvironmentNeverShow(t *testing.T) {
	for _, g := range []given{
		{env: []string{"SLUICE_CLIENT_PROXY_CONNECT_HTTP_STATIC_HEADERS={\"A\": " + planted}},
		{env: []string{"CENTRIFUGO_TOKEN_HMAC_SECRET_KEY=" + planted}},
		{env: []string{"CENTRIFUGO_GRPC_API_KEY=" + planted, "CENTRIFUGO_GRPC_API_ENABLED=true"}},
		{env: []string{"SLUICE_HTTP_SERVER_TLS_KEY_PEM=" + planted, "SLUICE_HTTP_SERVER_TLS_ENABLED=1"}},
		{files: map[string]string{".env": "SLUICE_HTTP_API_KEY=\"" + planted}},
		{files: map[string]string{".env": planted}},
		{env: []string{"CENTRIFUGO_PROXIES=[{\"name\": \"" + planted, "CENTRIFUGO_GRANULAR_PROXY_MODE=true", "CENTRIFUGO_CONNECT_PROXY_NAME=x"}},
		{env: []string{"CENTRIFUGO_ENGINE=redis://:" + planted + "@h"}},
		{env: []string{"CENTRIFUGO_API_KEY_FILE=f"}, files: map[string]string{"f": planted}},
		{flags: map[string]string{"engine": "redis://:" + planted + "@h"}},
		{flags: map[string]string{"api_key": planted}},
		{flags: map[string]string{"grpc_api.key": planted}},
	} {
		require.NotContains(t, everything(g), planted)
	}
}
