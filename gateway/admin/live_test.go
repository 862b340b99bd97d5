package admin

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

func TestHandleServesThePageAndItsFiles(t *testing.T) {
	get := served(t, NewLive(options()))
	f := func(path, wantType, wantText string) {
		t.Helper()
		resp := get("GET", path)
		require.Equal(t, 200, resp.StatusCode(), path)
		require.Equal(t, wantType, string(resp.Header.ContentType()), path)
		require.Contains(t, string(resp.Body()), wantText, path)
		require.Equal(t, "no-cache", string(resp.Header.Peek("Cache-Control")), path)
	}
	f("/", "text/html; charset=utf-8", "<title>Sluice live</title>")
	f("/?x=1", "text/html; charset=utf-8", "<title>Sluice live</title>")
	f("/live.js", "text/javascript; charset=utf-8", "window.sluice")
	f("/live/stream.js", "text/javascript; charset=utf-8", "new EventSource")
	f("/live.css", "text/css; charset=utf-8", "prefers-color-scheme")
	f("/favicon.svg", "image/svg+xml", "<svg")
}

func TestHandleLeavesOtherPathsAlone(t *testing.T) {
	get := served(t, NewLive(options()))
	for _, path := range []string{"/index.html", "/web/index.html", "/live", "/live/", "/dev", "/dev/", "/dev/session/", "/api/publish", "/connection/uni_sse", "/health", "/live.go"} {
		resp := get("GET", path)
		require.Equal(t, fasthttp.StatusTeapot, resp.StatusCode(), path)
		require.Empty(t, resp.Header.Peek("Content-Security-Policy"), path)
	}
}

func TestEveryAnswerCarriesSecurityHeaders(t *testing.T) {
	get := served(t, NewLive(options()))
	f := func(method, path string, header ...string) {
		t.Helper()
		resp := get(method, path, header...)
		policy := string(resp.Header.Peek("Content-Security-Policy"))
		for _, rule := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} {
			require.Contains(t, strings.Split(policy, "; "), rule)
		}
		require.Equal(t, "nosniff", string(resp.Header.Peek("X-Content-Type-Options")))
		require.Equal(t, "same-origin", string(resp.Header.Peek("Cross-Origin-Resource-Policy")))
		require.Equal(t, "no-referrer", string(resp.Header.Peek("Referrer-Policy")))
		require.Empty(t, resp.Header.Peek("Access-Control-Allow-Origin"))
	}
	f("GET", "/")
	f("HEAD", "/")
	f("GET", "/live.js")
	f("GET", "/dev/session")
	f("POST", "/dev/session")
	f("GET", "/dev/session", "Host: evil.example")
}

func TestOnlyGetAndHeadAreAnswered(t *testing.T) {
	get := served(t, NewLive(options()))
	for _, path := range []string{"/", "/live.css", "/dev/session"} {
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PATCH"} {
			resp := get(method, path, "Content-Length: 0")
			require.Equal(t, 405, resp.StatusCode(), "%s %s", method, path)
			require.Equal(t, "GET, HEAD", string(resp.Header.Peek("Allow")))
			require.Contains(t, string(resp.Body()), strconv.Quote("error"))
			require.NotContains(t, string(resp.Body()), "jwt")
		}
		want := len(get("GET", path).Body())
		resp := get("HEAD", path)
		require.Equal(t, 200, resp.StatusCode(), path)
		require.Empty(t, resp.Body(), path)
		require.Equal(t, want, resp.Header.ContentLength(), path)
	}
}

func TestFilesAreRevalidatedByETag(t *testing.T) {
	get := served(t, NewLive(options()))
	etag := string(get("GET", "/live.js").Header.Peek("ETag"))
	require.Regexp(t, `^"[0-9a-f]{24}"$`, etag)
	require.NotEqual(t, etag, string(get("GET", "/live.css").Header.Peek("ETag")))

	f := func(header string, wantStatus int) {
		t.Helper()
		resp := get("GET", "/live.js", "If-None-Match: "+header)
		require.Equal(t, wantStatus, resp.StatusCode(), header)
		require.Equal(t, etag, string(resp.Header.Peek("ETag")))
		require.Equal(t, wantStatus == 304, len(resp.Body()) == 0)
	}
	f(etag, 304)
	f("W/"+etag, 304)
	f(`"other" , `+etag, 304)
	f("*", 304)
	f(`"other"`, 200)
	f(strings.Trim(etag, `"`), 200)
}

func TestSessionHandsOutTheSettings(t *testing.T) {
	opts := options()
	calls := 0
	opts.Token = func() (string, string, error) { calls++; return "jwt" + strconv.Itoa(calls), "ann", nil }
	get := served(t, NewLive(opts))
	for i := 1; i <= 2; i++ {
		resp := get("GET", "/dev/session")
		require.Equal(t, 200, resp.StatusCode())
		require.Equal(t, "application/json", string(resp.Header.ContentType()))
		require.Equal(t, "no-store", string(resp.Header.Peek("Cache-Control")))
		require.Empty(t, resp.Header.Peek("ETag"))
		require.JSONEq(t, `{"endpoint":"/connection/uni_sse","api":"/api","token":"jwt`+strconv.Itoa(i)+
			`","api_key":"key","user":"ann","channels":["news","a:b"],"version":"1.2.3"}`, string(resp.Body()))
	}
}

func TestSessionWithoutTokenIsAnonymous(t *testing.T) {
	resp := served(t, NewLive(Options{Endpoint: "/sse"}))("GET", "/dev/session")
	require.Equal(t, 200, resp.StatusCode())
	require.JSONEq(t, `{"endpoint":"/sse","api":"","token":"","api_key":"","user":"","channels":[],"version":""}`, string(resp.Body()))
}

func TestSessionSaysWhyThereIsNoToken(t *testing.T) {
	opts := options()
	opts.Token = func() (string, string, error) { return "half", "made", errors.New("no signing key") }
	resp := served(t, NewLive(opts))("GET", "/dev/session")
	require.Equal(t, 500, resp.StatusCode())
	require.Equal(t, "no-store", string(resp.Header.Peek("Cache-Control")))
	var answer struct{ Error string }
	require.NoError(t, json.Unmarshal(resp.Body(), &answer))
	require.Contains(t, answer.Error, "no signing key")
	require.NotContains(t, string(resp.Body()), "half")
}

func TestOptionsAreCopied(t *testing.T) {
	opts := options()
	live := NewLive(opts)
	opts.Channels[0] = "changed"
	require.Contains(t, string(served(t, live)("GET", "/dev/session").Body()), `"news"`)
}
