package origin

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

// header makes the head of a request from lines "Name: value".
func header(lines ...string) *fasthttp.RequestHeader {
	h := &fasthttp.RequestHeader{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return h
}

const (
	chrome = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"
	html   = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"
)

func TestJudge(t *testing.T) {
	l, err := NewList([]string{"https://app.example.com", "https://*.b.example"})
	require.NoError(t, err)
	own := Front{Host: "stream.example.com"}
	f := func(want Source, allowed bool, front Front, lines ...string) {
		t.Helper()
		p := l.Judge(header(lines...), front)
		require.Equal(t, want, p.Source, "%q", lines)
		require.Equal(t, allowed, p.Allowed, "%q", lines)
		require.Equal(t, want == Listed && strings.Contains(strings.Join(lines, ""), "Origin: "), p.CORS, "%q", lines)
		require.Equal(t, want != Other && want != Unnamed && want != User, p.Ambient())
	}
	// Programs.
	f(None, true, own)
	f(None, true, own, "User-Agent: curl/8", "Accept: */*")
	f(None, true, own, "User-Agent: Java/17", html)
	// By Sec-Fetch-Site.
	f(Own, true, own, "Sec-Fetch-Site: same-origin")
	f(Site, true, own, "Sec-Fetch-Site: same-site")
	f(User, true, own, "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate")
	f(Other, true, own, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate")
	f(Other, true, own, "Sec-Fetch-Site: cross-site", "Referer: https://app.example.com/")
	f(Other, true, own, "Sec-Fetch-Site: Same-Origin")
	f(Other, true, own, "Sec-Fetch-Site: what")
	f(Other, true, own, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site")
	// By Origin.
	f(Listed, true, own, "Origin: https://app.example.com")
	f(Listed, true, own, "Origin: https://app.example.com", "Sec-Fetch-Site: cross-site")
	f(Listed, true, own, "Origin: https://x.b.example", "Sec-Fetch-Site: cross-site")
	f(Own, true, own, "Origin: https://stream.example.com")
	f(Own, true, own, "Origin: http://stream.example.com")
	f(Own, true, Front{Host: "stream.example.com", Scheme: "http"}, "Origin: https://stream.example.com")
	f(Other, false, Front{Host: "stream.example.com", Scheme: "https"}, "Origin: http://stream.example.com")
	f(Own, true, Front{Host: "backend:8000"}, "Origin: https://stream.example.com", "Sec-Fetch-Site: same-origin")
	f(Other, false, Front{Host: "backend:8000"}, "Origin: https://stream.example.com")
	f(Other, false, own, "Origin: https://stream.example.com", "Sec-Fetch-Site: cross-site") // the browser knows better
	f(Other, false, own, "Origin: https://stream.example.com", "Sec-Fetch-Site: same-site")
	f(Other, false, own, "Origin: https://other.example.com", "Sec-Fetch-Site: same-site")
	f(Other, false, own, "Origin: https://evil.example.net")
	f(Other, false, own, "Origin: null")
	f(Other, false, own, "Origin: https://stream.example.com", "Origin: https://evil.example.net")
	// By Referer.
	f(Own, true, own, "Referer: https://stream.example.com/page?x")
	f(Listed, true, own, "Referer: https://app.example.com/page")
	f(Other, true, own, "Referer: https://evil.example.net/https://app.example.com/")
	f(Other, true, own, "Referer: https://app.example.com@evil.example.net/")
	f(Other, true, own, "Referer: about:blank")
	f(Own, true, own, "Sec-Fetch-Site: same-origin", "Referer: https://evil.example.net/")
	// A page that forbids its Referer may ask for anything without an Origin.
	f(Other, true, own, chrome, html)
	f(Other, true, own, chrome, "Accept: image/avif,image/webp,*/*;q=0.8")
	f(Other, true, own, chrome, "Accept: text/event-stream")
	f(User, true, own, chrome, html, "Sec-Fetch-Site: none")
}

func TestPagesAllowedWithAllOthersAreNotNamed(t *testing.T) {
	for _, pattern := range []string{"*", "**", "https://*", "http*://*"} {
		l, err := NewList([]string{pattern})
		require.NoError(t, err)
		p := l.Judge(header("Origin: https://evil.example.net", "Sec-Fetch-Site: cross-site"), Front{Host: "a.example"})
		require.Equal(t, Unnamed, p.Source)
		require.True(t, p.Allowed && p.CORS && !p.Ambient())
		p = l.Judge(header("Origin: https://a.example"), Front{Host: "a.example"})
		require.Equal(t, Own, p.Source)
		require.True(t, p.CORS)
		p = l.Judge(header("Referer: https://evil.example.net/"), Front{Host: "a.example"})
		require.Equal(t, Other, p.Source)
	}
}

func TestHeadersThatMayNameTheUser(t *testing.T) {
	f := func(name, value string, unnamed, other bool) {
		t.Helper()
		for source, want := range map[Source]bool{None: true, User: other, Own: true, Site: true, Listed: true, Unnamed: unnamed, Other: other} {
			p := Page{Source: source}
			require.Equal(t, want, p.Carries(name, value), "%s: %s from %d", name, value, source)
		}
	}
	f("Cookie", "a=b", false, false)
	f("cookie", "a=b", false, false)
	f("authorization", "Basic YTpi", false, false)
	f("Authorization", "negotiate x", false, false)
	f("Authorization", "NTLM x", false, false)
	f("Authorization", "Digest x", false, false)
	f("Authorization", "Bearer x", true, false)
	f("Authorization", "x", true, false)
	f("X-Auth-Request-User", "ada", true, false)
	f("X-Real-Ip", "192.0.2.1", true, true)
	f("User-Agent", "Mozilla/5.0", true, true)
	f("origin", "https://a.example", true, true)
}

// A link in a mail, a typed address and a form are opened as pages, by whomever.
func TestNavigationsHaveNoCredentials(t *testing.T) {
	l, err := NewList([]string{"https://app.example.com"})
	require.NoError(t, err)
	f := func(source Source, lines ...string) {
		t.Helper()
		p := l.Judge(header(append(lines, "Sec-Fetch-Mode: navigate")...), Front{Host: "stream.example.com"})
		require.Equal(t, source, p.Source, "%q", lines)
		require.True(t, p.Navigation && !p.Ambient(), "%q", lines)
		require.False(t, p.Carries("Cookie", "a=b") || p.Carries("X-User", "a") || p.Carries("Authorization", "Bearer x"), "%q", lines)
		require.True(t, p.Carries("User-Agent", "a"))
	}
	f(User, "Sec-Fetch-Site: none")
	f(Own, "Sec-Fetch-Site: same-origin")
	f(Site, "Sec-Fetch-Site: same-site")
	f(Other, "Sec-Fetch-Site: cross-site")
	f(Listed, "Sec-Fetch-Site: cross-site", "Origin: https://app.example.com")
	p := l.Judge(header("Sec-Fetch-Site: none"), Front{Host: "stream.example.com"})
	require.False(t, p.Ambient(), "no page sends that, whatever its mode")
}
