package config

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		`{}`, `[]`, `null`, ``, `{"uni_sse": true}`, `{"http_server": {"port": "abc", "address": "["}}`,
		`{"channel": {"namespaces": [{"name": "news", "history_size": 1, "history_ttl": "1s", "force_recovery": true}, null, 1]}}`,
		`{"client": {"allowed_origins": ["*", "{a", "[!", "\\"], "token": {"issuer_regex": "(?P<t>a|b)", "jwks_public_endpoint": "https://x/{{t}}"}}}`,
		`{"client": {"proxy": {"connect": {"enabled": true, "endpoint": "http://[", "http": {"static_headers": {"a": "${SLUICE_VAR_X}"}}}}}}`,
		`{"engine": {"type": "redis", "redis": {"address": ["redis://:x@h", 1]}}, "broker": {"enabled": true, "type": "nats"}}`,
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

// FuzzParseJSON compares our reader with the standard library's.
func FuzzParseJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a": [1, -0.5e+3, "x\né\ud83d\ude00\ud800", true, false, null, {}]}`, `01`, `-`, `1.`, `1e`, `"\x"`, "\"\t\"", `"\u12"`, `"\ud83dA"`,
		`[1,]`, `{"a":1,}`, `{"a"}`, `{1:2}`, `tru`, `nullx`, `"`, `[`, `{} {}`, "\xef\xbb\xbf{}", `"\ud83d\`, `"\ud83d\n"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := parseJSON(data)
		data = []byte(strings.TrimPrefix(string(data), "\xef\xbb\xbf"))
		valid := json.Valid(data) && utf8.Valid(data)
		if err != nil && strings.Contains(err.Error(), "levels") {
			return
		}
		require.Equal(t, valid, err == nil, "%v", err)
		if !valid {
			return
		}
		d := json.NewDecoder(strings.NewReader(string(data)))
		d.UseNumber()
		var want any
		require.NoError(t, d.Decode(&want))
		require.Equal(t, want, plain(n))
	})
}

// plain turns a tree into what encoding/json makes of the same text.
func plain(n *node) any {
	switch v := n.v.(type) {
	case number:
		return json.Number(v)
	case []*node:
		l := make([]any, 0, len(v))
		for _, e := range v {
			l = append(l, plain(e))
		}
		return l
	case *object:
		m := map[string]any{}
		for _, e := range v.members {
			m[e.key] = plain(e.value)
		}
		return m
	default:
		return v
	}
}

func FuzzDotEnv(f *testing.F) {
	for _, seed := range []string{"A=1", "export A=\"x\\n\" # c", "A='", "=", "A=\"\\", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		env, err := parseDotEnv([]byte(text))
		require.Equal(t, err == nil, env != nil)
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
