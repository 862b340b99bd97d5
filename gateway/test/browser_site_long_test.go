//go:build e2e

package test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// withCookie is a page that logs in, that is, sets a cookie for its host, and
// opens an EventSource that sends it.
const withCookie = `
document.cookie = "session=%s; path=/";
const sluice = {state: "live", connects: 1, received: []};
const source = new EventSource(%q, {withCredentials: true});
source.onmessage = (event) => { sluice.first ??= JSON.parse(event.data); };
`

// attacking is a page of another site: an image, then a form, then a link.
const attacking = `
const sluice = {state: "live", connects: 1, received: []};
const url = %q;
const image = new Image();
image.onerror = () => { sluice.imaged = true; };
image.src = url + "?image";
function post() {
	const form = document.createElement("form");
	form.method = "post"; form.enctype = "text/plain"; form.action = url + "?form";
	document.body.append(form);
	form.submit();
}
function follow() { location.href = url + "?link"; }
`

// ownPage connects in the three ways that a page of the public origin has.
const ownPage = `
const sluice = {state: "live", connects: 1, received: [], done: {}};
const path = %q;
const source = new EventSource(path);
source.onmessage = (event) => { if (JSON.parse(event.data).connect) sluice.done.source = 200; };
fetch(path, {method: "POST", headers: {"Content-Type": "application/json"}, body: "{}"})
	.then((answer) => { sluice.done.post = answer.status; return answer.body.cancel(); });
fetch(path + "/ticket", {method: "POST", body: "{}"}).then((answer) => { sluice.done.ticket = answer.status; });
`

// A page of another site makes a real browser send its visitor's cookie: by that
// no stream opens, and the visitor's own goes on.
func TestLongBrowserOnAPageOfAnotherSiteOpensNothingAsItsVisitor(t *testing.T) {
	browserTest(t)
	home, evil := newSite(t), newSite(t)
	s := startMore(t, parts{client: withSecret + withAnonymous + fmt.Sprintf(`, "token_cookie": "session", "allowed_origins": [%q],
		"subscribe_to_user_personal_channel": {"enabled": true, "personal_channel_namespace": "who", "single_connection": true}`, home.origin())},
		slog.New(slog.DiscardHandler))
	r := newRelay(t, s.addr, 1) // for what the browser sends
	url, cookie := "http://"+r.addr()+testkit.DefaultPath, tokenOf(t, "victim", nil)
	home.serve(fmt.Sprintf(withCookie, cookie, url))
	evil.serve(fmt.Sprintf(attacking, url))
	elsewhere := strings.Replace(evil.origin(), "127.0.0.1", "localhost", 1) // another site than 127.0.0.1

	p := openLive(t, home.addr())
	p.wait(t, `"who:#victim" in (sluice.first?.connect?.subs ?? {})`)
	require.Contains(t, r.requests(), "Cookie: session="+cookie)
	p.do(t, chromedp.Navigate(elsewhere+"/")) // which ends the stream of the page
	victim := s.connect(t, testkit.ConnectOptions{HTTPHeaders: lines("Cookie: session=" + cookie)})
	victim.ExpectConnect(t)

	// request returns what the browser sent for one of the three.
	request := func(kind string) string {
		t.Helper()
		_, text, found := strings.Cut(r.requests(), testkit.DefaultPath+"?"+kind)
		require.True(t, found, kind)
		head, _, _ := strings.Cut(text, "\r\n\r\n")
		return head
	}
	refusal := func() string {
		return evaluate[string](t, p, `document.body.innerText`)
	}
	p.wait(t, `sluice.imaged === true`)
	require.Contains(t, request("image"), "Sec-Fetch-Site: cross-site")

	evaluate[bool](t, p, `{ post(); true; }`)
	p.wait(t, `location.search === "?form" && document.readyState === "complete"`)
	require.Contains(t, request("form"), "Origin: "+elsewhere)
	require.Contains(t, refusal(), "is not in client.allowed_origins")

	p.do(t, chromedp.Navigate(elsewhere+"/"))
	evaluate[bool](t, p, `{ follow(); true; }`)
	p.wait(t, `location.search === "?link" && document.readyState === "complete"`)
	link := request("link")
	require.Contains(t, link, "Cookie: session="+cookie, "the browser does send it")
	require.Contains(t, link, "Sec-Fetch-Site: cross-site")
	require.NotContains(t, link, "Origin:")
	require.Contains(t, refusal(), `since any other site can make a browser send it (Sec-Fetch-Site cross-site)`)
	p.takeProblems() // the console's lines on refused requests

	s.api.Publish(t, "who:#victim", `"still here"`)
	victim.ExpectPub(t, "who:#victim")
	require.Equal(t, 1, s.sessions.Counts().Clients)
}

// The page and the endpoint are behind one nginx that passes no Host on.
func TestLongBrowserBehindAPlainProxyPassIsOfTheSameOrigin(t *testing.T) {
	browserTest(t)
	s := launch(t, fmt.Sprintf(baseConfig, "", "", "", ""))
	t.Cleanup(func() { s.stop(t) })
	home := newSite(t)
	home.serve(fmt.Sprintf(ownPage, testkit.DefaultPath))
	port := testkit.FreePort(t)
	startNginx(t, fmt.Sprintf(`server {
		listen 127.0.0.1:%d;
		location / { proxy_pass http://%s; }
		location /connection/ { proxy_pass http://%s; }
	}`, port, home.addr(), s.addr), port)
	p := openLive(t, fmt.Sprintf("127.0.0.1:%d", port))
	p.wait(t, `Object.keys(sluice.done).length === 3`)
	require.Equal(t, map[string]int{"source": 200, "post": 200, "ticket": 200}, evaluate[map[string]int](t, p, `sluice.done`))
}

// Pages cannot publish through an API without a key, whatever they try.
func TestLongBrowserOnAPageOfAnotherSiteDoesNotReachAnInsecureAPI(t *testing.T) {
	browserTest(t)
	home := newSite(t)
	s := launch(t, fmt.Sprintf(baseConfig, "", `, "insecure": true`, fmt.Sprintf(`, "allowed_origins": [%q]`, home.origin()), ""))
	t.Cleanup(func() { s.stop(t) })
	const publishing = `
const sluice = {state: "live", connects: 1, received: [], tried: 0};
const url = %q, body = JSON.stringify({channel: "news", data: "from a page"});
const done = () => { sluice.tried++; };
for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/json"]) {
	fetch(url, {method: "POST", mode: type === "application/json" ? "cors" : "no-cors", headers: {"Content-Type": type}, body}).then(done, done);
}
sluice.beacon = navigator.sendBeacon(url, body);
`
	r := newRelay(t, s.addr, 1)
	home.serve(fmt.Sprintf(publishing, "http://"+r.addr()+"/api/publish"))
	listener := s.subscribe(t, "news")
	listener.ExpectConnect(t)
	p := openLive(t, home.addr())
	p.wait(t, `sluice.tried === 3`)
	testkit.Eventually(t, func() bool { return s.Parts().API.Stats().Refused["cross_site"] == 3 }, "two simple requests and the beacon to be refused")
	testkit.EventuallyWithin(t, pageTimeout, func() bool {
		return strings.Contains(strings.Join(p.takeProblems(), "\n"), "blocked by CORS policy")
	}, "the browser to tell of the third, which asked first")
	require.Equal(t, 3, strings.Count(r.requests(), "POST /api/publish"))
	s.api.Publish(t, "news", `"from the backend"`)
	require.JSONEq(t, `"from the backend"`, string(listener.ExpectPub(t, "news").Data), "and nothing before")
}
