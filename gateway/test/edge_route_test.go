package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// headOf returns the fields of a head that say what an answer is, sorted by nobody.
func headOf(h testkit.Head, names ...string) (text string) {
	for _, n := range names {
		if values := h.Values(n); values != nil {
			text += n + ": " + strings.Join(values, " | ") + "\n"
		}
	}
	return text
}

var edgeFields = []string{
	"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Cache-Control", "CDN-Cache-Control", "Surrogate-Control",
	"Content-Type", "Incremental", "X-Accel-Buffering", "Vary", "Location", "Set-Cookie", "Allow",
}

const sharedHead = `Access-Control-Allow-Origin: *
Cache-Control: public, max-age=1, no-transform
CDN-Cache-Control: public, max-age=1
Surrogate-Control: max-age=1
Content-Type: text/event-stream; charset=utf-8
Incremental: ?1
X-Accel-Buffering: no
`

// What a request gets that is no plain one for a channel.
func TestEdgeAnswersEverything(t *testing.T) {
	s := startEdge(t, "", "")
	status := func(want int, method, path string, lines ...string) testkit.Head {
		t.Helper()
		r := testkit.Request{Method: method, Target: path}
		for i := 0; i < len(lines); i += 2 {
			r.Headers = append(r.Headers, [2]string{lines[i], lines[i+1]})
		}
		h, body := testkit.RoundTrip(t, s.addr, r)
		require.Equal(t, want, h.Status, "%s %s", method, path)
		require.Equal(t, "*", h.Get("Access-Control-Allow-Origin"))
		require.Empty(t, h.Values("Access-Control-Allow-Credentials"))
		if want >= 400 && method != "HEAD" {
			require.Contains(t, string(body), fmt.Sprintf(`{"error":{"code":%d,`, want))
		}
		return h
	}
	for _, path := range []string{"/broadcast/live:a?", "/broadcast/live:a?x=1", "/broadcast.bare/live:a?x", "/broadcast/live:%", "/broadcast/live:%a", "/broadcast/live:%zz"} {
		require.Equal(t, "no-store", status(400, "GET", path).Get("Cache-Control"))
	}
	long := strings.Repeat("a", 256-len("live:"))
	for _, name := range []string{"live:a%00", "live:%0a", "live:%7F", "live:%C2%85", "live:%ff", "$live:a", "%24live:a", "live:a%23b", "live:" + long} {
		require.Equal(t, "public, max-age=1", status(404, "GET", "/broadcast/"+name).Get("Cache-Control"), name)
	}
	for _, name := range []string{"none:a", "closed:a", "a", "", "..%2fapi%2finfo", "live"} {
		require.Equal(t, "public, max-age=3", status(404, "GET", "/broadcast/"+name).Get("Cache-Control"), name)
		require.Equal(t, 404, status(404, "HEAD", "/broadcast/"+name).Status)
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		require.Equal(t, "GET, HEAD, OPTIONS", status(405, method, "/broadcast/live:a").Get("Allow"))
	}
	h := status(204, "OPTIONS", "/broadcast/live:a", "Origin", "https://example.com", "Access-Control-Request-Headers", "last-event-id")
	require.Equal(t, "GET, HEAD, OPTIONS", h.Get("Access-Control-Allow-Methods"))
	require.Equal(t, "*", h.Get("Access-Control-Allow-Headers"))
	h = status(200, "HEAD", "/broadcast/live:a", "Range", "bytes=0-1")
	require.Equal(t, sharedHead, headOf(h, edgeFields...))
	for _, own := range []string{s.Parts().ID, "x\", sluice; node=\"" + s.Parts().ID} {
		h := status(508, "GET", "/broadcast/live:a", "CDN-Loop", hop(own))
		require.Equal(t, "Cache-Control: no-store\nVary: CDN-Loop\n", headOf(h, "Cache-Control", "Vary"), "it is nobody else's")
	}
	status(508, "GET", "/broadcast/live:a", "CDN-Loop", strings.Repeat(hop("x")+", ", 8))
	require.Equal(t, 200, view(t, s.addr, "/broadcast/live:a", "CDN-Loop", strings.Repeat(hop("x")+", ", 7)).head.Status)
	st := s.edge.Stats()
	require.EqualValues(t, 3, st.Refused["loop"])
	require.EqualValues(t, 6, st.Refused["malformed"])
	require.EqualValues(t, 4, st.Refused["method"])
}

// The name of a channel is the rest of the path, decoded once, whatever is in it; ranges,
// conditions, cookies and ids mean nothing.
func TestEdgeChannelsAreTheRestOfThePath(t *testing.T) {
	s := startEdge(t, "", "")
	for path, ch := range map[string]string{
		"live:a": "live:a", "live:a/b": "live:a/b", "live:a%2F%2Fb%2F": "live:a//b/", "live:a%2520b": "live:a%20b", "live:a(b)!": "live:a(b)!",
		"live:a+b%3Fc": "live:a+b?c", "live:%2E%2E%2F%2E%2E%2Fx": "live:../../x", "live:%C3%BC": "live:ü",
	} {
		s.api.Publish(t, ch, `"here"`)
		for _, prefix := range []string{"/broadcast/", "/broadcast.bare/", "http://localhost/broadcast/"} {
			v := view(t, s.addr, prefix+path, "Range", "bytes=0-1", "If-None-Match", "*", "If-Modified-Since", "Mon, 30 Nov 2026 09:32:47 GMT",
				"Cookie", "a=b", "Authorization", "Bearer x", "Last-Event-ID", "BGRAHmjDfW__E")
			require.Equal(t, 200, v.head.Status, path)
			require.Equal(t, sharedHead, headOf(v.head, edgeFields...))
			require.NotEmpty(t, v.head.Get("Sluice-Epoch"))
			v.await(t, "the backlog of "+ch, func(b []string) bool { return len(b) >= 2 })
			require.Equal(t, "retry: 500", v.blocks()[0])
			got, _, ok := publicationOf(v.blocks()[1])
			require.True(t, ok)
			require.Equal(t, ch, got)
			v.close()
		}
	}
	// Each has one spelling; whoever uses another is told, and has no stream.
	opened := s.edge.Stats().Opened["shared"]
	for path, to := range map[string]string{
		"live:a//b/": "live:a%2F%2Fb%2F", "live:%61": "live:a", "live%3Aa": "live:a", "live:a%2fb": "live:a/b", "live:%c3%bc": "live:%C3%BC",
		"live:..%2f../x": "live:%2E%2E%2F%2E%2E%2Fx", "live:\xc3\xbc": "live:%C3%BC", "live:/../../api/info": "live:%2F%2E%2E%2F%2E%2E%2Fapi%2Finfo", "live:a|b": "live:a%7Cb",
	} {
		for _, prefix := range []string{"/broadcast/", "/broadcast.bare/"} {
			h, _ := testkit.RoundTrip(t, s.addr, testkit.Request{Target: prefix + path})
			require.Equal(t, 308, h.Status, path)
			require.Equal(t, "Access-Control-Allow-Origin: *\nCache-Control: public, max-age=3600\nLocation: "+prefix+to+"\n", headOf(h, edgeFields...))
			h, _ = testkit.RoundTrip(t, s.addr, testkit.Request{Target: prefix + to, Method: "HEAD"})
			require.Equal(t, 200, h.Status, "nobody goes round in circles")
		}
	}
	require.Equal(t, opened, s.edge.Stats().Opened["shared"])
	require.EqualValues(t, 18, s.edge.Stats().Respelled)
	old := testkit.Dial(t, s.addr)
	old.Send("GET /broadcast/live:a HTTP/1.0\r\n\r\n")
	require.Equal(t, "HTTP/1.0", old.ReadHead(t).Proto)
	h, body := testkit.RoundTrip(t, s.addr, testkit.Request{Target: "/broadcast.js"})
	require.Equal(t, 200, h.Status)
	require.NotEmpty(t, body)
	require.LessOrEqual(t, len(body), 1024)
	h, body = testkit.RoundTrip(t, s.addr, testkit.Request{Target: "/broadcast.js", Headers: [][2]string{{"If-None-Match", `W/"x", ` + h.Get("ETag")}}})
	require.Equal(t, 304, h.Status)
	require.Empty(t, body)
}

// Without the option nothing of it is there, and paths that two options claim are told.
func TestEdgeIsOffByDefault(t *testing.T) {
	s := startServer(t, parts{})
	for _, path := range []string{"/broadcast/a", "/broadcast.js", "/broadcast.bare/a"} {
		h, _ := testkit.RoundTrip(t, s.addr, testkit.Request{Target: path})
		require.Equal(t, 404, h.Status)
	}
}
