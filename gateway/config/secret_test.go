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

func TestSecretsInUnknownPlacesNeverShow(t *testing.T) {
	for _, text := range []string{
		`{"token_hmac_secret_key": "S"}`, `{"client": {"token": {"hmac_secret": "S"}}}`, `{"redis_password": "S"}`, `{"grpc_api": {"enabled": true, "key": "S"}}`,
		`{"client": {"subscription_token": {"enabled": true, "hmac_secret_key": "S"}}}`,
		`{"client": {"token": {"hmac_secret_key": "S", "hmac_secret_key": "S"}}}`,
	} {
		require.NotContains(t, everything(fromJSON(strings.ReplaceAll(text, "S", planted))), planted)
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
