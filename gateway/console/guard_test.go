package console

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/api"
)

// Every method of the API is decided on, and viewers have none that changes anything.
func TestMethodsAreDecidedOn(t *testing.T) {
	var names []string
	for _, path := range api.Paths("/")[1:] {
		names = append(names, strings.TrimPrefix(path, "/"))
	}
	require.ElementsMatch(t, names, slices.Collect(maps.Keys(methodNeeds)), "a new method needs a line of methodNeeds")
	looks := []string{"channels", "history", "info", "presence", "presence_stats"}
	for _, name := range names {
		r := newRig(nil)
		cookie := asViewer(t, r)
		want := 403
		if slices.Contains(looks, name) {
			want = 200
		}
		require.Equal(t, want, r.post("/api/"+name, `{}`, cookie).StatusCode(), name)
		require.Equal(t, want == 200, len(r.called) == 1, name)
		require.Equal(t, 200, r.post("/api/"+name, `{}`, asAdmin(t, r)).StatusCode(), name)
		logged := slices.ContainsFunc(r.lines(t, "console"), func(l map[string]any) bool { return l["action"] == name && l["who"] == "admin" })
		require.Equal(t, want == 403, logged, "what changes something is logged: %s", name)
		require.Equal(t, 401, r.post("/api/"+name, `{}`).StatusCode(), name)
	}
}

// What each path needs. A new one needs a row.
func TestPathsAreGuarded(t *testing.T) {
	open := []string{"/login", "/auth", "/init"}
	admin := []string{"/api", "/connect", "/token"}
	for path, e := range endpoints() {
		if strings.HasPrefix(path, "/api/") {
			continue // see above
		}
		r := newRig(nil)
		status := r.ask(e.method+" /admin"+path, `{}`, ours...).StatusCode()
		require.Equal(t, !slices.Contains(open, path), status == 401 && path != "/login" && path != "/auth", "%s: %d", path, status)
		status = r.ask(e.method+" /admin"+path, `{}`, append(ours, asViewer(t, r))...).StatusCode()
		require.Equal(t, slices.Contains(admin, path), status == 403, "%s: %d", path, status)
		for _, method := range []string{"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"} {
			if method == e.method {
				continue
			}
			resp := r.ask(method+" /admin"+path, `{}`, append(ours, asAdmin(t, r))...)
			require.Equal(t, 405, resp.StatusCode(), path)
			require.Equal(t, e.method, string(resp.Header.Peek("Allow")))
		}
	}
	require.Len(t, endpoints(), 15+len(methodNeeds), "a new path is decided on here")
}

// crossSite are headers of requests that no page of ours and no program sends.
var crossSite = [][]string{
	{"Origin: http://evil.example"},
	{"Origin: null"},
	{"Origin: http://gateway.example"},           // another port
	{"Origin: http://sub.gateway.example:8000"},  // a neighbour
	{"Origin: http://gateway.example:8000.evil"}, // a longer name
	{"Sec-Fetch-Site: cross-site"},
	{"Sec-Fetch-Site: same-site"},
	{"Sec-Fetch-Site: cross-site", "Origin: http://gateway.example:8000"},
	{"Referer: http://evil.example/"},
	{"Origin: http://gateway.example:8000", "Origin: http://evil.example"},
	{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"},
}

func TestPagesOfOtherSitesActInNobodysName(t *testing.T) {
	r := newRig(nil)
	cookie := asAdmin(t, r)
	page := []string{cookie, "X-Sluice-Console: 1", "Content-Type: application/json", "X-Test-Scheme: http"}
	require.Equal(t, 200, r.ask("POST /admin/api/publish", `{}`, append(page, "Origin: http://gateway.example:8000")...).StatusCode())
	require.Equal(t, 200, r.ask("POST /admin/api/publish", `{}`, page...).StatusCode(), "a program")
	for _, headers := range crossSite {
		for _, path := range []string{"POST /admin/api/publish", "POST /admin/logout", "POST /admin/login", "POST /admin/auth", "POST /admin/stream", "GET /admin/config", "GET /admin/me"} {
			resp := r.ask(path, `{"password":"`+adminPassword+`"}`, slices.Concat(page, headers)...)
			require.Equal(t, 403, resp.StatusCode(), "%s %q", path, headers)
			require.Empty(t, resp.Header.Peek("Set-Cookie"))
		}
	}
	require.Equal(t, 200, r.ask("GET /admin/me", "", cookie).StatusCode())
	// What forms can send, with the cookie.
	for _, headers := range [][]string{
		{"Content-Type: application/json"}, {"X-Sluice-Console: 1"}, {"X-Sluice-Console: 0", "Content-Type: application/json"},
		{"X-Sluice-Console: 1", "Content-Type: text/plain"}, {"X-Sluice-Console: 1", "Content-Type: application/x-www-form-urlencoded"},
		{"X-Sluice-Console: 1", "Content-Type: multipart/form-data; boundary=application/json"},
	} {
		for _, path := range []string{"/api/publish", "/logout", "/login", "/stream", "/connect", "/token"} {
			require.Equal(t, 403, r.ask("POST /admin"+path, `{"password":"`+adminPassword+`"}`, append(headers, cookie)...).StatusCode(), "%s %q", path, headers)
		}
	}
	// A browser that does not say where it comes from.
	silent := []string{"User-Agent: Mozilla/5.0", "Content-Type: application/x-www-form-urlencoded"}
	require.Equal(t, 403, r.ask("POST /admin/auth", "password=x", silent...).StatusCode())
	require.Equal(t, 403, r.ask("POST /admin/logout", "", append(silent, cookie)...).StatusCode())
	require.Equal(t, 200, r.ask("GET /admin/me", "", "User-Agent: Mozilla/5.0", cookie).StatusCode(), "our own over plain http is like that")
	require.Len(t, r.called, 2)
}

func TestNobodyElseReadsAnAnswer(t *testing.T) {
	r := newRig(nil)
	cookie := asAdmin(t, r)
	for _, path := range []string{"/", "", "/me", "/config", "/nope", "/login", "/api/publish"} {
		for _, method := range []string{"GET", "OPTIONS", "POST"} {
			resp := r.ask(method+" /admin"+path, `{}`, cookie, "Origin: http://evil.example", "Access-Control-Request-Method: POST")
			for name := range resp.Header.All() {
				require.False(t, strings.HasPrefix(string(name), "Access-Control-"), "%s %s", method, path)
			}
			for name, want := range map[string]string{
				"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
				"Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
			} {
				require.Equal(t, want, string(resp.Header.Peek(name)), "%s %s", method, path)
			}
			if path != "/" && path != "" {
				require.Equal(t, "no-store", string(resp.Header.Peek("Cache-Control")), "%s %s", method, path)
			}
		}
	}
}

func TestCookiesOfNeighboursCountForNothing(t *testing.T) {
	r := newRig(nil)
	cookie := asAdmin(t, r)
	other := strings.TrimPrefix(asViewer(t, r), "Cookie: ")
	_, token, _ := strings.Cut(cookie, "=")
	in := func(want int, headers ...string) {
		t.Helper()
		require.Equal(t, want, r.ask("GET /admin/me", "", headers...).StatusCode(), "%q", headers)
	}
	in(200, cookie)
	in(200, cookie+"; a=b; sluice_console_=x")
	in(401, cookie+"; "+other)
	in(401, "Cookie: "+other+"; "+strings.TrimPrefix(cookie, "Cookie: "))
	in(401, cookie, "Cookie: "+other)
	in(401, "Cookie: __Secure-"+strings.TrimPrefix(cookie, "Cookie: ")) // of TLS
	in(200, "Cookie: __Secure-"+strings.TrimPrefix(cookie, "Cookie: "), "X-Test-Scheme: https")
	in(401, cookie, "X-Test-Scheme: https") // anybody on the way could have set it
	in(200, "Authorization: token "+token)
	in(200, "Authorization: BEARER "+token)
	in(401, "Authorization: Basic "+token)
	in(401, "Authorization: token", cookie)
	in(401, "Authorization: token "+token, "Authorization: token "+token)
	in(401, "Cookie: sluice_console=")
}

func TestStripLeavesWhatIsNotOurs(t *testing.T) {
	f := func(want string, lines ...string) {
		t.Helper()
		var h fasthttp.RequestHeader
		h.SetHost("h")
		for _, line := range lines {
			h.Add("Cookie", line)
		}
		Strip(&h)
		require.Equal(t, want, string(h.Peek("Cookie")), "%q", lines)
		require.NotContains(t, h.String(), "sluice_console")
	}
	f("", "sluice_console=x")
	f("", "sluice_console=x; __Secure-sluice_console=y")
	f("a=b; c=d=e", "a=b; sluice_console=x; c=d=e")
	f("a=b; a=c", "sluice_console=x;a=b;a=c")
	f("a=b", "a=b")
	f("a=b; c=d", "a=b", "sluice_console=x", "c=d")
	f("", "sluice_console")
	f("", "  sluice_console = x ")
}

func TestConnectHasNothingOfTheLogin(t *testing.T) {
	r := newRig(nil)
	require.Equal(t, 200, r.post("/connect", `{}`, asAdmin(t, r)+"; theirs=1", "Last-Event-ID: x").StatusCode())
	require.Contains(t, r.seen, "theirs=1")
	require.Contains(t, r.seen, "Last-Event-Id: x")
	for _, no := range []string{"sluice_console", "X-Sluice-Console", "Authorization"} {
		require.NotContains(t, strings.ToLower(r.seen), strings.ToLower(no))
	}
	token := strings.TrimPrefix(asAdmin(t, r), "Cookie: "+plainCookie+"=")
	require.Equal(t, 200, r.ask("POST /admin/connect", `{}`, "Authorization: token "+token).StatusCode())
	require.NotContains(t, r.seen, token)
}
