//go:build e2e

package test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// The page's recipes know their user by a cookie, for EventSource and for fetch with what the page
// says of it, and by a ticket, with a receiver behind the recipe for that.
func TestLongBrowserClientRecipesOfTheDocsKnowUsersByCookieAndTicket(t *testing.T) {
	browserTest(t)
	home := newSite(t)
	p := allowing(home.origin())
	p.client += `, "token_cookie": "session"`
	p.client = strings.Replace(p.client, `"recovery_max`, `"subscribe_to_user_personal_channel": {"enabled": true, "personal_channel_namespace": "rr"}, "recovery_max`, 1)
	s := launch(t, p.config())
	t.Cleanup(func() { s.stop(t) })
	line := newRelay(t, s.addr, 1)
	target := "http://" + line.addr() + testkit.DefaultPath
	token := tokenOf(t, "42", nil)

	const header = "Authorization: `Bearer ${await token()}`"
	fetching := clientBlock(t, "fetch")
	require.Contains(t, fetching, header)
	fetching = strings.Replace(fetching, ", "+header, "", 1)
	fetching = strings.Replace(fetching, "fetch(url, {", "fetch(url, { credentials: 'include',", 1)
	home.serveAll(map[string]http.HandlerFunc{
		"/token": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, token) },
		"/": htmlPage(`<!doctype html><title>test</title><link rel="icon" href="data:,"><p id="state-detail"></p><form id="publish-form"></form><script>
			const sluice = {state: "live", connects: 1, received: [], seen: {}, gaps: 0};
			const receiving = (way) => receiver({
				onData: (channel, data) => { if (channel === "rr:#42") (sluice.seen[way] ??= []).push(data.n); },
				onGap: () => { sluice.gaps++; },
			});
			document.cookie = "session=` + token + `; path=/";
			` + clientBlock(t, "receiver") + clientBlock(t, "listen") + fetching + clientBlock(t, "page") + fmt.Sprintf(`
			listen(() => %[1]q, receiving("listen"));
			follow(%[1]q, [], null, receiving("fetch"));
			subscribe(%[1]q, [], async () => (await fetch("/token")).text(), receiving("ticket"));</script>`, target)),
	})
	page := openLive(t, home.addr())
	testkit.EventuallyWithin(t, time.Minute, func() bool { return s.sessions.Counts().Clients == 3 }, "all to connect")
	each := 0
	for range 3 {
		s.publishNumbers(t, "rr:#42", each+1, each+5)
		each += 5
		for _, way := range []string{"listen", "fetch", "ticket"} {
			page.wait(t, fmt.Sprintf(`sluice.seen[%q]?.length >= %d`, way, each))
			require.Equal(t, countTo(each), evaluate[[]int](t, page, fmt.Sprintf(`sluice.seen[%q]`, way)), way)
		}
		line.cutBehind(30, true) // one of them
	}
	require.Zero(t, evaluate[int](t, page, `sluice.gaps`))
	asked := line.requests()
	require.Contains(t, asked, "Cookie: session="+token)
	require.Contains(t, asked, "ticket=")
	s.api.MustResult(t, "disconnect", `{"user":"42"}`)
	testkit.Eventually(t, func() bool { return s.sessions.Counts().Clients == 0 }, "no stream")
}
