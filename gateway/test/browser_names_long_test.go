//go:build e2e

package test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// This file is about pages over plain http to names, where browsers send no
// Sec-Fetch headers: what is in the other tests is over localhost, which counts as
// secure.

// names makes a browser find all names of tests on this machine.
var names = chromedp.Flag("host-resolver-rules", "MAP *.test 127.0.0.1, MAP *.example.com 127.0.0.1")

// namedFront serves a page, and passes all else on to a gateway as a front does that
// knows whose the browser is.
type namedFront struct {
	*httptest.Server

	// Guarded by mu.
	mu     sync.Mutex
	heads  map[string]http.Header // of what was passed on, by the query "as"
	status map[string]int         // of the answers
}

// newNamedFront makes a front for s, which adds the headers. The path says which
// Referrer-Policy the page has.
func newNamedFront(t *testing.T, s *server, headers [][2]string) *namedFront {
	t.Helper()
	f := &namedFront{heads: make(map[string]http.Header), status: make(map[string]int)}
	target, err := url.Parse("http://" + s.addr)
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{
		Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			for _, h := range headers {
				r.Out.Header.Set(h[0], h[1])
			}
		},
		ModifyResponse: func(r *http.Response) error {
			as := r.Request.URL.Query().Get("as")
			f.mu.Lock()
			defer f.mu.Unlock()
			f.heads[as], f.status[as] = r.Request.Header.Clone(), r.StatusCode
			return nil
		},
	}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/connection/") || strings.HasPrefix(r.URL.Path, "/api/") {
			proxy.ServeHTTP(w, r)
			return
		}
		if policy := strings.Trim(r.URL.Path, "/"); policy != "" {
			w.Header().Set("Referrer-Policy", policy)
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprint(w, `<!doctype html><title>test</title><link rel="icon" href="data:,">
			<p id="state-detail"></p><form id="publish-form"></form><script>
			const sluice = {state: "live", connects: 1, received: [], done: {}};
			const ask = async (as, url, options) => {
				try {
					const answer = await fetch(url + "?as=" + as, options);
					sluice.done[as] = {status: answer.status, text: answer.status > 200 ? await answer.text() : ""};
					if (answer.status === 200) answer.body.cancel();
				} catch (e) { sluice.done[as] = {status: 0, text: String(e)}; }
			};
			const listen = (as, url) => {
				const source = new EventSource(url + "?as=" + as);
				source.onmessage = () => { sluice.done[as] = {status: 200}; source.close(); };
				source.onerror = () => { sluice.done[as] = {status: 0}; source.close(); };
			};
			</script>`)
	}))
	t.Cleanup(f.Close)
	return f
}

// at returns the URL of the front under a name.
func (f *namedFront) at(t *testing.T, name string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(f.Listener.Addr().String())
	require.NoError(t, err)
	return "http://" + net.JoinHostPort(name, port)
}

// passed returns what was sent for one of the browser's requests, and the status of
// its answer.
func (f *namedFront) passed(t *testing.T, as string) (http.Header, int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	require.Contains(t, f.heads, as)
	return f.heads[as], f.status[as]
}

// saysNothing checks that a request told nothing of its page.
func saysNothing(t *testing.T, head http.Header) {
	t.Helper()
	for _, name := range []string{"Origin", "Referer", "Sec-Fetch-Site"} {
		require.Empty(t, head.Values(name), name)
	}
}

type pageAnswer struct {
	Status int
	Text   string
}

// call runs a script of a page of a front and returns its answers, of which there are n.
func (p *livePage) call(t *testing.T, page, script string, n int) (answers map[string]pageAnswer) {
	t.Helper()
	p.do(t, chromedp.Navigate(page))
	evaluate[bool](t, p, "{"+script+"; true; }")
	p.wait(t, fmt.Sprintf(`Object.keys(sluice.done).length === %d`, n))
	require.NoError(t, json.Unmarshal([]byte(evaluate[string](t, p, `JSON.stringify(sluice.done)`)), &answers))
	return answers
}

// Over plain http a browser says of its pages no more than Origin and Referer.
func TestLongBrowserOverPlainHTTPIsKnownByWhatItSays(t *testing.T) {
	browserTest(t)
	s := startText(t, trusting(fmt.Sprintf(strictConfig, "", "", withSecret+`, "user_id_http_header": "X-User-Id"`, "")), nil)
	f := newNamedFront(t, s, [][2]string{{"X-User-Id", "victim"}})
	path, own := testkit.DefaultPath, f.at(t, "stream.test")
	p := openLive(t, strings.TrimPrefix(own, "http://"), names)

	script := fmt.Sprintf(`listen("source", %q); ask("get", %q); ask("post", %q, {method: "POST", body: "{}"});`, path, path, path)
	for _, policy := range []string{"", "same-origin", "strict-origin"} {
		answers := p.call(t, own+"/"+policy, script, 3)
		for as := range answers {
			require.Equal(t, 200, answers[as].Status, "%s %s %s", policy, as, answers[as].Text)
			head, _ := f.passed(t, as)
			require.Empty(t, head.Values("Sec-Fetch-Site"), "a name over plain http")
		}
	}
	answers := p.call(t, own+"/no-referrer", script, 3)
	for as, want := range map[string]int{"source": 403, "get": 403, "post": 200} {
		head, status := f.passed(t, as)
		require.Equal(t, want, status, as)
		if want == 403 {
			saysNothing(t, head)
		}
	}
	require.Contains(t, answers["get"].Text, "if the page is yours, use TLS, or give it a Referrer-Policy")

	// Another site can have the same sent, and chooses what it accepts.
	p.call(t, f.at(t, "evil.test")+"/", fmt.Sprintf(`const url = %q;
		ask("mute", url, {mode: "no-cors", credentials: "include", referrerPolicy: "no-referrer", headers: {Accept: "text/event-stream"}});
		ask("loud", url, {mode: "no-cors", credentials: "include"});`, own+path), 2)
	head, status := f.passed(t, "mute")
	saysNothing(t, head)
	require.Equal(t, "text/event-stream", head.Get("Accept"))
	require.Equal(t, 403, status)
	head, status = f.passed(t, "loud")
	require.Equal(t, f.at(t, "evil.test")+"/", head.Get("Referer"))
	require.Equal(t, 403, status)
	p.takeProblems() // the console's lines on refused requests
}

// A page of a name that was made to lead here is of our own origin. It chooses what
// it says, but not that it takes compressed answers, and speaks a language.
func TestLongBrowserUnderANameThatWasMadeToLeadHereGetsNothingForFree(t *testing.T) {
	browserTest(t)
	s := startText(t, fmt.Sprintf(strictConfig, "", `, "insecure": true`,
		withSecret+`, "insecure": true, "allowed_origins": ["http://stream.example.com:*"]`, ""), nil)
	f := newNamedFront(t, s, nil)
	p := openLive(t, strings.TrimPrefix(f.at(t, "evil.example.com"), "http://"), names)
	script := fmt.Sprintf(`const url = %q, agent = {"User-Agent": "x", "Accept-Language": "", "Accept-Encoding": ""};
		listen("source", url);
		ask("get", url);
		ask("odd", url, {referrerPolicy: "no-referrer", headers: agent});
		ask("post", url, {method: "POST", body: "{}", headers: agent});
		ask("mute", url, {method: "POST", body: "{}", headers: agent, mode: "same-origin", referrerPolicy: "no-referrer"});
		ask("call", "/api/info", {method: "POST", body: "{}", headers: {...agent, "Content-Type": "application/json"}});`, testkit.DefaultPath)
	statuses := func(want map[string]int) {
		t.Helper()
		for as, status := range want {
			head, got := f.passed(t, as)
			require.Equal(t, status, got, "%s %v", as, head)
			require.NotEmpty(t, head.Get("Accept-Encoding"), as)
			require.Contains(t, head, "Accept-Language", as)
			require.Empty(t, head.Values("Sec-Fetch-Site"), as)
		}
	}
	p.call(t, f.at(t, "evil.example.com")+"/", script, 6)
	statuses(map[string]int{"source": 403, "get": 403, "odd": 403, "post": 403, "mute": 403, "call": 403})
	head, _ := f.passed(t, "odd")
	saysNothing(t, head)
	for _, as := range []string{"post", "mute", "call"} {
		head, _ := f.passed(t, as)
		require.NotEmpty(t, head.Get("Origin"), as)
	}

	// A name that is listed is ours, but the list says nothing of who may publish.
	p.call(t, f.at(t, "stream.example.com")+"/", script, 6)
	statuses(map[string]int{"source": 200, "get": 200, "post": 200, "call": 403})
	p.takeProblems()
}
