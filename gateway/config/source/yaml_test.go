package source

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func plainYAML(t *testing.T, text string) any {
	t.Helper()
	n, err := ParseYAML([]byte(text))
	require.NoError(t, err, text)
	return plainNumbers(plainTree(n))
}

// plainNumbers writes numbers as text, so that a table can hold them.
func plainNumbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = plainNumbers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	case fmt.Stringer:
		return "number " + v.String()
	}
	return v
}

func TestYAMLValues(t *testing.T) {
	f := func(text string, want any) {
		t.Helper()
		require.Equal(t, map[string]any{"a": want}, plainYAML(t, "a: "+text))
	}
	f("1", "number 1")
	f("0x10", "number 16")
	f("-1.5", "number -1.5")
	f("true", true)
	f("yes", "yes")
	f("null", nil)
	f("~", nil)
	f("", nil)
	f("text with # no comment#", "text with")
	f(`"a\n\u00e9"`, "a\né")
	f(`'it''s'`, "it's")
	f("|\n  one\n  two\n", "one\ntwo\n")
	f(">-\n  one\n  two\n", "one two")
	f("[1, two, {b: 3}]", []any{"number 1", "two", map[string]any{"b": "number 3"}})
	f("25s", "25s")
	f("!!str 25", "25")
	f("!!str true", "true")
	f("2024-01-01", "2024-01-01")
	f(`"012"`, "012")
	f("{}", map[string]any{})
	f("\n- 1\n-\n  - 2\n", []any{"number 1", []any{"number 2"}})
}

func TestYAMLAnchorsAndMerges(t *testing.T) {
	require.Equal(t, map[string]any{"a": []any{"x"}, "b": []any{"x"}}, plainYAML(t, "a: &l [x]\nb: *l"))
	require.Equal(t, map[string]any{
		"base": map[string]any{"x": "number 1", "y": "number 2"},
		"ours": map[string]any{"x": "number 3", "y": "number 2"},
	}, plainYAML(t, "base: &b {x: 1, y: 2}\nours:\n  x: 3\n  <<: *b"))
	require.Equal(t, map[string]any{
		"a": map[string]any{"x": "number 1"}, "b": map[string]any{"x": "number 2", "y": "number 2"},
		"c": map[string]any{"x": "number 1", "y": "number 2"},
	}, plainYAML(t, "a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b]}"))
}

func TestYAMLIsRefusedWithItsPlaceAndWithoutItsText(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := ParseYAML([]byte(text))
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), planted)
	}
	f("", "empty; write {} to have the defaults")
	f("# only a comment\n", "empty; write {} to have the defaults")
	f("\xff", "not UTF-8")
	f("a: 1\n---\nb: 2", "line 3: a second document: allowed one")
	f("a: [1,\nb: "+planted, "line ")
	f("a: \""+planted, "line 1")
	f("a: 1\n "+planted+": 2\n  c: 3", "line ")
	f("a: *gone", "line 1: an alias of an anchor that is not there")
	f("a: &a [*a]", "an alias of an anchor that is not there, or not complete")
	f("a: !secret "+planted, "line 1: a tag that is not understood")
	f("a: !!int "+planted, "line 1: a value that is not what its tag says")
	f("a: .inf", "line 1: allowed finite numbers")
	f("a: .nan", "line 1: allowed finite numbers")
	f("[a]: 1", "line 1")
	f("a: 1\n<<: 5", "line 2: <<: allowed an alias of a mapping, or a list of such")
	f("%YAML 7.7\n---\na: 1", "line 1")
}

func TestYAMLIsBounded(t *testing.T) {
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 9; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), i-1)
	}
	for text, want := range map[string]string{
		bomb:                                              "aliases count as often as they are used",
		strings.Repeat("[", 100_000):                      "at most 64 levels",
		"a: " + strings.Repeat("{b: ", 30_000):            "at most 64 levels",
		strings.Repeat("- ", 100_000):                     "at most 64 levels",
		strings.Repeat("? ", 100_000):                     "at most 64 levels",
		strings.Repeat("a: b\n", 40_000):                  "more than 100000 values and marks",
		strings.Repeat("[", 65) + strings.Repeat("]", 65): "at most 64 levels",
		nestedYAML(300):                                   "at most 64 levels",
	} {
		_, err := ParseYAML([]byte(text))
		require.ErrorContains(t, err, want, text[:min(len(text), 60)])
	}
	_, err := ParseYAML([]byte(nestedYAML(60)))
	require.NoError(t, err)
}

func nestedYAML(levels int) string {
	var b strings.Builder
	for i := range levels {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func TestLinesOfYAML(t *testing.T) {
	n, err := ParseYAML([]byte("# c\na:\n  # c\n  b: 1\n\n  c: |\n    x\n\n    y\n  d:\n    - e: 2\n      f: 3\n    -\n      g: 4\nh: &x {i: 5,\n  j: 6}\nk: *x\n"))
	require.NoError(t, err)
	require.Equal(t, "a:2 a.b:4 a.c:6 a.d:10 a.d[0]:11 a.d[0].e:11 a.d[0].f:12 a.d[1]:14 a.d[1].g:14 h:15 h.i:15 h.j:16 k:17 k.i:15 k.j:16", linesOf(n))
}

// linesOf lists the lines of all keys and elements.
func linesOf(n *Node) string {
	var all []string
	var walk func(string, *Node)
	walk = func(path string, n *Node) {
		switch v := n.Value.(type) {
		case *Object:
			for _, m := range v.Members {
				key := joinKeys(path, m.Key)
				all = append(all, fmt.Sprintf("%s:%d", key, m.Value.Line))
				walk(key, m.Value)
			}
		case []*Node:
			for i, e := range v {
				key := fmt.Sprintf("%s[%d]", path, i)
				if _, nested := e.Value.(*Object); nested {
					all = append(all, fmt.Sprintf("%s:%d", key, e.Line))
				}
				walk(key, e)
			}
		}
	}
	walk("", n)
	return strings.Join(all, " ")
}

func joinKeys(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// planted stands for a secret, which no error may show.
const planted = "hunter2-do-not-show"
