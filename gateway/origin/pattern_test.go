package origin

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOpenPatterns(t *testing.T) {
	open := func(patterns ...string) {
		t.Helper()
		for _, p := range patterns {
			got := Open(p)
			require.NotEmpty(t, got, "%q lets strangers in", p)
			l, err := NewList([]string{p})
			require.NoError(t, err)
			allowed, named := l.Check(got)
			require.True(t, allowed, "%q matches its example %q", p, got)
			require.False(t, named, "%q names nobody", p)
		}
	}
	closed := func(patterns ...string) {
		t.Helper()
		for _, p := range patterns {
			require.Empty(t, Open(p), "%q names an owner", p)
		}
	}
	require.Equal(t, tooMany, Open(strings.Repeat("*a", 40)), "it must not pass for one that names somebody")
	require.Empty(t, Open("https://pr-????????.example.com"))
	open("*", "**", "***", "https://*", "http*://*", "*://*", "https://**", "https*", "http*", "*https*", "h*", "*.*", "*:*", "null",
		"https://*:443*", "https://*:*", "http://*:3000", "{http,https}://*", "{*,https://a.com}", "https://{a.com,*}", "?*", "*?",
		"https://?*", "[h]*", "https://[a-z]*")
	// A name that begins or ends in a wildcard is another name.
	open("*example.com", "https://*example.com", "https://app.example.com*", "https://example.*", "https://*.com", "https://*.co.uk",
		"https://app?example.com", "https://[!.]example.com", "http://localhost*", "http://192.168.*", "https://a.*.com*", "http://8.8.8.*",
		"https://*.github.io", "https://*.vercel.app", "https://*.s3.amazonaws.com", "https://*.kawasaki.jp")
	closed("https://example.com", "https://*.example.com", "*.example.com", "*://*.example.com", "http://localhost:*",
		"https://app-*.example.com", "https://*.example.co.uk", "{http,https}://{a,b}.example.com", "https://a?.example.com",
		"http://10.0.0.1:*", "file://*", "capacitor://localhost", "chrome-extension://*", "", "https://[a", "http{s,}://localhost:3000",
		"https://*.a.*.example.com", `https://\*.com`, "https://*.me.github.io", "https://*.city.kawasaki.jp", "https://*.apps.internal")
}

func TestPatternsThatNoBrowserCanSend(t *testing.T) {
	f := func(pattern, want string) {
		t.Helper()
		require.Contains(t, Never(pattern), want, pattern)
		if want == "" {
			require.Empty(t, Never(pattern), pattern)
		}
	}
	f("https://app.example.com/", "write https://app.example.com")
	f("https://*.example.com/", "write https://*.example.com")
	f("https://app.example.com/chat", "has a path")
	f("https://app.example.com:443", "write https://app.example.com")
	f("http://localhost:80", "write http://localhost")
	f("app.example.com", "no scheme: write https://app.example.com")
	f("localhost:3000", "no scheme: write https://localhost:3000")
	f("//app.example.com", "no scheme: write https://app.example.com")
	f("https://a.example,https://b.example", "several origins in one")
	f("https://a.example https://b.example", "several origins in one")
	f(`["https://a.example"]`, "separated by spaces")
	f(`"https://a.example"`, "separated by spaces")
	f("wss://app.example.com", "write https://app.example.com")
	f("https://App.example.com", "write https://app.example.com")
	f("https://bücher.example", "Punycode")
	f("https://me@app.example.com", "user name")
	f("http://[::1]:3000", `write \[ and \]`)
	f("https://a..example.com", "matches nothing that a browser sends")
	f("https://", "matches nothing that a browser sends")
	f("", "is empty: name an origin such as https://app.example.com")
	f("  ", "is empty: ")
	f("http//a.example", "has no :// behind the scheme: write http://a.example")
	f("https:/a.example", "has no :// behind the scheme: write https://a.example")
	f("https:a.example:3000", "has no :// behind the scheme: write https://a.example:3000")
	f("wss:/a.example", "has no :// behind the scheme: write https://a.example")
	f("://a.example", "has no scheme: write https://a.example")
	f("https:///a.example", "more than two slashes behind the scheme: write https://a.example")
	f(" https://a.example", "has spaces around it: write https://a.example")
	f("https://a.example\t", "has spaces around it: write https://a.example")
	f(" App.example/x/ ", "has spaces around it: write https://app.example")
	f("A.example:443/", "lower case: write https://a.example")
	f("https:/", "has no :// behind the scheme")
	f("a..example", "has no scheme")
	for _, p := range []string{"", "/", "//", "https:/", "https:", ":", "a..example", "https:///", "ws:///a..b", " : ", "https://a.example:99999/x"} {
		require.NotContains(t, Never(p), "write ", p)
	}
	for _, p := range []string{
		"*", "**", "null", "https://app.example.com", "https://*.example.com", "*.example.com", "*example.com", "http://localhost:*",
		"http://localhost:3000", "https://localhost:80", "http*://a.example", "{http,https}://a.example", "file://*", "file://",
		"capacitor://localhost", "chrome-extension://abcdef", "app://.", `http://\[::1\]:3000`, "http://127.0.0.1:8080", "http://10.0.0.*",
		"https://[a-z].example.com", "https://[!a].example.com", "https://a?.example.com", "https?//a.example", "https://a.example*",
		"http://intranet", "https://a_b.example", "*://a.example:*", "https://xn--bcher-kva.example", "https://a.example{,:8443}",
		"moz-extension://*", "*/a.example",
	} {
		f(p, "")
	}
	f(strings.Repeat("*a", 40), "") // too many to judge
}

func TestPlainOrigins(t *testing.T) {
	for _, plain := range []string{"http://localhost:3000", "https://app.example.com", "http://127.0.0.1:8080", "https://xn--bcher-kva.example"} {
		require.True(t, Plain(plain), plain)
	}
	for _, odd := range []string{
		"", "null", "*", "http://*", "https://*.example.com", "https://a?.example.com", "https://{a,b}.example.com", `https://\*.com`, "http://[::1]:3000",
		"https://App.example.com", "https://app.example.com/", "https://app.example.com:443", "https://a@b.example", "file://", "capacitor://localhost",
		"http://a;id", "http://a$(id)", "http://a`id`", "http://a'b", `http://a"b`, "http://a b", "http://a&b", "http://a|b", "http://a\nb", "http://a#b",
		"http://a:1;id", "http://a%20b", "http://a!b", "http://--x=1 y", "https://a..b", "-x://a",
	} {
		require.False(t, Plain(odd), odd)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add("https://*.example.com")
	f.Add("{a,b*}[!x-z]?")
	f.Fuzz(func(t *testing.T, pattern string) {
		if len(pattern) > 40 || strings.Count(pattern, "{")+strings.Count(pattern, "*") > 4 {
			return
		}
		if got := Open(pattern); got != "" && got != tooMany {
			l, err := NewList([]string{pattern})
			require.NoError(t, err)
			allowed, _ := l.Check(got)
			require.True(t, allowed, "%q %q", pattern, got)
		}
		Never(pattern)
	})
}
