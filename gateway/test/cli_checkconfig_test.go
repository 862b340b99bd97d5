package test

import (
	"crypto/rand"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckconfigIsSilentAboutAGoodFile(t *testing.T) {
	path := configFile(t, `{"uni_sse": {"enabled": true}, "http_api": {"key": "kkkkkkkkkkkkkkkk"}, "client": {"token": {"hmac_secret_key": "`+strings.Repeat("s", 32)+`"}},
		"channel": {"without_namespace": {"allow_subscribe_for_client": true}}}`)
	for _, args := range [][]string{{"-c", path}, {"--config=" + path, "--strict"}, {"-s", "-c", path}} {
		out, errs, code := command(append([]string{"checkconfig"}, args...)...)
		require.Equal(t, 0, code)
		require.Empty(t, out+errs)
	}
}

// What a profile sets is no finding: it is told, and fails nobody.
func TestCheckconfigSaysWhatTheProfileSets(t *testing.T) {
	path := configFile(t, `{"uni_sse": {"enabled": true}, "http_api": {"key": "kkkkkkkkkkkkkkkk"}, "client": {"ping_interval": "20s", "token": {"hmac_secret_key": "`+strings.Repeat("s", 32)+`"}},
		"channel": {"without_namespace": {"allow_subscribe_for_client": true}}, "edge": {"profile": "cloudfront"}}`)
	out, errs, code := command("checkconfig", "--strict", "-c", path)
	require.Equal(t, 0, code)
	require.Empty(t, out)
	require.Equal(t, "edge.profile: cloudfront sets uni_sse.max_lifetime 0s, uni_sse.framing chunked, broadcast.vary_last_event_id false; "+
		"as set elsewhere: client.ping_interval 20s (file "+path+":1)\n", errs)
}

func TestCheckconfigWithoutAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.json")
	out, errs, code := command("checkconfig", "-c", path)
	require.Equal(t, 1, code)
	require.Equal(t, "config file not found\n", out)
	require.Contains(t, errs, "sluice genconfig -c "+path)
}

// What is wrong with a file ends it with code 1, a line for each thing.
func TestCheckconfigNamesWhatIsWrong(t *testing.T) {
	for name, value := range map[string]string{"UNI_SSE_ENABLED": "true", "HTTP_API_KEY": rand.Text(), "CLIENT_TOKEN_HMAC_SECRET_KEY": rand.Text() + rand.Text()} {
		t.Setenv("SLUICE_"+name, value)
	}
	f := func(text string, want ...string) {
		t.Helper()
		out, _, code := command("checkconfig", "-c", configFile(t, text))
		require.Equal(t, 1, code, out)
		for _, w := range want {
			require.Contains(t, out, w)
		}
		for line := range strings.Lines(out) {
			require.Regexp(t, `^error (getting|validating) config: `, line)
		}
	}
	f(``, "error getting config: ", "empty")
	f(`{"client": `, "line 1")
	f("{\n\"client\": {\"ping_interval\": 30, \"channel_limit\": \"x\"}}", `config.json:2: client.ping_interval: 30 is a bare number`, "client.channel_limit")
	f(`{"channel": {"namespaces": [{"name": "a b"}]}}`, "channel.namespaces[0].name")
	f(`{"client": {"proxy": {"connect": {"enabled": true, "endpoint": "grpc://localhost:1"}}}}`, "client.proxy.connect.endpoint")
}

// Keys that have no effect, or not the one that was meant, are named with their
// line and what to write; only --strict fails on them.
func TestCheckconfigNamesStrangeKeys(t *testing.T) {
	const quiet = `"http_api": {"key": "kkkkkkkkkkkkkkkk"}, "uni_sse": {"enabled": true`
	f := func(text string, want ...string) {
		t.Helper()
		path := configFile(t, text)
		out, _, code := command("checkconfig", "-c", path)
		require.Equal(t, 0, code, out)
		strict, _, code := command("checkconfig", "-c", path, "-s")
		require.Equal(t, 1, code, strict)
		for _, w := range want {
			require.Contains(t, out, w)
			require.Contains(t, strict, w)
		}
	}
	f("{"+quiet+",\n \"framig\": \"close\"}}", "config.json:2: uni_sse.framig: unknown key", "did you mean uni_sse.framing?")
	f("{"+quiet+"},\n \"websocket\": {}}", "config.json:2: websocket: not supported")
	f("{"+quiet+"},\n \"log\": {\"level\": \"info\",\n\"level\": \"debug\"}}", "config.json:3: log.level: given twice")
	f("{"+quiet+"},\n \"token_hmac_secret_key\": \"s\"}", "config.json:2: token_hmac_secret_key", "client.token.hmac_secret_key")

	out, _, _ := command("checkconfig", "-s", "-c", configFile(t, "{"+quiet+`}, "nope": 1, "log": {"nix": 2}}`))
	first, _, _ := strings.Cut(out, "\n")
	require.Equal(t, "unknown keys in config: nope, log.nix", first)
}

// What merely deserves a look is said on the standard error, and is no failure.
func TestCheckconfigGivesAdvice(t *testing.T) {
	out, errs, code := command("checkconfig", "--strict", "-c", configFile(t, `{}`))
	require.Equal(t, 1, code, "nobody can use it")
	for _, line := range []string{"uni_sse.enabled: false: no stream can be opened", "client.token: no key, and no other way in: ", "http_api.key: empty: "} {
		require.Equal(t, 1, strings.Count(out, line), line)
	}
	require.Equal(t, 3, strings.Count(out, "\n"), out)
	require.Equal(t, 1, strings.Count(errs, "warning: channel: nothing that clients may ask for: "))
	out, _, code = command("checkconfig", "--strict", "-c", configFile(t, `{"client": {"allowed_origins": ["https://a.example/x"]}}`))
	require.Equal(t, 1, code)
	require.Contains(t, out, `client.allowed_origins: "https://a.example/x" has a path`)
	_, errs, code = command("checkconfig", "-c", configFile(t, `{"client": {"queues_max_total": 1048576}}`))
	require.Equal(t, 0, code)
	require.Contains(t, errs, "config.json:1: client.queues_max_total: 1048576 is less than http_api.max_body_size (33554432): ")
}

// The environment is part of what is checked, as it is for the server.
func TestCheckconfigReadsTheEnvironment(t *testing.T) {
	path := configFile(t, `{"uni_sse": {"enabled": true}, "http_api": {"key": "kkkkkkkkkkkkkkkk"}}`)
	t.Setenv("SLUICE_CLIENT_PING_INTERVAL", "soon")
	out, _, code := command("checkconfig", "-c", path)
	require.Equal(t, 1, code)
	require.Contains(t, out, `env SLUICE_CLIENT_PING_INTERVAL: client.ping_interval: "soon" is not a duration`)
	t.Setenv("SLUICE_CLIENT_PING_INTERVAL", "30s")
	t.Setenv("CENTRIFUGO_CLIENT_PONG_TIMEOT", "1s")
	out, _, code = command("checkconfig", "-c", path, "-s")
	require.Equal(t, 1, code)
	require.Contains(t, out, "CENTRIFUGO_CLIENT_PONG_TIMEOT: unknown variable")
}

// What the server would refuse to start with is no good configuration.
func TestCheckconfigKnowsWhatTheServerRefuses(t *testing.T) {
	path := configFile(t, `{"uni_sse": {"enabled": true}, "http_api": {"key": "kkkkkkkkkkkkkkkk"}, "client": {"token": {"hmac_secret_key": "0123456789abcdef0123456789abcdef"}}, "http_server": {"reuse_port": "on"}}`)
	out, _, code := command("checkconfig", "-c", path)
	require.Equal(t, 1, code)
	require.Equal(t, "error validating config: file "+path+":1: http_server.reuse_port is on with the memory engine: not supported, publications would reach the streams of one process only; force it if that is wanted\n", out)
}

// What keeps the server from starting is told first, with file and line, then
// what does something else than was meant, then what is not supported, then new
// names. Advice is not among them.
func TestCheckconfigTellsTheWorstFirst(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		out, _, code := command("checkconfig", "-c", configFile(t, text))
		require.Equal(t, 1, code)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		require.Len(t, lines, len(want), out)
		for i, w := range want {
			require.Contains(t, lines[i], w)
		}
	}
	const rest = `"token_hmac_secret_key": "a key of more than thirty-two bytes",
		"websocket": {},
		"nope": 1,
		"ping_interval": "20s",
		"log": {"level": "info", "level": "warn"}`
	others := []string{":4: nope: unknown key", ":6: log.level: given twice", ":2: token_hmac_secret_key: is flat", "uni_sse.enabled: false", "http_api.key: empty", ":3: websocket: not supported", ":2: token_hmac_secret_key: a flat key", ":5: ping_interval: "}
	f("{\n"+rest+`,
		"http_server": {"port": 70000},
		"channel": {"namespaces": [{"name": "x"}]}}`,
		append([]string{":7: http_server.port: 70000 is not a port", `:8: channel.namespaces[0].name: "x" is not`}, others...)...)
	f("{\n"+rest+`,
		"http_server": {"reuse_port": "on"}}`, append([]string{":7: http_server.reuse_port is on with the memory engine: not supported, publications would reach the streams of one process only; force it if that is wanted"}, others...)...)
}

// All that keeps the server from starting is told at once: values that cannot be
// read, values that are wrong, and what only the server refuses.
func TestCheckconfigTellsAllThatIsFatalAtOnce(t *testing.T) {
	path := configFile(t, `{"client": {"ping_interval": 30}, "channel": {"namespaces": [{"name": "x"}]}, "http_server": {"reuse_port": "on"}}`)
	out, _, code := command("checkconfig", "-c", path)
	require.Equal(t, 1, code)
	for _, want := range []string{"client.ping_interval: 30 is a bare number", `channel.namespaces[0].name: "x" is not`, "http_server.reuse_port is on with the memory engine: not supported"} {
		require.Contains(t, out, want)
	}
	_, errs, code := command("-c", path)
	require.Equal(t, 1, code)
	for _, want := range []string{"client.ping_interval: 30 is a bare number", `channel.namespaces[0].name: "x" is not`, "http_server.reuse_port is on with the memory engine: not supported"} {
		require.Contains(t, errs, want, "so does a start")
	}
}

// What follows from a key that could not be read is not told as if it were
// another fault.
func TestCheckconfigTellsCausesOnly(t *testing.T) {
	const rest = `"uni_sse": {"enabled": true}, "http_api": {"key": "9f86d081884c7d65"}`
	f := func(text, want string) {
		t.Helper()
		out, errs, code := command("checkconfig", "-c", configFile(t, "{"+rest+", "+text+"}"))
		require.Equal(t, 1, code)
		require.Equal(t, 1, strings.Count(out, "\n"), out)
		require.Contains(t, out, want)
		require.Empty(t, errs)
	}
	const ask = `"channel": {"without_namespace": {"allow_subscribe_for_client": true}}`
	f(ask+`, "client": {"token": {"hmac_secret_key_file": "/none/key"}}`, "client.token.hmac_secret_key_file")
	f(ask+`, "client": {"token": {"hmac_previous_secret_key_file": "/none/key"}}`, "client.token.hmac_previous_secret_key_file")
	f(ask+`, "client": {"token": {"jwks_public_endpoint": 1}}`, "client.token.jwks_public_endpoint")
	f(`"client": {"token": {"hmac_secret_key": "0123456789abcdef0123456789abcdef"}}, "channel": {"without_namespace": {"allow_subscribe_for_client": "perhaps"}}`,
		"allow_subscribe_for_client")
}

// The finding names the key that stands on the line, and a flat file ends with
// what makes a nested one of it.
func TestCheckconfigOfAFlatFile(t *testing.T) {
	path := configFile(t, "{\"uni_sse\": true,\n\"websocket_handler_prefix\": \"/ws\"}")
	out, errs, _ := command("checkconfig", "-c", path)
	require.Contains(t, out, path+":2: websocket_handler_prefix: not supported, ignored: ")
	require.Equal(t, 1, strings.Count(errs, "sluice convertconfig "+path+" NEW"), errs)
	require.True(t, strings.HasSuffix(errs, "`sluice convertconfig "+path+" NEW` writes it in the form of version 6\n"), errs)
	_, errs, _ = command("checkconfig", "-c", configFile(t, `{"uni_sse": {"enabled": true}}`))
	require.NotContains(t, errs, "convertconfig")
}

func TestCheckconfigSaysWhyAFileCannotBeRead(t *testing.T) {
	for _, text := range []string{"{\n // ours\n\"uni_sse\": {}}", "{\n /* ours */ \"uni_sse\": {}}", "{}\n# ours", "{\"uni_sse\":\n # ours\n{}}"} {
		out, _, code := command("checkconfig", "-c", configFile(t, text))
		require.Equal(t, 1, code)
		require.Contains(t, out, "line 2, column ", text)
		require.Contains(t, out, "JSON has no comments: remove it, or write the file in YAML or TOML", text)
	}
}
