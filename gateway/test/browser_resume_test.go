package test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// This file is about browsers that have no client library: what a page gets
// with EventSource or fetch and nothing else.

// collect is what every page of this file does with an event. sluice has the
// members that livePage reads; total counts publications, wherever they came.
const collect = `
const sluice = {state: "connecting", connects: 0, total: 0, received: [], seen: {}, subs: {}, gaps: 0};
const take = (channel, pub) => {
	(sluice.seen[channel] ??= []).push(pub.data.n);
	sluice.total++;
};
const onEvent = (text) => {
	const push = JSON.parse(text);
	if (push.pub) take(push.channel, push.pub);
	if (!push.connect) return;
	sluice.subs = push.connect.subs ?? {};
	for (const [channel, sub] of Object.entries(sluice.subs)) {
		for (const pub of sub.publications ?? []) take(channel, pub);
		if (sub.was_recovering && !sub.recovered) sluice.gaps++;
	}
	sluice.connects++;
	sluice.state = "live";
};
`

// eventSource is the whole client; the browser does the rest. %q is the URL.
const eventSource = collect + `
const source = new EventSource(%q);
source.onmessage = (event) => onEvent(event.data);
`

// site is the origin of a page: an HTTP server of its own, so that the gateway
// is cross-origin for it.
type site struct{ *httptest.Server }

// newSite reserves an origin; serve makes it answer.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{httptest.NewUnstartedServer(nil)}
	t.Cleanup(s.Close)
	return s
}

func (s *site) addr() string   { return s.Listener.Addr().String() }
func (s *site) origin() string { return "http://" + s.addr() }

// serve serves one page that runs a script. The two elements are where
// livePage.describe looks.
func (s *site) serve(script string) {
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store") // a page that is left ends, with its streams
		fmt.Fprintf(w, `<!doctype html><title>test</title><link rel="icon" href="data:,">
			<p id="state-detail"></p><form id="publish-form"></form><script>%s</script>`, script)
	})
	s.Start()
}

// allowing is the parts of a gateway that takes pages of one origin, and keeps
// what they may miss.
func allowing(origin string) parts {
	return parts{
		sse:     `, "retry": "50ms-100ms", "recovery_max_bytes": 67108864`,
		client:  fmt.Sprintf(`, "allowed_origins": [%q], "recovery_max_publication_limit": 0`, origin),
		channel: `, "namespaces": [{"name": "rr", ` + recoverable + `}]`,
	}
}

// startCrossOrigin starts a gateway and the origin whose pages it takes. The
// site ends before the leak check looks.
func startCrossOrigin(t *testing.T) (*server, *site) {
	t.Helper()
	browserTest(t)
	home := newSite(t)
	s := launch(t, allowing(home.origin()).config())
	t.Cleanup(func() { s.stop(t) })
	return s, home
}

func (p parts) config() string {
	return fmt.Sprintf(baseConfig, p.sse, p.api, p.client, p.channel)
}

func recoverableChannels(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("rr:%d", i)
	}
	return out
}

// publishRounds publishes {"n": last+1}, {"n": last+2}, … into every channel
// until done says so, and returns the last number. pad is appended to the object.
func publishRounds(t *testing.T, s *server, channels []string, last int, pad string, done func(last int) bool) int {
	t.Helper()
	n := last
	for !done(n) {
		n++
		for _, ch := range channels {
			s.api.Publish(t, ch, fmt.Sprintf(`{"n": %d%s}`, n, pad))
		}
	}
	return n
}

// expectAll waits until the page has every message and checks that each came
// once and in order, and that no gap was told: all of it was in the history.
func expectAll(t *testing.T, p *livePage, channels []string, each int) {
	t.Helper()
	p.wait(t, fmt.Sprintf(`sluice.total >= %d`, len(channels)*each))
	var seen map[string][]int
	require.NoError(t, json.Unmarshal([]byte(evaluate[string](t, p, `JSON.stringify(sluice.seen)`)), &seen))
	expectAllOnceInOrder(t, 0, seen, channels, each)
	require.Zero(t, evaluate[int](t, p, `sluice.gaps`), "everything was in the history")
}

func TestBrowserEventSourceLosesNothingWhenCut(t *testing.T) {
	s, home := startCrossOrigin(t)
	r := newRelay(t, s.addr, 1)
	channels := recoverableChannels(20)
	home.serve(fmt.Sprintf(eventSource, "http://"+r.addr()+subscribeTarget(channels)))
	p := openLive(t, home.addr()) // has its first cursor now

	// The page may be up to rounds behind; further, and it would get most of the
	// messages in connect pushes.
	const enough, rounds = 30, 5
	r.setCutting(true)
	limit, release := context.WithTimeout(context.Background(), pageTimeout)
	defer release()
	each := publishRounds(t, s, channels, 0, "", func(n int) bool {
		if n%rounds == 0 {
			p.wait(t, fmt.Sprintf(`sluice.total >= %d`, (n-rounds)*len(channels)))
		}
		cuts, _, all := r.cutCounts()
		return all >= enough && slices.Min(cuts[:]) >= 3 || limit.Err() != nil
	})
	r.setCutting(false)
	expectAll(t, p, channels, each)
	cuts, resets, all := r.cutCounts()
	t.Logf("%d messages, %d cuts (in the head, the connect push, later: %d), %d of them resets, %d connect pushes",
		each*len(channels), all, cuts, resets, evaluate[int](t, p, `sluice.connects`))
	require.GreaterOrEqual(t, all, enough, "too few cuts: the test proves nothing")
	require.GreaterOrEqual(t, slices.Min(cuts[:]), 3, "too few cuts at some stage")
	require.Positive(t, resets)
	require.Less(t, resets, all, "some cuts end in order")
	require.Contains(t, strings.ToLower(r.requests()), "\r\nlast-event-id: ")
}

// fetching reads the answer to a POST as it comes; %q are the URL, the token and
// the body.
const fetching = collect + `
const stream = async (url, token, body) => {
	const answer = await fetch(url, {
		method: "POST", headers: {"Authorization": "Bearer " + token, "Content-Type": "application/json"}, body,
	});
	sluice.status = answer.status;
	const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
	for (let text = ""; ;) {
		const {done, value} = await reader.read();
		if (done) return;
		const events = (text + value).split("\n\n");
		text = events.pop();
		for (const line of events.join("\n").split("\n")) {
			if (line.startsWith("data: ")) onEvent(line.slice(6));
		}
	}
};
stream(%q, %q, %q).catch((error) => { sluice.refused = String(error); });
`

// takeProblems returns what the page must not do, for a test in which it does.
func (p *livePage) takeProblems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.problems
	p.problems = nil
	return out
}

func TestBrowserFetchStreamsAcrossOriginsThatAreAllowed(t *testing.T) {
	s, home := startCrossOrigin(t)
	stranger := newSite(t)
	r := newRelay(t, s.addr, 1) // for what the browser asks
	url := "http://" + r.addr() + testkit.DefaultPath
	token := testkit.HS256(t, testSecret, map[string]any{"sub": "7", "channels": []string{"news"}})
	script := fmt.Sprintf(fetching, url, token, `{"subs": {"rr:0": {}}}`)
	home.serve(script)
	stranger.serve(script)

	p := openLive(t, home.addr())
	const each = 200
	channels := []string{"rr:0", "news"}
	publishRounds(t, s, channels, 0, "", func(n int) bool { return n == each })
	expectAll(t, p, channels, each)
	require.Equal(t, http.StatusOK, evaluate[int](t, p, `sluice.status`))
	asked := strings.ToLower(r.requests())
	require.Regexp(t, `(?s)^options .*\r\naccess-control-request-headers: authorization,content-type\r\n`, asked)
	require.Regexp(t, `(?s)\r\n\r\npost .*\r\nauthorization: bearer `+regexp.QuoteMeta(strings.ToLower(token))+`\r\n`, asked)
	require.Equal(t, 1, strings.Count(asked, "post /"))

	p.do(t, chromedp.Navigate(stranger.origin()+"/"))
	p.wait(t, `sluice.refused === "TypeError: Failed to fetch"`)
	testkit.Eventually(t, func() bool { return s.sessions.Counts().Clients == 0 }, "no client once the page is gone")
	asked = strings.ToLower(r.requests())
	require.Equal(t, 2, strings.Count(asked, "options /"), "the second page asked too")
	require.Equal(t, 1, strings.Count(asked, "post /"), "and went no further")

	evaluate[bool](t, p, fmt.Sprintf(`{ globalThis.source = new EventSource(%q); true; }`,
		"http://"+r.addr()+subscribeTarget(channels)))
	p.wait(t, `source.readyState === EventSource.CLOSED`)
	require.Contains(t, r.requests(), "GET "+testkit.DefaultPath)
	require.Zero(t, s.sessions.Counts().Clients)
	require.Zero(t, evaluate[int](t, p, `sluice.connects`))
	var problems []string // the browser tells of them when it gets to it
	testkit.EventuallyWithin(t, pageTimeout, func() bool {
		problems = append(problems, p.takeProblems()...)
		return len(problems) >= 2
	}, "what the browser refused")
	require.Len(t, problems, 2, "what the browser refused")
	for _, text := range problems {
		require.Contains(t, text, "blocked by CORS policy")
	}
}

func TestBrowserEventSourceIsToldOfTheGapAfterARestart(t *testing.T) {
	browserTest(t)
	home := newSite(t)
	text := allowing(home.origin()).config()
	text = strings.Replace(text, `"port": 0`, fmt.Sprintf(`"port": %d`, testkit.FreePort(t)), 1)
	s := launch(t, text)
	stop := func() {
		if s != nil {
			s.stop(t)
			s = nil
		}
	}
	t.Cleanup(func() { stop() })
	channels := recoverableChannels(20)
	home.serve(fmt.Sprintf(eventSource, "http://"+s.addr+subscribeTarget(channels)))
	p := openLive(t, home.addr())
	const before, after = 5, 7
	publishRounds(t, s, channels, 0, "", func(n int) bool { return n == before })
	expectAll(t, p, channels, before)

	stop()
	p.waitForFailure(t)
	s = launch(t, text)
	p.wait(t, `sluice.connects === 2`)
	require.Equal(t, len(channels), evaluate[int](t, p, `Object.keys(sluice.subs).length`))
	require.Empty(t, evaluate[[]string](t, p, `Object.entries(sluice.subs)
		.filter(([, sub]) => !sub.was_recovering || sub.recovered || sub.publications).map(([channel]) => channel)`),
		"channels whose gap was not told")

	publishRounds(t, s, channels, 0, "", func(n int) bool { return n == after })
	p.wait(t, fmt.Sprintf(`sluice.total >= %d`, len(channels)*(before+after)))
	want := append(countTo(before), countTo(after)...)
	for _, ch := range channels {
		require.Equal(t, want, evaluate[[]int](t, p, fmt.Sprintf(`sluice.seen[%q]`, ch)))
	}
}
