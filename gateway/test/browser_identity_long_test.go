//go:build e2e

package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// watched is a page with some EventSources and nothing else; it never closes
// one. sluice has the members that livePage reads.
const watched = `
const sluice = {state: "live", connects: 1, received: [], codes: {}, connected: {}};
const sources = {};
for (const [name, url] of Object.entries(%s)) {
	const source = sources[name] = new EventSource(url);
	sluice.codes[name] = [];
	source.onmessage = (event) => {
		const push = JSON.parse(event.data);
		if (push.connect) sluice.connected[name] = true;
		if (push.disconnect) sluice.codes[name].push(push.disconnect.code);
	};
}
`

// Browsers come back after every refusal, unless they are told to stop.
func TestLongBrowserWithARevokedTokenStops(t *testing.T) {
	browserTest(t)
	b := newBackend(t)
	b.say(`{"result":{"user":"ada"}}`)
	home := newSite(t)
	client := fmt.Sprintf(`, "allowed_origins": [%q]`, home.origin())
	const retry = `, "retry": "20ms-50ms"`
	s := launch(t, fmt.Sprintf(baseConfig, retry+`, "terminal_status": true`, "", client+b.connectHook(""), ""))
	defer s.stop(t)
	other := launch(t, fmt.Sprintf(baseConfig, retry, "", client, ""))
	defer other.stop(t)
	stopping, lasting := newRelay(t, s.addr, 1), newRelay(t, other.addr, 1)
	defer lasting.close() // before the page, which would go on for ever
	const bad, good = testkit.DefaultPath + `?cf_connect={"token":"revoked"}`, testkit.DefaultPath + "?who=ada"
	home.serve(fmt.Sprintf(watched, fmt.Sprintf(`{bad: %q, ada: %q, on: %q}`,
		"http://"+stopping.addr()+bad, "http://"+stopping.addr()+good, "http://"+lasting.addr()+bad)))
	p := openLive(t, home.addr())

	p.wait(t, `sources.bad.readyState === EventSource.CLOSED`)
	requests := func(r *relay, part string) int { return strings.Count(r.requests(), part) }
	require.Equal(t, 2, requests(stopping, "cf_connect"))
	require.Equal(t, 1, requests(stopping, "Last-Event-ID: !3500\r\n"))
	require.Equal(t, []int{3500}, evaluate[[]int](t, p, `sluice.codes.bad`))

	p.wait(t, `sluice.connected.ada === true`)
	s.api.MustResult(t, "disconnect", `{"user":"ada"}`)
	p.wait(t, `sources.ada.readyState === EventSource.CLOSED`)
	require.Equal(t, 2, requests(stopping, "who=ada"), "the stream, and one return, though the backend would let her in")
	require.Equal(t, 1, requests(stopping, "Last-Event-ID: !3503\r\n"))
	require.Equal(t, []int{3503}, evaluate[[]int](t, p, `sluice.codes.ada`))

	testkit.Eventually(t, func() bool { return requests(lasting, "cf_connect") > 5 }, "the browser not to stop by itself")
	require.Equal(t, 2, requests(stopping, "cf_connect"), "still")
}
