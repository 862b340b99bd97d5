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
