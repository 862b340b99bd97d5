package origin

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestOriginsCheck(t *testing.T) {
	f := func(want bool, origin string, patterns ...string) {
		t.Helper()
		o, err := NewList(patterns)
		require.NoError(t, err)
		allowed, _ := o.Check(origin)
		require.Equal(t, want, allowed, "%q against %q", origin, patterns)
	}
	f(false, "https://example.com") // the default
	f(true, "https://example.com", "https://example.com")
	f(true, "HTTPS://Example.COM", "https://example.com")
	f(false, "https://example.com", "https://Example.com") // patterns are used as written
	f(false, "https://Example.com", "https://Example.com")
	f(false, "https://example.com:8443", "https://example.com")
	f(false, "https://example.com.evil.org", "https://example.com")
	f(true, "https://b.com", "https://a.com", "https://b.com")

	f(true, "https://a.example.com", "https://*.example.com")
	f(true, "https://a.b.example.com", "https://*.example.com")
	f(true, "https://x:1/y.example.com", "https://*.example.com")
	f(false, "https://example.com", "https://*.example.com")
	f(false, "https://evil-example.com", "https://*.example.com")
	f(true, "https://.example.com", "https://*.example.com") // the empty run
	f(true, "http://localhost:3000", "http://localhost:*")
	f(true, "https://anything.at.all:1", "*://*")
	f(true, "https://a.com", "**")
	f(true, "file://", "file://*")
	f(true, "file:///home/x.html", "file://*")
	f(true, "null", "null")
	f(false, "null", "https://*")

	f(true, "https://a1.com", "https://a?.com")
	f(false, "https://a.com", "https://a?.com")
	f(false, "https://a12.com", "https://a?.com")
	f(true, "https://a.c:m", "https://a?c?m")
	f(true, "https://b.com", "https://[abc].com")
	f(false, "https://d.com", "https://[abc].com")
	f(true, "https://m.com", "https://[a-z].com")
	f(false, "https://1.com", "https://[a-z].com")
	f(true, "https://y.com", "https://[!x].com")
	f(false, "https://x.com", "https://[!x].com")
	f(true, "https://1.com", "https://[!a-z].com")
	f(false, "https://m.com", "https://[!a-z].com")
	f(true, "http://a.com", "{http,https}://a.com")
	f(true, "https://a.com", "{http,https}://a.com")
	f(false, "ws://a.com", "{http,https}://a.com")
	f(true, "https://x.b.com", "https://{a,*.b}.com")
	f(true, "https://*.com", `https://\*.com`)
	f(false, "https://a.com", `https://\*.com`)
	f(true, "", "") // an empty pattern allows the empty value only
	f(false, "https://a.com", "")
}

func TestAStarAloneAllowsEverything(t *testing.T) {
	o, err := NewList([]string{"*"})
	require.NoError(t, err)
	require.True(t, o.AllowsAll())
	for _, origin := range []string{"", "null", "https://a.com", strings.Repeat("x", 10*maxOrigin)} {
		allowed, named := o.Check(origin)
		require.True(t, allowed)
		require.False(t, named)
	}
	for _, patterns := range [][]string{nil, {"*", "https://a.com"}, {"**"}, {"https://*"}} {
		o, err := NewList(patterns)
		require.NoError(t, err)
		require.False(t, o.AllowsAll(), "%q", patterns)
	}
}

func TestLongOriginsAreNotMatched(t *testing.T) {
	o, err := NewList([]string{"https://*", "{a*,a*b,*a}{a*,b*}{*a*,*b*}c"})
	require.NoError(t, err)
	prefix := "https://"
	f := func(want bool, origin string) {
		t.Helper()
		allowed, _ := o.Check(origin)
		require.Equal(t, want, allowed)
	}
	f(true, prefix+strings.Repeat("a", maxOrigin-len(prefix)))
	f(false, prefix+strings.Repeat("a", maxOrigin-len(prefix)+1))
	f(false, strings.Repeat("a", maxOrigin))
}

func TestMalformedPatternsStopTheStart(t *testing.T) {
	_, err := NewList([]string{"https://ok.com", "https://[a", "{a,b", `\`})
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 3, "%q", lines)
	require.Contains(t, lines[0], `client.allowed_origins: "https://[a" is not a pattern`)
	require.Contains(t, lines[1], `{a,b`)
}

func TestIsOriginOf(t *testing.T) {
	f := func(want bool, origin, host string) {
		t.Helper()
		require.Equal(t, want, IsOf(origin, host, ""), "%q and %q", origin, host)
	}
	f(true, "https://example.com", "example.com")
	f(true, "http://example.com", "example.com")
	f(true, "https://Example.com", "EXAMPLE.com")
	f(true, "http://localhost:8000", "localhost:8000")
	f(true, "https://example.com", "example.com:443")
	f(true, "https://example.com:443", "example.com")
	f(true, "http://example.com", "example.com:80")
	f(true, "http://[::1]:8000", "[::1]:8000")
	f(true, "https://[::1]", "[::1]:443")
	f(false, "https://example.com", "example.com:80")
	f(false, "https://example.com", "example.com:8443")
	f(false, "https://example.com:8443", "example.com")
	f(false, "https://example.com", "a.example.com")
	f(false, "https://a.example.com", "example.com")
	f(false, "https://example.com.evil.org", "example.com")
	f(false, "https://evil.org/example.com", "example.com")
	f(false, "https://example.com@evil.org", "example.com")
	f(false, "https://evil.org@example.com", "example.com")
	f(false, "example.com", "example.com")
	f(false, "//example.com", "example.com")
	f(false, "file://", "")
	f(false, "file://example.com", "example.com")
	f(false, "null", "null")
	f(false, "", "")
	f(false, "https://", "")
	f(false, "https://:443", "")
	f(false, "https://\u212a.com", "k.com") // the Kelvin sign
	require.False(t, IsOf("http://example.com", "example.com", "https"), "a page of http is not one of https")
	require.True(t, IsOf("https://example.com", "example.com", "http"), "the outer front ended TLS")
	f(false, "https://"+strings.Repeat("a", maxOrigin), strings.Repeat("a", maxOrigin))
}

func FuzzOrigins(f *testing.F) {
	f.Add("https://*.example.com", "https://a.example.com")
	f.Add("{a,b*}[!x-z]?", "bcd")
	f.Add(`\*`, "*")
	f.Fuzz(func(t *testing.T, pattern, origin string) {
		// More groups cost time, see maxOrigin; a fuzzer finds them.
		if strings.Count(pattern, "{") > 1 || len(pattern) > 64 {
			return
		}
		o, err := NewList([]string{pattern})
		if err != nil {
			return
		}
		got, _ := o.Check(origin)
		if !strings.ContainsAny(pattern, `*?[]{}\`) && len(origin) <= maxOrigin && utf8.ValidString(pattern) {
			require.Equal(t, strings.ToLower(origin) == pattern, got)
		}
	})
}
