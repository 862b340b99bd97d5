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

// clientLanguages are those of the programs of the page; the shell's knows no repeats and positions.
var clientLanguages = []string{"javascript", "go", "python", "sh"}

// clientPrograms are programs of the page that follow the same channels, each behind a relay.
type clientPrograms struct {
	*server
	channels []string
	all      []*following
	lines    []*relay
	each     int // published into each channel
}

func startPrograms(t *testing.T, s *server, channels []string, languages ...string) *clientPrograms {
	t.Helper()
	c := &clientPrograms{server: s, channels: channels}
	for _, language := range languages {
		f, line := startClient(t, s, language, channels)
		c.all, c.lines = append(c.all, f), append(c.lines, line)
	}
	testkit.EventuallyWithin(t, time.Minute, func() bool { return s.sessions.Counts().Clients == len(c.all) }, "the programs to connect")
	return c
}

// publish publishes n more into each channel, and waits until all programs have them.
func (c *clientPrograms) publish(t *testing.T, n int) {
	t.Helper()
	last := c.each + n
	c.each = publishRounds(t, c.server, c.channels, c.each, "", func(n int) bool { return n == last })
	for _, f := range c.all {
		f.wait(t, c.each*len(c.channels))
	}
}

func (c *clientPrograms) cutBehind(bytes int, reset bool) {
	for _, line := range c.lines {
		line.cutBehind(bytes, reset)
	}
}

// ends has the server send the programs away for good.
func (c *clientPrograms) ends(t *testing.T) {
	t.Helper()
	c.api.MustResult(t, "disconnect", `{"user":"42","disconnect":{"code":4501,"reason":"enough"}}`)
	for _, f := range c.all {
		require.Error(t, f.waitEnd(t), "the program says that it failed")
		if f.name == "sh" {
			require.Equal(t, 4501, f.codes[len(f.codes)-1])
		} else {
			require.Contains(t, f.errs.String(), "the server says no")
		}
	}
	testkit.Eventually(t, func() bool { return c.sessions.Counts().Clients == 0 }, "nobody comes back")
}

// Programs of the page are cut in the midst of an event, by RST and FIN, refused by a front and
// sent away to come back: they print everything once. A terminal code ends them.
func TestClientRecipesOfTheDocsLoseNothing(t *testing.T) {
	s := startServer(t, allowing("https://good.example"))
	c := startPrograms(t, s, recoverableChannels(2), clientLanguages...)
	c.publish(t, 5)
	c.cutBehind(30, true)
	c.publish(t, 5)
	c.cutBehind(0, false)
	c.publish(t, 5)
	for _, line := range c.lines {
		line.refuseNext()
	}
	c.cutBehind(0, true)
	c.publish(t, 5)
	s.api.MustResult(t, "disconnect", `{"user":"42","disconnect":{"code":3005,"reason":"expired"}}`)
	c.publish(t, 5)
	c.ends(t)
	for i, f := range c.all {
		f.expect(t, c.channels, c.each)
		_, _, cuts := c.lines[i].cutCounts()
		require.Equal(t, 3, cuts, f.name)
		asked := strings.ToLower(c.lines[i].requests())
		require.Equal(t, 5, strings.Count(asked, "\r\nauthorization: bearer "), f.name)
		require.Equal(t, 4, strings.Count(asked, "\r\nlast-event-id: b"), f.name)
	}
}

// oddStream is what an event stream may look like: a byte order mark, all three line ends, fields
// without a space, of many lines, unknown and empty ones, comments, ids that are none, characters
// of several bytes; and the begin of an event that has no end.
const oddStream = "\ufeffdata:{\"connect\":{\"client\":\"c\",\r\ndata: \"subs\":{\"news\":{\"recoverable\":true,\"epoch\":\"e\"}}}}\r\n\r\n" +
	"retry: 20\r\n: a comment\r" +
	"event: message\rid: one\rdata: {\"channel\":\"news\",\"pub\":{\"data\":{\"n\":1,\"text\":\"" + oddText + "\"},\"offset\":1}}\r\r" +
	"data: {\"channel\":\"news\",\"pub\":{\"data\":{\"n\":2},\"offset\":2}}\nid: two\x00\nunknown: x\nid\n:\nid:two\n\n" +
	"data\n\n" + // an event that says nothing
	"id: three\n\n" +
	"data: {\"channel\":\"news\",\"pub\":{\"data\":{\"n\":3},\"offset\":3}}\nid: lost\n"

// oddRequest is what a client asks with.
type oddRequest struct{ id, body string }

// oddText is characters of two to four bytes, two of which end lines elsewhere.
const oddText = "ünï \u2028 \u0085 😀"

// oddServer answers the first request with the odd stream, a byte at a time, and others with a
// terminal code.
func oddServer(t *testing.T) (url string, requests chan oddRequest) {
	t.Helper()
	requests = make(chan oddRequest, 10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			_, _ = io.WriteString(w, "a token")
			return
		}
		body, _ := io.ReadAll(r.Body)
		requests <- oddRequest{r.Header.Get("Last-Event-ID"), string(body)}
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		text := oddStream
		if len(requests) > 1 {
			text = "data: {\"disconnect\":{\"code\":3500,\"reason\":\"invalid token\"}}\n\n"
		}
		pace := time.NewTicker(500 * time.Microsecond) // or readers get many bytes at a time
		defer pace.Stop()
		for i := range len(text) {
			_, _ = io.WriteString(w, text[i:i+1])
			w.(http.Flusher).Flush()
			<-pace.C
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, requests
}

// Readers of the page read whatever is an event stream, in pieces of any size, and come back by
// the id of the last whole event.
func TestClientRecipesOfTheDocsReadAnyEventStream(t *testing.T) {
	requests := make(map[*following]chan oddRequest)
	for i, language := range clientLanguages[:3] { // the shell's reads what Sluice writes, as the page says
		url, asked := oddServer(t)
		r := clientRecipes(t, url+testkit.DefaultPath, url+"/token", []string{"news"})[i]
		require.Equal(t, language, r.language)
		requests[follows(t, language, r.command(url+testkit.DefaultPath, "news"), "TOKEN=a token")] = asked
	}
	for f, asked := range requests {
		require.Error(t, f.waitEnd(t))
		require.Contains(t, f.errs.String(), "the server says no")
		require.Empty(t, f.bad, f.name)
		require.Equal(t, map[string][]int{"news": {1, 2}}, f.seen, f.name)
		require.Len(t, asked, 2, f.name)
		first, second := <-asked, <-asked
		require.Empty(t, first.id, f.name)
		require.JSONEq(t, `{"subs":{"news":{}}}`, first.body, f.name)
		require.Equal(t, "three", second.id, f.name)
		require.JSONEq(t, `{"subs":{"news":{"recover":true,"offset":2,"epoch":"e"}}}`, second.body, f.name)
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
	const renewed = "last_event_id=B" // by an EventSource that the page made
	require.NotContains(t, bySource.requests(), renewed)
	s.api.MustResult(t, "disconnect", `{"user":"42","disconnect":{"code":3005,"reason":"expired"}}`)
	publish()
	require.Equal(t, 1, strings.Count(bySource.requests(), renewed))
	bySource.refuseNext() // which ends an EventSource
	byFetch.refuseNext()
	cut(0, true)
	publish()
	require.Equal(t, 2, strings.Count(bySource.requests(), renewed))

	s.sendAway(t, p, bySource, byFetch)
	require.Equal(t, each*len(channels), evaluate[int](t, p, `sluice.total`))
	for _, text := range p.takeProblems() {
		require.Contains(t, text, "blocked by CORS policy", "a 502 says nothing of origins")
	}
}
