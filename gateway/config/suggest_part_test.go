package config

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config/legacy"
)

// A name that is a part of a real one is asked about, and so is one that goes on behind a real one: in a file of either
// generation, a variable and a flag.
func TestAPartOfARealNameIsSuggested(t *testing.T) {
	inFile := func(key, want string) {
		t.Helper()
		got := warningsOf(t, nest(key, `"x"`))
		require.Equal(t, "file config.json:1: "+key+": unknown key, ignored; did you mean "+want+"?", got)
	}
	inFile("client.token.hmac_secret", "client.token.hmac_secret_key")
	inFile("client.token.hmac", "client.token.hmac_secret_key or client.token.hmac_previous_secret_key or client.token.hmac_previous_secret_key_valid_until")
	inFile("client.token.jwks", "client.token.jwks_public_endpoint")
	inFile("client.ping", "client.ping_interval")
	inFile("client.ping_interval_seconds", "client.ping_interval")
	inFile("client.token.rsa_public_key_pem", "client.token.rsa_public_key")
	inFile("client.hmac_secret", "client.token.hmac_secret_key") // a level too high, and cut
	inFile("channel.without_namespace.history", "channel.without_namespace.history_ttl or channel.without_namespace.history_size or channel.without_namespace.history_meta_ttl")
	inFile("token_hmac_secret", "client.token.hmac_secret_key")
	inFile("client_connection_lim", "client.connection_limit")
	for _, vague := range []string{"client.c", "log.fo_x", "client.zzz"} {
		require.Equal(t, "file config.json:1: "+vague+": unknown key, ignored", warningsOf(t, nest(vague, `"x"`)))
	}

	inEnv := func(name, want string) {
		t.Helper()
		_, rep := mustLoad(t, given{env: []string{name + "=x"}})
		require.Contains(t, rep.Warnings, "env "+name+": unknown variable, ignored; did you mean "+want+"?")
	}
	inEnv("SLUICE_CLIENT_TOKEN_HMAC_SECRET", "SLUICE_CLIENT_TOKEN_HMAC_SECRET_KEY")
	inEnv("CENTRIFUGO_CLIENT_PING", "CENTRIFUGO_CLIENT_PING_INTERVAL")
	inEnv("CENTRIFUGO_CLIENT_PING_INTERVAL_MS_X", "CENTRIFUGO_CLIENT_PING_INTERVAL")
	inEnv("CENTRIFUGO_TOKEN_HMAC_SECRET", "CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY")

	asFlag := func(name, want string) {
		t.Helper()
		_, _, err := given{flags: map[string]string{name: "x"}}.load()
		require.EqualError(t, err, "config: flag --"+name+": unknown option; did you mean "+want+"?")
	}
	asFlag("client.token.hmac_secret", "client.token.hmac_secret_key")
	asFlag("client.ping_interval_seconds", "client.ping_interval")
	asFlag("token_hmac_secret", "client.token.hmac_secret_key")
	require.Equal(t, "client.token.hmac_secret_key", legacy.Suggest("client.token.hmac_secret"))
	require.Equal(t, "genconfig", legacy.Nearest("genc", []string{"genconfig", "gentoken"}))
}

// Names that others use, or used, lead to ours, or nowhere: a wrong suggestion costs more than none.
func TestNamesOfOthersAreSuggested(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, rep := mustLoad(t, fromJSON(text))
		require.Contains(t, rep.Warnings, "file config.json:1: "+want, "%v", rep.Warnings)
	}
	f(`{"channels": {}}`, "channels: unknown key, ignored; did you mean channel?")
	f(`{"namespace": []}`, "namespace: unknown key, ignored; did you mean channel.namespaces?")
	f(`{"client_concurency": 3}`, "client_concurency: unknown key, ignored: client_concurrency, if that was meant, is not supported")
	f(`{"client": {"channel_max_length": 3}}`, "client.channel_max_length: unknown key, ignored; did you mean channel.max_length?")
	f(`{"http_port": 3}`, "http_port: unknown key, ignored; did you mean http_server.port?")
	f(`{"history_lifetime": 10}`, "history_lifetime: unknown key, ignored: a name of version 3; did you mean channel.without_namespace.history_ttl?")
	f(`{"channel": {"namespaces": [{"name": "aa", "history_recover": true}]}}`,
		"channel.namespaces[0].history_recover: unknown key, ignored: a name of version 3; did you mean channel.namespaces[0].force_recovery?")
	f(`{"channel": {"without_namespace": {"history_lifetime": 10}}}`,
		"channel.without_namespace.history_lifetime: unknown key, ignored: a name of version 3; did you mean channel.without_namespace.history_ttl?")
	f(`{"nonsense_of_mine": 1}`, "nonsense_of_mine: unknown key, ignored")

	_, rep := mustLoad(t, given{env: []string{"SLUICE_HTTP_PORT=3"}})
	require.Contains(t, rep.Warnings, "env SLUICE_HTTP_PORT: unknown variable, ignored; did you mean SLUICE_HTTP_SERVER_PORT?")
	_, _, err := given{flags: map[string]string{"http_port": "3"}}.load()
	require.EqualError(t, err, "config: flag --http_port: unknown option; did you mean http_server.port?")
}
