package test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// This file is about pages of other sites: what a browser is made to send by
// them does not count as its user's will.

const (
	withheld = `the header \"Cookie\" says nothing of who asks`
	unlisted = "is not in client.allowed_origins"

	addToList   = "client.allowed_origins"
	openInAPage = "open the stream by EventSource or fetch in a page"
	// http, or a browser of before 2023, and a page that hides its Referer: no list
	// helps our own.
	sayWhoAsks = "if the page is yours, use TLS, or give it a Referrer-Policy that names its origin (same-origin, strict-origin), or send the token"
)

// foreignRequests are the headers of requests that pages of other sites make a browser send
// with the cookies of its user, and what the answer says, also as the remedy.
var foreignRequests = []struct {
	says, remedy string
	headers      []string
}{
	{withheld, addToList, []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"}},
	{withheld, addToList, []string{"Sec-Fetch-Site: cross-site", "Referer: https://app.example.com/"}},
	{withheld, addToList, []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"}},
	{withheld, addToList, []string{"Referer: https://evil.example.net/"}},
	{withheld, sayWhoAsks, []string{firefox, navigation}},
	{withheld, sayWhoAsks, []string{firefox, "Accept: image/avif,image/webp,*/*"}},
	{withheld, sayWhoAsks, []string{firefox, "Accept: text/event-stream"}},
	// A link in a mail, a typed address, a link on an own page.
	{withheld, openInAPage, []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-User: ?1", firefox, navigation}},
	{withheld, openInAPage, []string{"Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-User: ?1", firefox, navigation}},
	{withheld, openInAPage, []string{"Sec-Fetch-Site: none"}},
	{withheld, openInAPage, []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate"}},
	{withheld, openInAPage, []string{"Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: navigate"}},
	{withheld, openInAPage, []string{"Origin: https://app.example.com", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"}},
	{`Origin \"https://evil.example.net\" ` + unlisted, addToList, []string{"Origin: https://evil.example.net"}},
	{unlisted, addToList, []string{"Origin: null", "Sec-Fetch-Site: cross-site"}},
	{unlisted, addToList, []string{"Origin: https://other.example.com", "Sec-Fetch-Site: same-site"}},
}

// ownRequests are the headers of requests of own pages, and of no page.
var ownRequests = [][]string{
	{"Sec-Fetch-Site: same-origin"}, {"Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: cors"},
	{"Origin: https://app.example.com", "Sec-Fetch-Site: cross-site"}, {"Origin: https://app.example.com"},
	{"Origin: https://stream.example.com"}, {"Referer: https://stream.example.com/page"}, {"Referer: https://app.example.com/page"},
	{"User-Agent: curl/8"}, {},
}

// A page of another site must not open a stream as the visitor, nor end the one
// that the visitor has.
func TestCookiesCountForOwnPagesOnly(t *testing.T) {
	var log testkit.LogBuffer
	s := startStrict(t, parts{client: withSecret + withAnonymous + `, "token_cookie": "session", "allowed_origins": ["https://app.example.com"],
		"subscribe_to_user_personal_channel": {"enabled": true, "personal_channel_namespace": "who", "single_connection": true}`},
		slog.New(slog.NewTextHandler(&log, nil)))
	cookie := "Cookie: session=" + tokenOf(t, "victim", nil)
	victim := s.connect(t, testkit.ConnectOptions{HTTPHeaders: lines(cookie)})
	victim.ExpectConnect(t)

	for _, row := range foreignRequests {
		for _, r := range []testkit.Request{
			{Target: testkit.DefaultPath}, {Method: "POST", Target: testkit.DefaultPath, Body: "{}"},
			{Method: "POST", Target: testkit.DefaultPath + "/ticket"},
		} {
			r.Headers = lines(append(slices.Clone(row.headers), "Host: stream.example.com", cookie)...)
			status, body := answerTo(t, s, r)
			require.Equal(t, 403, status, "%s %q", body, row.headers)
			require.Contains(t, body, row.says)
			require.Contains(t, body, row.remedy, "the remedy")
		}
	}
	for _, says := range []string{
		`remedy="` + sayWhoAsks, `msg="connect refused" reason=cross_site`, `Sec-Fetch-Site cross-site`,
		`remedy="add the origin of the page to client.allowed_origins`,
	} {
		require.Contains(t, log.String(), says)
	}

	// With a token of its own it gets a stream, as that user.
	status, body := answerTo(t, s, testkit.Request{
		Target:  testkit.DefaultPath + `?cf_connect={"token":"` + tokenOf(t, "guest", nil) + `"}`,
		Headers: lines("Sec-Fetch-Site: cross-site", cookie),
	})
	require.Equal(t, 200, status)
	require.Contains(t, body, "who:#guest")
	// Nobody was logged in: nothing is withheld.
	status, body = answerTo(t, s, testkit.Request{Target: testkit.DefaultPath, Headers: lines("Sec-Fetch-Site: cross-site")})
	require.Equal(t, 200, status, body)

	s.api.Publish(t, "who:#victim", `"still here"`)
	victim.ExpectPub(t, "who:#victim")

	for _, headers := range ownRequests {
		status, body := answerTo(t, s, testkit.Request{Target: testkit.DefaultPath, Headers: lines(append(slices.Clone(headers), "Host: stream.example.com", cookie)...)})
		require.Equal(t, 200, status, "%s %q", body, headers)
		require.Contains(t, body, "who:#victim", headers)
	}
	victim.ExpectDisconnect(t, 3504)
}

// A hook is not asked with what a page of another site made the browser send,
// or a front add.
func TestHooksGetCookiesOfOwnPagesOnly(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	b := newBackend(t)
	b.say(`{"result":{"user":"42"}}`)
	hook := b.connectHook(`, "http_headers": ["Cookie", "Authorization", "X-Auth-User", "User-Agent"]`)
	s := startMore(t, parts{client: withSecret + hook + `, "allowed_origins": ["https://app.example.com"]`}, nil)
	open := startMore(t, parts{client: withSecret + strings.Replace(hook, `"Cookie", `, "", 1) + `, "allowed_origins": ["*"]`}, nil)
	f := func(s *server, want int, headers ...string) {
		t.Helper()
		before := b.asked.Load()
		status, body := answerTo(t, s, testkit.Request{Target: testkit.DefaultPath, Headers: lines(headers...)})
		require.Equal(t, want, status, body)
		if want == 403 {
			require.Equal(t, before, b.asked.Load(), "the backend was asked: %q", headers)
			return
		}
		require.Equal(t, before+1, b.asked.Load())
		for _, line := range headers {
			if name, value, _ := strings.Cut(line, ": "); name == "Cookie" || name == "Authorization" || name == "X-Auth-User" {
				require.Equal(t, value, b.last(t).head.Get(name))
			}
		}
	}
	const other, basic = "Sec-Fetch-Site: cross-site", "Authorization: Basic YTpi"
	f(s, 403, other, "Cookie: a=b")
	f(s, 403, other, basic)
	f(s, 403, other, "X-Auth-User: ada") // a front's, which took it from a cookie
	f(s, 403, "Referer: https://evil.example.net/", "Cookie: a=b")
	f(s, 200, other, "User-Agent: x")
	for _, from := range []string{"Origin: https://app.example.com", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: same-site", "Accept: */*"} {
		f(s, 200, from, "Cookie: a=b")
		f(s, 200, from, basic)
		f(s, 200, from, "X-Auth-User: ada")
	}
	const any = "Origin: https://evil.example.net"
	f(open, 403, any, other, basic)
	f(open, 403, any, other, "Authorization: Negotiate x")
	f(open, 200, any, other, "Authorization: Bearer x") // no browser adds that
	f(open, 200, any, other, "X-Auth-User: ada")        // the page asked first
	f(open, 403, other, "X-Auth-User: ada")
	f(open, 403, other, "Authorization: Bearer x") // a front's: pages without Origin set no headers
}

func TestUserHeaderCountsFromTrustedProxiesOnce(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	var log testkit.LogBuffer
	text := trusting(fmt.Sprintf(strictConfig, "", "", withSecret+`, "user_id_http_header": "X-User-Id", "allowed_origins": ["https://app.example.com"],
		"subscribe_to_user_personal_channel": {"enabled": true}`, ""))
	s := startText(t, text, slog.New(slog.NewTextHandler(&log, nil)))
	proxied := startText(t, strings.Replace(text, `"port": 0`, `"port": 0, "proxy_protocol": true`, 1), nil)
	f := func(s *server, from, before string, want int, says string, headers ...string) {
		t.Helper()
		r := testkit.Request{Target: testkit.DefaultPath, Headers: lines(headers...)}
		status, body := answerOn(t, dialFrom(t, s, from), before, r)
		require.Equal(t, want, status, body)
		require.Contains(t, body, says, "%q", headers)
	}
	const proxy, stranger, user = "127.0.0.1", "127.0.0.2", "X-User-Id: 42"
	const notTrusted = "name the proxy that sets it in http_server.trusted_proxies"
	f(s, proxy, "", 200, `"#42"`, user)
	f(s, proxy, "", 200, `"#42"`, user, "X-Forwarded-For: 192.0.2.1")
	f(s, proxy, "", 200, `"#a,b"`, "x-user-id: a,b")
	f(s, stranger, "", 403, notTrusted, user)
	f(s, stranger, "", 403, notTrusted, user, "X-Forwarded-For: 127.0.0.1")
	f(s, stranger, "", 200, `"code":3501`)
	f(s, proxy, "", 400, `is there 2 times: the proxy must replace what its clients send`, "X-User-Id: evil", user)
	f(s, proxy, "", 400, "is there 2 times", user, user)
	f(s, proxy, "", 400, "is there 2 times", "X-User-Id: ", user)
	f(s, proxy, "", 200, `"code":3501`, "X-User-Id: ")
	f(s, proxy, "", 200, `"code":3501`)
	f(s, proxy, "", 403, "says nothing of who asks", user, "Sec-Fetch-Site: cross-site")
	f(s, proxy, "", 200, `"#42"`, user, "Sec-Fetch-Site: cross-site", "Origin: https://app.example.com")
	// A page of a name that was made to lead here, in a browser on the machine of the
	// proxy: what a proxy would say it says itself.
	const evil, lazy = "Host: evil.example.com:8000", "says nothing of who asks over plain http by a host name"
	const page, gzip = "Referer: http://evil.example.com:8000/", "Accept-Encoding: gzip, deflate"
	for _, agent := range []string{firefox, "User-Agent: x"} {
		f(s, proxy, "", 403, lazy, evil, page, user, agent, gzip)
		f(s, proxy, "", 403, "any other site", evil, page, user, agent, gzip, "X-Forwarded-Host: localhost")
		f(s, proxy, "", 403, "any other site", evil, page, user, agent, gzip, "X-Forwarded-Proto: https")
		f(s, proxy, "", 403, lazy, evil, "Origin: http://evil.example.com:8000", user, agent, gzip)
	}
	f(s, proxy, "", 403, "Referrer-Policy", evil, user, firefox, gzip)
	f(s, proxy, "", 403, "add http://HOST:PORT", evil, user, "User-Agent: x", gzip)
	f(s, proxy, "", 403, lazy, evil, user, "User-Agent: x", gzip, "X-Forwarded-Host: localhost")
	// Behind a front that ends TLS, or under a name that is listed, nothing changes.
	const own = "Host: stream.example.com"
	f(s, proxy, "", 200, `"#42"`, own, user, firefox, gzip, "Sec-Fetch-Site: same-origin")
	f(s, proxy, "", 200, `"#42"`, own, user, firefox, gzip, "Referer: https://stream.example.com/", "X-Forwarded-Proto: https")
	f(s, proxy, "", 200, `"#42"`, own, user, "User-Agent: okhttp/4", gzip, "X-Forwarded-Proto: https")
	f(s, proxy, "", 200, `"#42"`, own, user, "User-Agent: curl/8")
	f(s, proxy, "", 200, `"#42"`, "Host: app.example.com", user, firefox, gzip, "Referer: http://app.example.com/")
	require.Contains(t, log.String(), `reason=user_header`)
	require.Contains(t, log.String(), `remedy="`+notTrusted)

	// With the PROXY protocol the peer passes on what others wrote.
	f(proxied, proxy, "PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", 200, `"#42"`, user)
	f(proxied, proxy, "PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n", 403, notTrusted, user)
	f(proxied, proxy, "PROXY UNKNOWN\r\n", 403, notTrusted, user)
}

// The origin of a page is compared with the host that the browser asked for, not
// with the one that a front asks us for.
func TestOwnOriginBehindAFront(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	text := trusting(fmt.Sprintf(strictConfig, "", "", withSecret+withAnonymous, ""))
	s := startText(t, text, nil)
	other := startText(t, strings.Replace(text, `"port": 0`, `"port": 0, "forwarded_header": "forwarded"`, 1), nil)
	f := func(s *server, from string, want int, headers ...string) {
		t.Helper()
		headers = append(headers, "Host: backend:8000")
		for _, r := range []testkit.Request{
			{Target: testkit.DefaultPath}, {Method: "POST", Target: testkit.DefaultPath, Body: "{}"},
			{Method: "POST", Target: testkit.DefaultPath + "/ticket"}, {Method: "OPTIONS", Target: testkit.DefaultPath},
		} {
			r.Headers = lines(headers...)
			status, body := answerOn(t, dialFrom(t, s, from), "", r)
			if want == 200 && r.Method == "OPTIONS" {
				require.Equal(t, 204, status, body)
				continue
			}
			require.Equal(t, want, status, "%s %s %q", body, r.Method, headers)
			if want == 403 {
				require.Contains(t, body, "http_server.trusted_proxies", "the remedy")
			}
		}
	}
	const proxy, stranger = "127.0.0.1", "127.0.0.2"
	const page, host = "Origin: https://app.example.com", "X-Forwarded-Host: app.example.com"
	f(s, proxy, 403, page) // plain proxy_pass, and a browser that sends no Sec-Fetch-Site
	f(s, proxy, 200, page, "Sec-Fetch-Site: same-origin")
	f(s, stranger, 200, page, "Sec-Fetch-Site: same-origin")
	f(s, proxy, 200, page, host)
	f(s, proxy, 200, page, host, "X-Forwarded-Proto: https")
	f(s, proxy, 200, page, "X-Forwarded-Host: evil.example.net, app.example.com", "X-Forwarded-Proto: http")
	f(s, proxy, 403, page, "X-Forwarded-Host: app.example.com, evil.example.net")
	f(s, stranger, 403, page, host)
	f(s, proxy, 403, "Origin: http://app.example.com", host, "X-Forwarded-Proto: https")
	f(s, proxy, 200, "Origin: http://app.example.com:8080", "X-Forwarded-Host: app.example.com:8080", "X-Forwarded-Proto: http")
	f(s, proxy, 403, "Origin: http://backend:8000", host)
	f(s, proxy, 403, page, host, "Sec-Fetch-Site: cross-site")
	f(other, proxy, 403, page, host)
	f(other, proxy, 200, page, `Forwarded: for=192.0.2.1;host="app.example.com";proto=https`)
	f(other, stranger, 403, page, `Forwarded: host=app.example.com`)
}
