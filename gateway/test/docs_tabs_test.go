package test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// tabs are pages of one profile that share a stream as the docs say.
type tabs struct {
	*server
	line   *relay
	home   *site
	window context.Context
	open   []*livePage
}

// startTabs starts a gateway and serves the page; before is a script that runs first in each tab.
func startTabs(t *testing.T, before string) *tabs {
	t.Helper()
	browserTest(t)
	home := newSite(t)
	s := launch(t, allowing(home.origin()).config())
	t.Cleanup(func() { s.stop(t) })
	line := newRelay(t, s.addr, 1)
	connect := fmt.Sprintf(`{"token":%q,"subs":{"rr:0":{}}}`, tokenOf(t, "42", nil))
	target := "http://" + line.addr() + testkit.DefaultPath + "?cf_connect=" + url.QueryEscape(connect)
	home.serveAll(map[string]http.HandlerFunc{
		"/": htmlPage(fmt.Sprintf(`<!doctype html><title>tab</title><link rel="icon" href="data:,"><p id="state-detail"></p><form id="publish-form"></form>
			<script>%s
			%s
			%s
			%s
			const sluice = {state: "", connects: 0, received: [], gaps: 0, over: 0};
			const receive = receiver({
				onData: (channel, data) => sluice.received.push(data.n),
				onGap: () => { sluice.gaps++; },
				onEnd: (code) => { sluice.over = code; },
			});
			share(%q, (push) => {
				if (push.connect) { sluice.state = "live"; sluice.connects++; sluice.client = push.connect.client; }
				return receive(push);
			});</script>`, before, clientBlock(t, "receiver"), clientBlock(t, "listen"), clientBlock(t, "tab"), target)),
		"/stream-worker.js": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/javascript")
			fmt.Fprint(w, clientBlock(t, "listen")+"\n"+clientBlock(t, "worker"))
		},
	})
	window, done := chromedp.NewContext(shared.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(done)
	require.NoError(t, chromedp.Do(window))
	return &tabs{server: s, line: line, home: home, window: window}
}

// more opens tabs, and waits until each is told that it is connected.
func (s *tabs) more(t *testing.T, count int) {
	t.Helper()
	for range count {
		ctx, cancel := chromedp.NewContext(s.window) // of the same profile
		t.Cleanup(cancel)
		p := &livePage{ctx: ctx}
		require.NoError(t, chromedp.Do(ctx)) // it lives as long as the context that it begins with
		p.do(t, chromedp.Navigate("http://"+s.home.addr()+"/"))
		p.wait(t, `sluice.state === "live"`)
		s.open = append(s.open, p)
	}
}

// close closes a tab.
func (s *tabs) close(t *testing.T, i int) {
	t.Helper()
	require.NoError(t, closeContext(s.open[i].ctx))
	s.open = append(s.open[:i:i], s.open[i+1:]...)
}

// expect waits until each tab has all numbers up to last that it could have, once and in order,
// over one stream.
func (s *tabs) expect(t *testing.T, last int) {
	t.Helper()
	for i, p := range s.open {
		p.wait(t, `sluice.received.at(-1) === `+strconv.Itoa(last))
		got := evaluate[[]int](t, p, `sluice.received`)
		all := countTo(last)
		require.Equal(t, all[len(all)-len(got):], got, "tab %d", i)
		require.Zero(t, evaluate[int](t, p, `sluice.gaps`), "tab %d", i)
	}
	testkit.Eventually(t, func() bool { return s.sessions.Counts().Clients == 1 }, "one stream")
}

// ends has the server end the stream for good.
func (s *tabs) ends(t *testing.T) {
	t.Helper()
	s.sendAway(t, s.open[0], s.line)
	for _, p := range s.open {
		p.wait(t, `sluice.over === 3503`)
	}
}

// sendAway ends the streams of the user 42 by 3503, until a plain EventSource of the page, which
// does not look, came back from it three times: nobody else may have, by these relays.
func (s *server) sendAway(t *testing.T, p *livePage, lines ...*relay) {
	t.Helper()
	asked := make([]string, len(lines))
	for i, line := range lines {
		asked[i] = line.requests()
	}
	witness := newRelay(t, s.addr, 1)
	target := "http://" + witness.addr() + testkit.DefaultPath + "?cf_connect=" + url.QueryEscape(fmt.Sprintf(`{"token":%q}`, tokenOf(t, "42", nil)))
	evaluate[bool](t, p, fmt.Sprintf(`{ globalThis.witness = new EventSource(%q); true; }`, target))
	testkit.EventuallyWithin(t, pageTimeout, func() bool {
		s.api.MustResult(t, "disconnect", `{"user":"42"}`)
		return strings.Count(witness.requests(), "GET /") > 3
	}, "one to come back")
	evaluate[bool](t, p, `{ witness.close(); true; }`)
	testkit.Eventually(t, func() bool { return s.sessions.Counts().Clients == 0 }, "no stream")
	for i, line := range lines {
		require.Equal(t, asked[i], line.requests(), "nobody came back")
	}
}
