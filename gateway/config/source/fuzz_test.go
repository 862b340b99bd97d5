package source

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/stretchr/testify/require"
)

// FuzzParseJSON compares our reader with the standard library's.
func FuzzParseJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a": [1, -0.5e+3, "x\né\ud83d\ude00\ud800", true, false, null, {}]}`, `01`, `-`, `1.`, `1e`, `"\x"`, "\"\t\"", `"\u12"`, `"\ud83dA"`,
		`[1,]`, `{"a":1,}`, `{"a"}`, `{1:2}`, `tru`, `nullx`, `"`, `[`, `{} {}`, "\xef\xbb\xbf{}", `"\ud83d\`, `"\ud83d\n"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := ParseJSON(data)
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
func plainTree(n *Node) any {
	switch v := n.Value.(type) {
	case Number:
		return json.Number(v)
	case []*Node:
		l := make([]any, 0, len(v))
		for _, e := range v {
			l = append(l, plainTree(e))
		}
		return l
	case *Object:
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
		env, err := ParseDotEnv([]byte(text))
		require.Equal(t, err == nil, env != nil)
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
		n, err := ParseTOML(data)
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

func requireLines(t *testing.T, n *Node) {
	t.Helper()
	switch v := n.Value.(type) {
	case *Object:
		for _, m := range v.Members {
			require.Positive(t, m.Value.Line, "%q has no line", m.Key)
			requireLines(t, m.Value)
		}
	case []*Node:
		for _, e := range v {
			require.Positive(t, e.Line)
			requireLines(t, e)
		}
	}
}

// countValues counts the values in n, n included.
func countValues(n *Node) int {
	count := 1
	switch v := n.Value.(type) {
	case []*Node:
		for _, e := range v {
			count += countValues(e)
		}
	case *Object:
		for _, m := range v.Members {
			count += countValues(m.Value)
		}
	}
	return count
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
		n, err := ParseYAML(data)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		require.LessOrEqual(t, countValues(n), maxYAMLValues)
		requireLines(t, n)
	})
}
