package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/config"
	"sluice/gateway/node"
	"sluice/gateway/testkit"
)

// broadcastServer is a gateway with a broadcast route of short lifetimes, on a port that it
// keeps. A namespace without a name is public.
type broadcastServer struct{ port string }

func (b *broadcastServer) start(t *testing.T) *server {
	t.Helper()
	cfg, _, err := config.Load(config.Source{Dir: t.TempDir(), Flags: map[string]string{
		"http_server.address": "127.0.0.1", "http_server.port": b.port, "http_api.key": testKey, "uni_sse.enabled": "true",
		"broadcast.enabled": "true", "broadcast.retry": "500ms",
		"channel.without_namespace.broadcast": "true", "channel.without_namespace.history_size": "100000",
		"channel.without_namespace.history_ttl": "1m", "channel.without_namespace.broadcast_freshness": "1s",
		"channel.without_namespace.broadcast_lifetime": "2s",
	}})
	require.NoError(t, err)
	return launchLoaded(t, cfg, node.Options{Verify: true})
}

// followed is a page that follows URLs with the script, and keeps what it is told by each.
const followed = `<!doctype html><title>broadcast</title><link rel="icon" href="data:,">
<p id="state-detail"></p><form id="publish-form"></form><script src=%q></script><script>
const sluice = {state: "live", connects: 1, received: []}, told = {}, open = {};
let streams = 0;
window.EventSource = class extends EventSource {
	constructor(url) { super(url); this.addEventListener("open", () => streams++); }
};
function follow(url) {
	told[url] = [];
	open[url] = broadcast(url, (push) => told[url].push(push.pub?.offset ?? push.gap));
}
</script>`

// The script follows a channel over the ends of its streams and over restarts: each
// publication once and in order, and where the history began anew it says so.
func TestBrowserFollowsABroadcastChannel(t *testing.T) {
	browserTest(t)
	b := &broadcastServer{port: strconv.Itoa(testkit.FreePort(t))}
	s := b.start(t)
	home := newSite(t)
	home.serveAll(map[string]http.HandlerFunc{"/": htmlPage(fmt.Sprintf(followed, "http://"+s.addr+"/broadcast.js"))})
	p := openLive(t, home.addr())
	url := "http://" + s.addr + "/broadcast/news"
	evaluate[bool](t, p, fmt.Sprintf(`{ follow(%q); true; }`, url))
	told := func() []string {
		return evaluate[[]string](t, p, fmt.Sprintf(`told[%q].map((o) => JSON.stringify(o))`, url))
	}
	const first = 30
	for n := 1; n <= first; n++ { // over three lifetimes
		s.publishNumbers(t, "news", n, n)
		if n%10 == 0 {
			p.wait(t, fmt.Sprintf(`streams > %d`, n/10))
		}
	}
	p.wait(t, fmt.Sprintf(`told[%q].length >= %d`, url, first))
	want := make([]string, first)
	for i := range want {
		want[i] = strconv.Itoa(i + 1)
	}
	require.Equal(t, want, told())

	s.stop(t)
	p.waitForFailure(t)
	s = b.start(t) // the memory engine begins anew
	defer func() { s.stop(t) }()
	s.publishNumbers(t, "news", 1, 2)
	p.wait(t, fmt.Sprintf(`told[%q].length >= %d`, url, first+3))
	require.Equal(t, append(want, "{}", "1", "2"), told())
	evaluate[bool](t, p, fmt.Sprintf(`{ open[%q].close(); true; }`, url))
}

// scripted answers requests one after the other: with a status alone, or with a stream that
// ends but for the last one.
type scripted struct {
	answers []string

	// Guarded by mu.
	mu    sync.Mutex
	asked int
	left  int // streams whose reader went
}

// ServeHTTP implements http.Handler.
func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	i := min(s.asked, len(s.answers)-1)
	s.asked++
	s.mu.Unlock()
	w.Header().Set("Access-Control-Allow-Origin", "*")
	if status, err := strconv.Atoi(s.answers[i]); err == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, "retry: 20\n\n"+s.answers[i])
	w.(http.Flusher).Flush()
	if i == len(s.answers)-1 {
		<-r.Context().Done()
		s.mu.Lock()
		s.left++
		s.mu.Unlock()
	}
}

// told returns what the script says of publications with these offsets: of "5@E" the epoch is
// told, "#E:5" is a checkpoint, and of "-5" a gap up to there.
func stream(events ...string) string {
	var text strings.Builder
	for _, e := range events {
		offset, epoch, _ := strings.Cut(e, "@")
		switch {
		case e[0] == '#':
			epoch, at, _ := strings.Cut(e[1:], ":")
			offset, _ := strconv.ParseUint(at, 10, 64)
			id := codec.AppendCursorEntry(nil, codec.CursorEntry{Channel: codec.Tag32("c"), Epoch: codec.Tag32(epoch), Offset: offset})
			fmt.Fprintf(&text, "id: %s\n\n", id)
		case e[0] == '-':
			fmt.Fprintf(&text, "data: {\"channel\":\"c\",\"gap\":{\"dropped\":1,\"to\":%s}}\n\n", e[1:])
		case epoch != "":
			fmt.Fprintf(&text, "data: {\"channel\":\"c\",\"pub\":{\"data\":1,\"offset\":%s,\"epoch\":%q}}\n\n", offset, epoch)
		default:
			fmt.Fprintf(&text, "data: {\"channel\":\"c\",\"pub\":{\"data\":1,\"offset\":%s}}\n\n", offset)
		}
	}
	return text.String()
}

// What the script makes of streams: repeats, gaps, a history that began anew however that
// shows, and answers at which a browser gives up.
func TestBrowserScriptTellsRepeatsFromGaps(t *testing.T) {
	browserTest(t)
	b := &broadcastServer{port: "0"}
	s := b.start(t)
	defer s.stop(t)
	cases := map[string]struct {
		answers []string
		want    string
	}{
		"repeats":           {[]string{stream("1@E", "2", "3", "#E:3"), stream("2@E", "3", "4"), stream("3@E", "4", "5")}, `[1,2,3,4,5]`},
		"jump":              {[]string{stream("1@E", "2"), stream("5@E", "6")}, `[1,2,{"dropped":2,"from":3,"to":4},5,6]`},
		"gap":               {[]string{stream("1@E", "-3", "4"), stream("4@E", "-3", "5")}, `[1,{"dropped":1,"to":3},4,5]`},
		"anew-backlog":      {[]string{stream("8@E", "9"), stream("2@F", "3")}, `[8,9,{},2,3]`},
		"anew-live":         {[]string{stream("8@E", "9", "3", "4")}, `[8,9,{},3,4]`},
		"anew-checkpoint":   {[]string{stream("5@E", "#E:5", "6"), stream("#F:1", "2", "3")}, `[5,6,{},2,3]`},
		"anew-once":         {[]string{stream("5@E", "#E:5", "6"), stream("1@F", "#F:1", "2")}, `[5,6,{},1,2]`},
		"anew-further":      {[]string{stream("5@E", "#E:5", "6"), stream("9@F", "#F:9", "10")}, `[5,6,{},9,10]`},
		"refused":           {[]string{"503", "404", stream("1@E")}, `[1]`},
		"no-event-at-first": {[]string{stream("#E:1"), stream("2@E", "#E:2", "3")}, `[2,3]`},
	}
	home := newSite(t)
	handlers := map[string]http.HandlerFunc{"/": htmlPage(fmt.Sprintf(followed, "http://"+s.addr+"/broadcast.js"))}
	origins := make(map[string]*scripted)
	for name, c := range cases {
		origins[name] = &scripted{answers: c.answers}
		handlers["/"+name] = origins[name].ServeHTTP
	}
	home.serveAll(handlers)
	p := openLive(t, home.addr())
	for name, c := range cases { // one by one: a browser opens six streams to a host at most
		var want []json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(c.want), &want))
		evaluate[bool](t, p, fmt.Sprintf(`{ follow("/%s"); true; }`, name))
		p.wait(t, fmt.Sprintf(`told["/%s"].length >= %d`, name, len(want)))
		require.Equal(t, c.want, evaluate[string](t, p, fmt.Sprintf(`JSON.stringify(told["/%s"])`, name)), name)
		evaluate[bool](t, p, fmt.Sprintf(`{ open["/%s"].close(); true; }`, name))
		o := origins[name]
		testkit.Eventually(t, func() bool {
			o.mu.Lock()
			defer o.mu.Unlock()
			return o.left == 1
		}, "the stream of "+name+" to be closed")
		require.Equal(t, len(c.answers), o.asked, name)
	}
}

// serveAll is serve with a handler for each path.
func (s *site) serveAll(handlers map[string]http.HandlerFunc) {
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := handlers[r.URL.Path]; h != nil {
			h(w, r)
			return
		}
		http.NotFound(w, r)
	})
	s.Start()
}

// htmlPage serves a text.
func htmlPage(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprint(w, text)
	}
}
