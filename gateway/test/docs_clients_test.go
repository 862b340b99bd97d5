package test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// clientBlock is the one block of a mark.
func clientBlock(t *testing.T, mark string) string {
	t.Helper()
	blocks := docBlocks(t, mark)
	require.Len(t, blocks, 1, mark)
	return blocks[0][3]
}

// clientRecipes are the programs of the page clients that follow channels: those that are whole,
// and that of fetch with what the page says of its use. url is for the latter, which asks
// tokens for a token; the others are given their URL when they are started.
func clientRecipes(t *testing.T, url, tokens string, channels []string) []*recipe {
	t.Helper()
	recipes := []*recipe{newRecipe(t, "javascript", fetchRecipe(t, url, tokens, channels))}
	for _, block := range docBlocks(t, "follow") {
		if block[2] == "sh" {
			testkit.NeedProgram(t, []string{"curl"}, "apt-get install curl")
		}
		recipes = append(recipes, newRecipe(t, block[2], block[3]))
	}
	require.Len(t, recipes, 4, "JavaScript, Go, Python, shell")
	return recipes
}

// fetchRecipe is the page's recipe of fetch as a program for Node: as the others it prints
// "channel data", and says no when it ends.
func fetchRecipe(t *testing.T, url, tokens string, channels []string) string {
	t.Helper()
	use := clientBlock(t, "following")
	for from, to := range map[string]string{
		"'/token'": fmt.Sprintf("%q", tokens),
		"'https://stream.example" + testkit.DefaultPath + "'": fmt.Sprintf("%q", url),
		"['news']": `["` + strings.Join(channels, `","`) + `"]`,
	} {
		require.Contains(t, use, from)
		use = strings.Replace(use, from, to, 1)
	}
	return `console.log = (channel, data) => process.stdout.write(channel + " " + JSON.stringify(data) + "\n");` + "\n" +
		clientBlock(t, "receiver") + "\n" + clientBlock(t, "fetch") + "\n" + use + "\nthrow new Error('the server says no');\n"
}

// startClient starts a recipe behind a relay of its own.
func startClient(t *testing.T, s *server, language string, channels []string) (f *following, line *relay) {
	t.Helper()
	token := tokenOf(t, "42", nil)
	var asked atomic.Int64
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = io.WriteString(w, token)
	}))
	t.Cleanup(tokens.Close)
	line = newRelay(t, s.addr, 1)
	url := "http://" + line.addr() + testkit.DefaultPath
	recipes := clientRecipes(t, url, tokens.URL, channels)
	r := recipes[slices.IndexFunc(recipes, func(r *recipe) bool { return r.language == language })]
	return follows(t, language, r.command(append([]string{url}, channels...)...), "TOKEN="+token), line
}

// Programs of the page are cut in the midst of an event, by RST and FIN, refused by a front and
// sent away to come back: they print everything once. A terminal code ends them.
func TestClientRecipesOfTheDocsLoseNothing(t *testing.T) {
	for _, language := range []string{"javascript", "go", "python", "sh"} {
		t.Run(language, func(t *testing.T) {
			s := startServer(t, allowing("https://good.example"))
			channels := recoverableChannels(2)
			f, line := startClient(t, s, language, channels)
			testkit.EventuallyWithin(t, time.Minute, func() bool { return s.sessions.Counts().Clients == 1 }, "the program to connect")
			each := 0
			publish := func() {
				t.Helper()
				each = publishRounds(t, s, channels, each, "", func(n int) bool { return n == each+5 })
				f.wait(t, each*len(channels))
			}
			publish()
			line.cutBehind(30, true)
			publish()
			line.cutBehind(0, false)
			publish()
			line.cutBehind(0, true)
			line.refuseNext()
			publish()
			s.api.MustResult(t, "disconnect", `{"user":"42","disconnect":{"code":3005,"reason":"expired"}}`)
			publish()
			f.expect(t, channels, each)
			_, _, cuts := line.cutCounts()
			require.Equal(t, 3, cuts)
			asked := line.requests()
			require.Equal(t, 5, strings.Count(strings.ToLower(asked), "\r\nauthorization: bearer "))
			require.Equal(t, 4, strings.Count(strings.ToLower(asked), "\r\nlast-event-id: b"))

			s.api.MustResult(t, "disconnect", `{"user":"42","disconnect":{"code":4501,"reason":"enough"}}`)
			require.Error(t, f.waitEnd(t), "the program says that it failed")
			if language == "sh" {
				require.Equal(t, []int{3005, 4501}, f.codes)
			} else {
				require.Contains(t, f.errs.String(), "the server says no")
			}
			testkit.Eventually(t, func() bool { return s.sessions.Counts().Clients == 0 }, "no stream")
			require.Equal(t, asked, line.requests(), "nobody came back")
		})
	}
}

// oddStream is what an event stream may look like: a byte order mark, all three line ends, fields
// without a space, of many lines, unknown and empty ones, comments, ids that are none, characters
// of several bytes; and the begin of an event that has no end.
const oddStream = "\ufeffretry: 20\r\n: a comment\r" +
	"data:{\"connect\":{\"client\":\"c\",\r\ndata: \"subs\":{\"news\":{\"recoverable\":true,\"epoch\":\"e\"}}}}\r\n\r\n" +
	"event: message\rid: one\rdata: {\"channel\":\"news\",\"pub\":{\"data\":{\"n\":1,\"text\":\"ünï \u2028 \u0085 😀\"},\"offset\":1}}\r\r" +
	"data: {\"channel\":\"news\",\"pub\":{\"data\":{\"n\":2},\"offset\":2}}\nid: two\x00\nunknown: x\nid\n:\nid:two\n\n" +
	"data\n\n" + // an event that says nothing
	"id: three\n\n" +
	"data: {\"channel\":\"news\",\"pub\":{\"data\":{\"n\":3},\"offset\":3}}\nid: lost\n"

// Readers of the page read whatever is an event stream, in pieces of any size, and come back by
// the id of the last whole event.
func TestClientRecipesOfTheDocsReadAnyEventStream(t *testing.T) {
	type asked struct{ id, body string }
	requests := make(chan asked, 10)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			_, _ = io.WriteString(w, "a token")
			return
		}
		body, _ := io.ReadAll(r.Body)
		requests <- asked{r.Header.Get("Last-Event-ID"), string(body)}
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		text := oddStream
		if len(requests) > 1 {
			text = "data: {\"disconnect\":{\"code\":3500,\"reason\":\"invalid token\"}}\n\n"
		}
		for i := range len(text) {
			_, _ = io.WriteString(w, text[i:i+1])
			w.(http.Flusher).Flush()
		}
	}))
	defer backend.Close()
	for _, r := range clientRecipes(t, backend.URL+testkit.DefaultPath, backend.URL+"/token", []string{"news"}) {
		if r.language == "sh" {
			continue // it reads what Sluice writes, as the page says
		}
		t.Run(r.language, func(t *testing.T) {
			f := follows(t, r.language, r.command(backend.URL+testkit.DefaultPath, "news"), "TOKEN=a token")
			require.Error(t, f.waitEnd(t))
			require.Contains(t, f.errs.String(), "the server says no")
			require.Empty(t, f.bad)
			require.Equal(t, map[string][]int{"news": {1, 2}}, f.seen)
			require.Len(t, requests, 2)
			first, second := <-requests, <-requests
			require.Empty(t, first.id)
			require.JSONEq(t, `{"subs":{"news":{}}}`, first.body)
			require.Equal(t, "three", second.id)
			require.JSONEq(t, `{"subs":{"news":{"recover":true,"offset":2,"epoch":"e"}}}`, second.body)
		})
	}
}

// pageRecipes are the recipes of EventSource and of fetch in one page, with what the page clients
// says of their use: of channel rr:0 at one place, and of rr:1 at another.
func pageRecipes(t *testing.T, source, fetch, token string) string {
	t.Helper()
	uses := clientBlock(t, "listening") + "\n}{\n" + clientBlock(t, "following")
	for _, r := range [][2]string{
		{"https://stream.example", source},
		{"{ subs: { news: {} } }", fmt.Sprintf(`{ token: %q, subs: { "rr:0": {} } }`, token)},
		{"await follow(", "follow("}, // a script that is no module
		{"https://stream.example", fetch},
		{"['news']", "['rr:1']"},
	} {
		require.Contains(t, uses, r[0])
		uses = strings.Replace(uses, r[0], r[1], 1)
	}
	return `const sluice = {state: "live", connects: 1, received: [], total: 0, seen: {}, gaps: 0};
		console.log = (channel, data) => { (sluice.seen[channel] ??= []).push(data.n); sluice.total++; };
		` + clientBlock(t, "receiver") + clientBlock(t, "listen") + clientBlock(t, "fetch") + "{" + uses + "}"
}

// In a browser a page follows one channel by EventSource and another by fetch, across origins.
func TestBrowserClientRecipesOfTheDocsLoseNothing(t *testing.T) {
	s, home := startCrossOrigin(t)
	bySource, byFetch := newRelay(t, s.addr, 1), newRelay(t, s.addr, 1)
	token := tokenOf(t, "42", nil)
	home.serveAll(map[string]http.HandlerFunc{
		"/token": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, token) },
		"/": htmlPage(`<!doctype html><title>test</title><link rel="icon" href="data:,"><p id="state-detail"></p><form id="publish-form"></form><script>` +
			pageRecipes(t, "http://"+bySource.addr(), "http://"+byFetch.addr(), token) + `</script>`),
	})
	p := openLive(t, home.addr())
	testkit.EventuallyWithin(t, pageTimeout, func() bool { return s.sessions.Counts().Clients == 2 }, "both to connect")
	channels, each := recoverableChannels(2), 0
	publish := func() {
		t.Helper()
		each = publishRounds(t, s, channels, each, "", func(n int) bool { return n == each+5 })
		expectAll(t, p, channels, each)
	}
	cut := func(behind int, reset bool) {
		bySource.cutBehind(behind, reset)
		byFetch.cutBehind(behind, reset)
	}
	publish()
	cut(30, true)
	publish()
	require.Regexp(t, `(?i)\r\nlast-event-id: B`, bySource.requests(), "the browser's own")
	require.Regexp(t, `(?i)\r\naccess-control-request-headers: authorization,content-type,last-event-id\r\n`, byFetch.requests())
	cut(0, false)
	publish()
	bySource.refuseNext() // which ends an EventSource
	byFetch.refuseNext()
	require.NotContains(t, bySource.requests(), "last_event_id")
	cut(0, true)
	publish()
	const renewed = "last_event_id=B" // by an EventSource that the page made
	require.Equal(t, 1, strings.Count(bySource.requests(), renewed))
	s.api.MustResult(t, "disconnect", `{"user":"42","disconnect":{"code":3005,"reason":"expired"}}`)
	publish()
	require.Equal(t, 2, strings.Count(bySource.requests(), renewed))

	askedSource, askedFetch := bySource.requests(), byFetch.requests()
	s.api.MustResult(t, "disconnect", `{"user":"42"}`) // 3503
	testkit.Eventually(t, func() bool { return s.sessions.Counts().Clients == 0 }, "no stream")
	s.publishNumbers(t, "rr:0", each+1, each+1)
	require.Equal(t, askedSource, bySource.requests(), "nobody came back")
	require.Equal(t, askedFetch, byFetch.requests(), "nobody came back")
	require.Equal(t, each*len(channels), evaluate[int](t, p, `sluice.total`))
	for _, text := range p.takeProblems() {
		require.Contains(t, text, "blocked by CORS policy", "a 502 says nothing of origins")
	}
}
