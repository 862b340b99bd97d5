package source

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func plainTOML(t *testing.T, text string) any {
	t.Helper()
	n, err := ParseTOML([]byte(text))
	require.NoError(t, err, text)
	return plainNumbers(plainTree(n))
}

func TestTOMLValues(t *testing.T) {
	f := func(text string, want any) {
		t.Helper()
		require.Equal(t, map[string]any{"a": want}, plainTOML(t, "a = "+text))
	}
	f("1_000", "number 1000")
	f("0x10", "number 16")
	f("-1.5", "number -1.5")
	f("true", true)
	f(`"a\n\u00e9 # no comment"`, "a\né # no comment")
	f(`'C:\x'`, `C:\x`)
	f("\"\"\"\none\ntwo \\\n  more\"\"\"", "one\ntwo more")
	f("'''a''b'''''", "a''b''")
	f("[1, 'two', {b = 3, c.d = [4]}] # x", []any{"number 1", "two", map[string]any{"b": "number 3", "c": map[string]any{"d": []any{"number 4"}}}})
	f("[\n 1, # c\n 2,\n]", []any{"number 1", "number 2"})
	f("1979-05-27", Date("1979-05-27"))
}

func TestTOMLTables(t *testing.T) {
	require.Equal(t, map[string]any{
		"a": map[string]any{"b.c": map[string]any{"d": "number 1"}, "é\n": "number 2"},
		"l": []any{map[string]any{"x": "number 1", "sub": map[string]any{"y": "number 2"}}, map[string]any{"x": "number 3"}},
	}, plainTOML(t, "a.\"b.c\" . d = 1\na.\"\\u00e9\\n\" = 2\n[[l]]\nx = 1\n[l.sub]\ny = 2\n[[ l ]]\nx = 3\n"))
}

func TestTOMLIsRefusedWithItsPlaceAndWithoutItsText(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := ParseTOML([]byte(text))
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), planted)
	}
	f("\xff", "not UTF-8")
	f("a = 1\na = 2", "line 2: Key 'a' has already been defined.")
	f("\na = "+planted, "line 2: ")
	f("a = \""+planted, "line 1: ")
	f("a = '"+planted+"' "+planted, "line 1: ")
	f("a = 1\n[b\nc = 1", "line 2: expected ']' to close table name")
	f("a\n", "line 1: ")
	f("= 1", "line 1: ")
	f("a = 99999999999999999999", "line 1: a number is out of range")
	f("a = 1.2.3", "line 1: ")
	f("a = {b = 1\n\n,, }", "line 3: ")
	f("a = [1,\n2", "line 2: ")
	f("a = \"\"\"x\n"+planted, "line ")
	f("[a]\nb = 1\n[a]", "line 3: ")
}

func TestTOMLIsBounded(t *testing.T) {
	for _, text := range []string{
		"a = " + strings.Repeat("[", 100_000), "a = " + strings.Repeat("{a=", 100_000), strings.Repeat("a.", 100_000) + "b = 1",
		"[" + strings.Repeat("a.", 100_000) + "b]", "[[" + strings.Repeat("a.", 65) + "b]]",
		"[" + strings.Repeat("a.", 40) + "b]\n" + strings.Repeat("a.", 40) + "b = 1", "a = " + strings.Repeat("[", 65) + strings.Repeat("]", 65),
	} {
		_, err := ParseTOML([]byte(text))
		require.ErrorContains(t, err, "at most 64 levels", text[:min(len(text), 60)])
	}
}

func TestATableOfTOMLHasAnyNumberOfKeys(t *testing.T) {
	for _, line := range []string{"t%d = 1\n", "[t%d]\n", "t%d.x = 1\n"} {
		var text strings.Builder
		for i := range 20_000 {
			fmt.Fprintf(&text, line, i)
		}
		n, err := ParseTOML([]byte(text.String()))
		require.NoError(t, err)
		require.Len(t, n.Value.(*Object).Members, 20_000)
	}
}

// Dotted keys, headers and tables in braces continue a table, in any order.
func TestATableOfTOMLIsContinued(t *testing.T) {
	both := map[string]any{"a": map[string]any{"b": map[string]any{"c": "number 1", "d": "number 2"}}}
	for _, text := range []string{
		"[a.b]\nc=1\n[a]\nb.d=2", "[a]\nb.c=1\n[a.b]\nd=2", "a={b={c=1},b.d=2}", "a.b.c=1\n[a.b]\nd=2", "a={b={c=1}}\na.b.d=2",
		"a.b={c=1}\n[a]\nb.d=2", "a={b.c=1}\n[a.b]\nd=2", "a.b.c=1\na.b.d=2", "a.b.c=1\n[a]\nb.d=2",
	} {
		require.Equal(t, both, plainTOML(t, text), text)
	}
	require.Equal(t, map[string]any{"uni_sse": map[string]any{"enabled": true, "retry": "0"}}, plainTOML(t, "uni_sse.enabled=true\n[uni_sse]\nretry=\"0\""))
	require.Equal(t, map[string]any{"l": []any{map[string]any{"x": "number 1"}, map[string]any{"x": "number 2", "y": map[string]any{"z": "number 3"}}}},
		plainTOML(t, "[[l]]\nx=1\n[[l]]\nx=2\n[l.y]\nz=3"))
}

func TestKeysOfTOMLClash(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := ParseTOML([]byte(text))
		require.EqualError(t, err, want, text)
	}
	defined := func(text, key string) {
		t.Helper()
		f(text, fmt.Sprintf("line %d: Key '%s' has already been defined.", strings.Count(text, "\n")+1, key))
	}
	defined("a.b=1\na=2", "a")
	defined("a=2\na.b=1", "a")
	defined("a.b=1\na.b=2", "a.b")
	defined("a.b=1\n[a]\nb=2", "a.b")
	defined("a.b=1\n[a]\n[a]", "a")
	defined("a={b=1}\n[a]", "a")
	defined("a={b=1}\na={c=1}", "a")
	defined("a={b=1, b=2}", "a.b")
	defined("a={b=1}\na.b=2", "a.b")
	defined("a=1\n[a.b]", "a")
	defined("a=[{}]\na.b=1", "a")
	defined("[[a]]\n[a]", "a")
	f("[a]\n[[a]]", "line 2: Key 'a' was already created and cannot be used as an array.")
	f("a=[]\n[[a]]", "line 2: Key 'a' was already created and cannot be used as an array.")
	f("a=1\n[a.b]\nc=\n", "line 2: Key 'a' has already been defined.")
	f("a.b=1\n[a]\n\nc=\"\\q\"", `line 4: invalid escape character U+0071 'q'`)
	f("a.b=1\n[a]\nc=[1,\n1e400]", "line 4: a number is out of range")
}

func TestLinesOfTOML(t *testing.T) {
	n, err := ParseTOML([]byte("# c\na = 1\nb = [ # c\n  {x = 1},\n\n  {x = 2,\n y = 3}]\nm = \"\"\"\n\"x\n\\\n\"\"\"\nc.d = '''\n'''\n[t]\n'q.r' = 1\n[t.u]\nv = {w = 2}\n[[l]]\n[[l]]\nz = 1\n[l.s]\nz = 2\n"))
	require.NoError(t, err)
	require.Equal(t, "a:2 b:3 b[0]:4 b[0].x:4 b[1]:6 b[1].x:6 b[1].y:7 m:8 c:12 c.d:12 t:14 t.q.r:15 t.u:16 t.u.v:17 t.u.v.w:17 l:18 l[0]:18 l[1]:19 l[1].z:20 l[1].s:21 l[1].s.z:22", linesOf(n))
}
