package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
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
