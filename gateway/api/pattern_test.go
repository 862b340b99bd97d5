package api

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/glob"
	"github.com/stretchr/testify/require"
)

func TestPatternMatches(t *testing.T) {
	f := func(pattern, name string, want bool) {
		t.Helper()
		match, err := CompilePattern(pattern)
		require.NoError(t, err)
		require.Equal(t, want, match(name), "%q %q", pattern, name)
	}
	f("*", "", true)
	f("*", "ns:a#1,2", true)
	f("ns:*", "ns:a", true)
	f("ns:*", "ms:a", false)
	f("n?:a", "ns:a", true)
	f("{news,chat:*}", "chat:1", true)
	f("{news,chat:*}", "news2", false)
	f("{a,b{c,d}}x", "bdx", true)
	f("{a,}x", "x", true)
	f(`{\{,\*}`, "*", true)
	f(`{[!a-c],z}`, "d", true)
	f(`{[!a-c],z}`, "b", false)
	f(`{[a\]^-],z}`, "^", true)
	f(`{a|b,.}`, "a|b", true)
	f(`{a|b,.}`, "x", false)
	f("{ä,b}*", "ä\nx", true)
	f("{a,b}", "aa", false)
	f("a,b", "a,b", true)
}

func TestPatternsThatWouldNeverEndAreMatchedInLinearTime(t *testing.T) {
	name := "ab" + strings.Repeat("a", 5000)
	for _, part := range []string{"{a,*}", "{*a,a*}", "{a,*,aa*}", "*a", "?*"} {
		match, err := CompilePattern("a?" + strings.Repeat(part, (maxPattern-4)/len(part)) + "b*")
		require.NoError(t, err)
		require.False(t, match(name))
	}
}

func FuzzPatternMeansWhatTheLibraryMeans(f *testing.F) {
	for _, s := range [][2]string{
		{"{a,b*}c", "bxc"}, {"[!a-z]{x,}", "Ax"}, {`{[\]]}`, "]"}, {"{,{,}}", ""}, {"{a,b", "a"}, {"{[a-],**}", "-"}, {"{^[^]}$|", "^^$|"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if strings.Count(pattern, "{") > 4 || len(pattern) > 30 || len(name) > 20 || !utf8.ValidString(name) {
			return
		}
		want, err := glob.Compile(pattern)
		match, gotErr := CompilePattern(pattern)
		require.Equal(t, err == nil, gotErr == nil, "%q: %v, %v", pattern, err, gotErr)
		if err == nil {
			require.Equal(t, want.Match(name), match(name), "%q %q: %s", pattern, name, globExpression(pattern))
		}
	})
}
