package test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/testkit"
)

// The table of profiles is what they set.
func TestProfilesOfTheDocsAreThoseOfTheCode(t *testing.T) {
	text, err := os.ReadFile("../docs/edge.md")
	require.NoError(t, err)
	code := regexp.MustCompile("`([^`]+)`")
	var got [][]string
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i, cell := range cells {
			cells[i] = code.ReplaceAllString(strings.TrimSpace(cell), "$1")
		}
		if len(got) > 0 && !strings.HasPrefix(line, "|") {
			break
		}
		if len(got) > 0 || cells[0] == "edge.profile" {
			got = append(got, cells)
		}
	}
	require.Greater(t, len(got), 2)
	head := []string{"edge.profile"}
	var want [][]string
	for _, p := range config.Profiles() {
		row := []string{p.Name}
		for _, o := range p.Options {
			if len(want) == 0 {
				head = append(head, o.Key)
			}
			row = append(row, o.Value)
		}
		want = append(want, row)
	}
	require.Equal(t, head, got[0])
	require.Equal(t, want, got[2:])
}

// The page of the docs follows a channel with the script that a node serves.
func TestBrowserPageOfTheDocsFollowsAChannel(t *testing.T) {
	browserTest(t)
	blocks := docBlocks(t, "broadcast")
	require.Len(t, blocks, 1)
	b := &broadcastServer{port: "0"}
	s := b.start(t)
	defer s.stop(t)
	text := strings.NewReplacer("https://events.example", "http://"+s.addr, "live:goals", "goals").Replace(blocks[0][3])
	home := newSite(t)
	home.serveAll(map[string]http.HandlerFunc{"/": htmlPage(`<p id="state-detail"></p><form id="publish-form"></form><link rel="icon" href="data:,">
		<script>const sluice = {state: "live", connects: 1, received: []}; console.log = (...a) => sluice.received.push(a);</script>` + text)})
	p := openLive(t, home.addr())
	s.publishNumbers(t, "goals", 1, 3)
	p.wait(t, `sluice.received.length === 3`)
	require.Equal(t, `[["goals",1,{"n":1}],["goals",2,{"n":2}],["goals",3,{"n":3}]]`, evaluate[string](t, p, `JSON.stringify(sluice.received)`))
	evaluate[bool](t, p, `{ stream.close(); true; }`)
}

// Eight tabs share one stream, which is two more than a browser has connections to a host:
// each gets every event, also when the tab that began it is closed.
func TestBrowserTabsOfTheDocsShareAStream(t *testing.T) {
	browserTest(t)
	worker, tab := docBlocks(t, "worker"), docBlocks(t, "tab")
	require.Len(t, worker, 1)
	require.Len(t, tab, 1)
	home := newSite(t)
	s := launch(t, allowing(home.origin()).config())
	defer s.stop(t)
	target := "http://" + s.addr + testkit.DefaultPath + "?cf_connect=" + url.QueryEscape(`{"subs":{"rr:0":{}}}`)
	home.serveAll(map[string]http.HandlerFunc{
		"/": htmlPage(fmt.Sprintf(`<!doctype html><title>tab</title><link rel="icon" href="data:,"><p id="state-detail"></p><form id="publish-form"></form>
			<script>%s
			const sluice = {state: "", connects: 0, received: []};
			share(%q, (push) => {
				if (push.connect) { sluice.state = "live"; sluice.connects++; sluice.client = push.connect.client; }
				if (push.pub) sluice.received.push(push.pub.data.n);
			});</script>`, tab[0][3], target)),
		"/stream-worker.js": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/javascript")
			fmt.Fprint(w, worker[0][3])
		},
	})
	const count = 8
	window, done := chromedp.NewContext(shared.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(done)
	require.NoError(t, chromedp.Do(window))
	var tabs []*livePage
	for len(tabs) < count {
		ctx, cancel := chromedp.NewContext(window) // of the same profile
		t.Cleanup(cancel)
		p := &livePage{ctx: ctx}
		require.NoError(t, chromedp.Do(ctx)) // it lives as long as the context that it begins with
		p.do(t, chromedp.Navigate("http://"+home.addr()+"/"))
		p.wait(t, `sluice.state === "live"`)
		tabs = append(tabs, p)
	}
	client := evaluate[string](t, tabs[0], `sluice.client`)
	all := func(tabs []*livePage, from, last int) {
		t.Helper()
		s.publishNumbers(t, "rr:0", from, last)
		for i, p := range tabs {
			p.wait(t, `sluice.received.at(-1) === `+strconv.Itoa(last))
			require.Equal(t, countTo(last), evaluate[[]int](t, p, `sluice.received`), "tab %d", i)
			require.Equal(t, client, evaluate[string](t, p, `sluice.client`), "tab %d", i)
		}
		require.Equal(t, 1, s.sessions.Counts().Clients)
	}
	all(tabs, 1, 10)
	require.NoError(t, closeContext(tabs[0].ctx))
	all(tabs[1:], 11, 20)
}
