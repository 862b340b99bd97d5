package config

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
	"github.com/stretchr/testify/require"

	"sluice/gateway/config/source"
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
		n, err := source.ParseJSON(data)
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
		require.Equal(t, want, plainTree(n))
	})
}

// plainTree turns a tree into what encoding/json makes of the same text.
func plainTree(n *source.Node) any {
	switch v := n.Value.(type) {
	case source.Number:
		return json.Number(v)
	case []*source.Node:
		l := make([]any, 0, len(v))
		for _, e := range v {
			l = append(l, plainTree(e))
		}
		return l
	case *source.Object:
		m := map[string]any{}
		for _, e := range v.Members {
			m[e.Key] = plainTree(e.Value)
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
		env, err := source.ParseDotEnv([]byte(text))
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

// FuzzLoadFormats loads the same bytes as a file of each format, end to end.
func FuzzLoadFormats(f *testing.F) {
	for _, seed := range []string{
		"uni_sse: true\nport: [", "a: &a [*a, *b]\n<<: *a", "uni_sse = true\n[[namespaces]]\nname = 'x'\n[namespaces.a]", "? a\n: !!int b", "a: |\n  x",
		`{"uni_sse": true, "namespaces": [{"name": "aa", "proxy_subscribe": 1}, null], "engine": "redis", "broker": "nats", "proxies": [{"name": 1}, 2]}`,
		`{"granular_proxy_mode": true, "connect_proxy_name": {}, "refresh_proxy_name": "a", "proxies": [{"name": "a", "grpc_x": 1, "endpoint_file": "x"}]}`,
		`{"api_key_file": "x", "http_api": {"key_file": 1, "key": "y"}, "history_meta_ttl": 5, "tls": {"enabled": true}, "admin": [], "redis_tls_key_file": ""}`,
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

// FuzzParseTOML checks that the outline understands what the library does, and finds every key.
func FuzzParseTOML(f *testing.F) {
	for _, seed := range []string{
		"a = 1", "[a.'b']\n\"c\".d = [1, {x = 2}]", "[[a]]\n[[a.b]]\nc = 1", "a = \"\"\"\\\n x\"\"\"\"\"", "a = {\n b = 1, # c\n}",
		"a = 1979-05-27 07:32:00\n", "a = '''''''", "\"\" = 1\n'' .x = 1", "a\t=\t+inf\r\nb=0o7", "a = {b.c = 1, b.d = []}\n[x]\ny.z=[[1],[{}]]",
		"[a]\n[a.b]\n[[a.c]]\n[a.c.d]\ne=1",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 2000 {
			return
		}
		n, err := source.ParseTOML(data)
		if err != nil {
			if !strings.Contains(err.Error(), "levels") && utf8.Valid(data) {
				var v map[string]any
				require.Error(t, toml.Unmarshal(data, &v), "the library understands it: %v", err)
			}
			return
		}
		requireLines(t, n)
	})
}

func requireLines(t *testing.T, n *source.Node) {
	t.Helper()
	switch v := n.Value.(type) {
	case *source.Object:
		for _, m := range v.Members {
			require.Positive(t, m.Value.Line, "%q has no line", m.Key)
			requireLines(t, m.Value)
		}
	case []*source.Node:
		for _, e := range v {
			require.Positive(t, e.Line)
			requireLines(t, e)
		}
	}
}

// FuzzParseYAML checks that no text makes the reader panic, hang or grow.
func FuzzParseYAML(f *testing.F) {
	for _, seed := range []string{
		"a: 1", "a: [x, {b: c}]\n", "a:\n- b\n- c: d\n  e: f", "'a': \"b\"\n? c\n: d", "a: &x y\nb: *x", "a: >\n  b\n  c\n", "{a: 1, b: [2, 3]}",
		"a: ~\nb: null\nc: true", "a: &a {x: 1}\nb:\n  <<: [*a]\n", "a: !!str 1\nb: !x y",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 2000 {
			return
		}
		n, err := source.ParseYAML(data)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		values, _ := n.Measure()
		require.LessOrEqual(t, values, 100_000)
		requireLines(t, n)
	})
}
