package test

import (
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
