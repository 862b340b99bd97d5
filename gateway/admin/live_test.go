package admin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"
)

// served starts live behind an in-memory listener and returns a function that sends one raw request and reads the answer.
// Paths that live does not own are answered 418.
func served(t *testing.T, live *Live) func(method, uri string, header ...string) *fasthttp.Response {
	t.Helper()
	return servedTo(t, live, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 50000})
}

// servedTo is served for a client that connects from peer.
func servedTo(t *testing.T, live *Live, peer net.Addr) func(method, uri string, header ...string) *fasthttp.Response {
	t.Helper()
	ln := peerListener{fasthttputil.NewInmemoryListener(), peer}
	server := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		if !live.Handle(ctx) {
			ctx.SetStatusCode(fasthttp.StatusTeapot)
		}
	}}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	t.Cleanup(func() {
		require.NoError(t, ln.Close())
		require.NoError(t, <-done)
	})

	return func(method, uri string, header ...string) *fasthttp.Response {
		t.Helper()
		conn, err := ln.Dial()
		require.NoError(t, err)
		defer func(c net.Conn) { _ = c.Close() }(conn)
		version := " HTTP/1.1"
		if strings.HasPrefix(uri, "HTTP/1.0 ") {
			uri, version = uri[len("HTTP/1.0 "):], " HTTP/1.0"
		}
		lines := append([]string{method + " " + uri + version}, header...)
		if !hasHeader(header, "Host") {
			lines = append(lines, "Host: localhost:8000")
		}
		_, err = conn.Write([]byte(strings.Join(lines, "\r\n") + "\r\nConnection: close\r\n\r\n"))
		require.NoError(t, err)
		resp := &fasthttp.Response{SkipBody: method == "HEAD"}
		require.NoError(t, resp.Read(bufio.NewReader(conn)))
		return resp
	}
}

// peerListener gives all connections the same peer.
type peerListener struct {
	*fasthttputil.InmemoryListener
	peer net.Addr
}

func (l peerListener) Accept() (net.Conn, error) {
	c, err := l.InmemoryListener.Accept()
	return peerConn{c, l.peer}, err
}

type peerConn struct {
	net.Conn
	peer net.Addr
}

func (c peerConn) RemoteAddr() net.Addr { return c.peer }

func hasHeader(lines []string, name string) bool {
	for _, line := range lines {
		if strings.HasPrefix(line, name+":") {
			return true
		}
	}
	return false
}

func options() Options {
	return Options{Endpoint: "/connection/uni_sse", API: "/api", APIKey: "key", Version: "1.2.3", Channels: []string{"news", "a:b"},
		Token: func() (string, string, error) { return "jwt", "ann", nil }}
}

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

func TestSessionIsForThisMachineOnly(t *testing.T) {
	minted := 0
	opts := options()
	opts.Token = func() (string, string, error) { minted++; return "jwt", "ann", nil }
	get := served(t, NewLive(opts))
	f := func(wantStatus int, header ...string) {
		t.Helper()
		before := minted
		resp := get("GET", "/dev/session", header...)
		require.Equal(t, wantStatus, resp.StatusCode(), "%q", header)
		if wantStatus == 200 {
			return
		}
		require.Equal(t, before, minted, "a refused request must not mint a token")
		require.NotContains(t, string(resp.Body()), "jwt")
		require.Equal(t, "no-store", string(resp.Header.Peek("Cache-Control")))
	}
	allowed := func(header ...string) { t.Helper(); f(200, header...) }
	refused := func(header ...string) { t.Helper(); f(403, header...) }

	allowed("Host: localhost")
	allowed("Host: LocalHost:8000")
	allowed("Host: 127.0.0.1:8000")
	allowed("Host: 127.8.9.10")
	allowed("Host: [::1]")
	allowed("Host: [::1]:8000")

	refused("Host: evil.example")
	refused("Host: evil.example:8000")
	refused("Host: localhost.evil.example")
	refused("Host: 127.0.0.1.evil.example")
	refused("Host: 128.0.0.1")
	refused("Host: 10.0.0.1:8000")
	refused("Host: 0.0.0.0:8000")
	refused("Host: [::]:8000")
	refused("Host: [fe80::1]:8000")
	refused("Host: evil@localhost")

	allowed("Host: localhost:8000", "Origin: http://localhost:8000", "Sec-Fetch-Site: same-origin")
	allowed("Host: localhost:8000", "Origin: https://localhost:8000")
	refused("Host: localhost:8000", "Origin: http://localhost:3000")
	refused("Host: localhost:8000", "Origin: http://127.0.0.1:8000")
	refused("Host: localhost:8000", "Origin: http://evil.example")
	refused("Host: localhost:8000", "Origin: null")
	refused("Host: localhost:8000", "Origin: localhost:8000")
	refused("Host: localhost:8000", "Origin: file://localhost:8000")
	refused("Host: localhost:8000", "Sec-Fetch-Site: same-site")
	refused("Host: localhost:8000", "Sec-Fetch-Site: cross-site")
	refused("Host: localhost:8000", "Sec-Fetch-Site: none")
	refused("Host: localhost:8000", "Origin: http://localhost:8000", "Sec-Fetch-Site: cross-site")
}

// TestSessionIsForLoopbackPeersOnly: the Host header is anybody's to write, the peer of the socket is not.
func TestSessionIsForLoopbackPeersOnly(t *testing.T) {
	opts := options()
	opts.Key = "the-key-of-the-link"
	live := NewLive(opts)
	tcp := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 50000} }
	f := func(peer net.Addr, wantStatus int, header ...string) {
		t.Helper()
		resp := servedTo(t, live, peer)("GET", "/dev/session", header...)
		require.Equal(t, wantStatus, resp.StatusCode(), "%s %q", peer, header)
		require.Equal(t, wantStatus == 200, strings.Contains(string(resp.Body()), "jwt"))
	}
	f(tcp("127.0.0.1"), 200)
	f(tcp("127.9.8.7"), 200)
	f(tcp("::1"), 200)
	f(tcp("::ffff:127.0.0.1"), 200)
	f(tcp("10.0.0.1"), 403)
	f(tcp("192.168.1.2"), 403, "Host: localhost:8000")
	f(tcp("2001:db8::1"), 403, "Host: [::1]:8000")
	f(tcp("::ffff:10.0.0.1"), 403)
	f(&net.UnixAddr{Name: "/run/x", Net: "unix"}, 403)

	// A proxy on this machine is a loopback peer for everybody.
	for _, header := range []string{"Forwarded: for=10.0.0.1", "X-Forwarded-For: 10.0.0.1", "x-forwarded-for:", "X-Forwarded-Host: localhost",
		"X-Forwarded-Proto: https", "X-Real-IP: 127.0.0.1", "Via: 1.1 x", "CF-Connecting-IP: 1.1.1.1", "True-Client-IP: 1.1.1.1"} {
		f(tcp("127.0.0.1"), 403, header)
	}
	require.Equal(t, 403, served(t, live)("GET", "HTTP/1.0 /dev/session").StatusCode(), "what nginx sends unless told otherwise")
	proxied := opts
	proxied.Proxied = true
	require.Equal(t, 403, served(t, NewLive(proxied))("GET", "/dev/session").StatusCode())

	// Who has the link has the session, from anywhere; not so a page of another site.
	const key = "X-Sluice-Key: the-key-of-the-link"
	f(tcp("10.0.0.1"), 200, key, "Host: 10.0.0.2:8000", "Sec-Fetch-Site: same-origin")
	f(tcp("127.0.0.1"), 200, key, "Host: dev.example", "X-Forwarded-For: 10.0.0.1")
	f(tcp("10.0.0.1"), 403, "X-Sluice-Key: the-key-of-the-linc", "Host: localhost")
	f(tcp("10.0.0.1"), 403, "X-Sluice-Key:", "Host: localhost")
	f(tcp("10.0.0.1"), 403, key, "Host: 10.0.0.2:8000", "Sec-Fetch-Site: cross-site")
	f(tcp("10.0.0.1"), 403, key, "Host: 10.0.0.2:8000", "Origin: http://evil.example")
	resp := servedTo(t, NewLive(options()), tcp("10.0.0.1"))("GET", "/dev/session", "X-Sluice-Key:")
	require.Equal(t, 403, resp.StatusCode(), "no key opens nothing")
}

// TestPageObeysItsOwnPolicy keeps the embedded files to what the Content-Security-Policy lets them do, and text from the
// stream away from everything that would read it as markup or code.
func TestPageObeysItsOwnPolicy(t *testing.T) {
	live := NewLive(options())
	page := string(live.files["/"].body)
	require.NotRegexp(t, `(?i)\sstyle=|<style|\son[a-z]+=|<script(>|[^>]*>[^<])|https?:`, page)

	dangerous := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|\.srcdoc|DOMParser`)
	foreign := regexp.MustCompile(`https?://|@import|url\(`)
	scripts := 0
	for at, f := range live.files {
		switch path.Ext(at) {
		case ".js":
			scripts++
			require.Empty(t, dangerous.FindString(string(f.body)), at)
			fallthrough
		case ".css":
			require.Empty(t, foreign.FindString(string(f.body)), at)
		}
	}
	require.Positive(t, scripts)
}

func TestEverythingThePageLoadsIsServed(t *testing.T) {
	live := NewLive(options())
	for _, found := range regexp.MustCompile(`(?:src|href)="(/[^"]*)"`).FindAllStringSubmatch(string(live.files["/"].body), -1) {
		require.Contains(t, live.files, found[1])
	}
	for at, f := range live.files {
		for _, found := range regexp.MustCompile(`from '(\.[^']*)'`).FindAllStringSubmatch(string(f.body), -1) {
			require.Contains(t, live.files, path.Join(path.Dir(at), found[1]), "imported by %s", at)
		}
	}
	require.NoError(t, fs.WalkDir(webFiles, "web", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			require.NotEmpty(t, contentType(name), "%s has a type browsers know", name)
		}
		return err
	}))
}

// TestScriptsFindTheirElements checks that each element id the scripts name is in the page.
func TestScriptsFindTheirElements(t *testing.T) {
	live := NewLive(options())
	ids := map[string]bool{}
	for _, found := range regexp.MustCompile(`\sid="([^"]+)"`).FindAllStringSubmatch(string(live.files["/"].body), -1) {
		require.False(t, ids[found[1]], "id %q is used twice", found[1])
		ids[found[1]] = true
	}
	lookup := regexp.MustCompile(`(?:\$|setText|getElementById)\('([\w-]+)'`)
	documented := regexp.MustCompile(`#([a-z][a-z0-9-]+)`)
	comments := regexp.MustCompile(`(?m)^//   .*$`)
	count := 0
	for at, f := range live.files {
		if path.Ext(at) != ".js" {
			continue
		}
		named := append(lookup.FindAllStringSubmatch(string(f.body), -1),
			documented.FindAllStringSubmatch(string(bytes.Join(comments.FindAll(f.body, -1), []byte("\n"))), -1)...)
		for _, found := range named {
			count++
			require.True(t, ids[found[1]], "%s names #%s", at, found[1])
		}
	}
	require.Positive(t, count)
}
