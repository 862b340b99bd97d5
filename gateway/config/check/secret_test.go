package check_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config/report"
)

// weakOf loads a file with these two secrets and returns the weak ones by their key.
func weakOf(t *testing.T, token, api string) map[string]string {
	t.Helper()
	tokenText, err := json.Marshal(token)
	require.NoError(t, err)
	apiText, err := json.Marshal(api)
	require.NoError(t, err)
	rep := load(t, fmt.Sprintf(`{"http_api": {"key": %s}, "client": {"token": {"hmac_secret_key": %s}}}`, apiText, tokenText), nil)
	weak := map[string]string{}
	for _, f := range rep.Findings {
		if f.Kind == report.KindWeak {
			require.True(t, f.Kind.Strict())
			weak[f.Key] = f.Detail
		}
	}
	require.Len(t, rep.Findings, len(rep.Warnings), "each is a warning at the start too")
	return weak
}

const goodSecret = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// A secret that stands in a guide is found whatever its length.
func TestPlaceholdersAreNoSecrets(t *testing.T) {
	const detail = "a placeholder, or easy to guess: words as guides have them, or a mark of something to replace: use a value that is random, as `openssl rand -hex 32` prints one"
	for _, text := range []string{
		"<what openssl rand -hex 32 prints>", "<api key>", "…", "...", "[your key goes here, thirty-two bytes]", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
		"changeme", "change-me-change-me-change-me-change-me", "secret", "SECRET", "my_secret", "your-secret-key", "Your API key", "your-256-bit-secret",
		"supersecret123", "password", "test", "${SLUICE_TOKEN_SECRET_OF_THE_GATEWAY}", "{{ .Values.secrets.token_hmac_key }}", "%TOKEN_SECRET%", "$TOKEN_SECRET",
	} {
		require.Equal(t, map[string]string{"client.token.hmac_secret_key": detail, "http_api.key": detail}, weakOf(t, text, text), text)
	}
	for _, text := range []string{
		goodSecret, "HWN4JXGQ5TBHWNTOGPSYUCKRHZ34LXHEHWN4JXGQ5TBHWNTOGPSY", "secret-9f86d081884c7d659a2feaa0c55ad015", "correct horse battery staple and some", "$2b$12$abcdefghijklmnopqrstuv0123456789",
	} {
		require.Empty(t, weakOf(t, text, text), text)
	}
}

func TestPlaceholdersInOtherSecretsAreFound(t *testing.T) {
	f := func(headers string, weak bool) {
		t.Helper()
		rep := load(t, `{"client": {"proxy": {"connect": {"enabled": true, "endpoint": "http://h", "http": {"static_headers": `+headers+`}}}}}`, nil)
		found := false
		for _, finding := range rep.Findings {
			found = found || finding.Kind == report.KindWeak && finding.Key == "client.proxy.connect.http.static_headers"
		}
		require.Equal(t, weak, found, headers)
	}
	f(`{"X-Env": "test", "X-Role": "admin user"}`, false)
	f(`{"Authorization": "Bearer <token>"}`, true)
	f(`{"X-Key": "<key>"}`, true)
}

// An API key has no hash to outlast: what is tried over the network has to be long enough for that. It is taken all the same.
func TestShortAPIKeysAreFound(t *testing.T) {
	for key, detail := range map[string]string{
		"9f86d081884c7d6":  "15 bytes: whoever reaches the API can guess it; use 16 or more that are random",
		"9":                "1 bytes: whoever reaches the API can guess it; use 16 or more that are random",
		"9f86d081884c7d65": "",
	} {
		require.Equal(t, detail, weakOf(t, goodSecret, key)["http_api.key"], key)
	}
	rep := load(t, `{"http_api": {"key": "9", "disabled": true}}`, nil)
	for _, f := range rep.Findings {
		require.NotEqual(t, report.KindWeak, f.Kind, f.String())
	}
}
