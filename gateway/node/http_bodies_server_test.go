package node

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/testkit"
)

// largeCall is a way in which a call has a large body.
type largeCall struct {
	name, path string
	chunked    bool
	body       func(data string) string
}

func largeCalls() (all []largeCall) {
	for _, c := range []largeCall{
		{"publish", "/api/publish", false, func(d string) string { return `{"channel": "news", "data": ` + d + `}` }},
		{"broadcast", "/api/broadcast", false, func(d string) string { return `{"channels": ["news"], "data": ` + d + `}` }},
		{"batch", "/api/batch", false, func(d string) string {
			return `{"commands": [{"publish": {"channel": "news", "data": ` + d + `}}]}`
		}},
		{"legacy", "/api", false, func(d string) string {
			return `{"method": "publish", "params": {"channel": "news", "data": ` + d + `}}`
		}},
	} {
		all = append(all, c)
		c.name, c.chunked = c.name+" chunked", true
		all = append(all, c)
	}
	return all
}

// do sends the call as most clients do: they read no answer before the body is sent.
func (c *largeCall) do(addr, data string) (code int, detail string, err error) {
	var body io.Reader = strings.NewReader(c.body(data))
	if c.chunked {
		body = struct{ io.Reader }{body} // of no length that net/http knows
	}
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+addr+c.path, body)
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("X-API-Key", testkit.APIKey)
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, "", err
	}
	if response.StatusCode != http.StatusOK {
		return 0, "", fmt.Errorf("status %d: %s", response.StatusCode, raw)
	}
	var reply struct{ Error struct{ Code int } }
	err = json.Unmarshal(raw, &reply)
	return reply.Error.Code, response.Header.Get("X-Sluice-Detail"), err
}

// A call whose body finds no room in time gets error 100, though nobody read the body and
// the client has not sent it whole; the next one finds room again.
func TestACallWhoseBodyFindsNoRoomIsRefused(t *testing.T) {
	s := startServer(t, parts{api: `, "publish_wait": "20ms"`})
	data := `"` + strings.Repeat("d", 8_000_000) + `"` // more than sockets hold
	for _, c := range largeCalls() {
		t.Run(c.name, func(t *testing.T) {
			var others fasthttp.RequestHeader
			require.True(t, s.bodies.enter(&others, CallsAtOnce))
			s.bodies.read(&others, CallsAtOnce)
			before := s.Node.api.Stats().Refused["no_room"]
			code, detail, err := c.do(s.addr, data)
			require.NoError(t, err)
			require.Equal(t, 100, code)
			require.Contains(t, detail, "publish_wait")
			require.Equal(t, before+1, s.Node.api.Stats().Refused["no_room"])
			s.bodies.leave(&others)
			testkit.Eventually(t, func() bool {
				code, _, err = c.do(s.addr, data)
				require.NoError(t, err)
				return code == 0
			}, "room for a body")
		})
	}
	http.DefaultClient.CloseIdleConnections()
}

// While a call waits for credit its body counts as one that was read.
func TestBodiesOfCallsThatWaitCount(t *testing.T) {
	s := startServer(t, parts{api: `, "publish_wait": "1m", "publish_inflight_max_bytes": 1000000`})
	data := `"` + strings.Repeat("d", 900_000) + `"`
	counted := func() (bytes [bodyStates]int) {
		s.bodies.mu.Lock()
		defer s.bodies.mu.Unlock()
		return s.bodies.bytes
	}
	for _, c := range largeCalls() {
		t.Run(c.name, func(t *testing.T) {
			credit, err := s.hub.AcquireCredit(context.Background(), 1_000_000)
			require.NoError(t, err)
			answered := make(chan error, 1)
			go func() {
				code, _, err := c.do(s.addr, data)
				if err == nil && code != 0 {
					err = fmt.Errorf("error %d", code)
				}
				answered <- err
			}()
			testkit.Eventually(t, func() bool {
				return counted() == [bodyStates]int{bodyRead: len(c.body(data))}
			}, "the body to count as read")
			credit.Release()
			require.NoError(t, <-answered)
			testkit.Eventually(t, func() bool { return counted() == [bodyStates]int{} }, "its room to come back")
		})
	}
	http.DefaultClient.CloseIdleConnections()
}

// A body that breaks off, and one that is no call, give their room back.
func TestBodiesThatComeToNothingLeave(t *testing.T) {
	s := startServer(t, parts{})
	empty := func() bool {
		s.bodies.mu.Lock()
		defer s.bodies.mu.Unlock()
		return len(s.bodies.inside) == 0
	}
	const fixed, chunked = "Content-Length: 100000", "Transfer-Encoding: chunked"
	for _, c := range []struct{ length, body string }{
		{fixed, ""}, {fixed, `{"channel": "news"`}, {fixed, strings.Repeat("x", 100_000)},
		{chunked, ""}, {chunked, "5\r\n"}, {chunked, "5\r\nabcde\r\n"}, {chunked, "5\r\nabcde\r\n0\r\n\r\n"},
	} {
		conn, err := net.Dial("tcp", s.addr)
		require.NoError(t, err)
		_, err = fmt.Fprintf(conn, "POST /api/publish HTTP/1.1\r\nHost: h\r\nX-API-Key: %s\r\n%s\r\n\r\n%s", testkit.APIKey, c.length, c.body)
		require.NoError(t, err)
		require.NoError(t, conn.(*net.TCPConn).CloseWrite())
		answer, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Contains(t, string(answer), "HTTP/1.1 400 ", "%+v", c)
		testkit.Eventually(t, empty, "the room to come back")
		require.NoError(t, conn.Close())
	}
}

// Buffers of very large bodies are garbage once the call was decoded: in the pools of the
// HTTP server they would outlive a collection.
func TestNothingKeepsTheBuffersOfHugeBodies(t *testing.T) {
	s := startServer(t, parts{api: `, "publish_wait": "1m"`})
	const callers, size = 4, 16_000_000
	data := `"` + strings.Repeat("d", size) + `"`
	c := largeCalls()[0]
	before := heapInUse()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // or how many collections there are is left to chance
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			code, _, err := c.do(s.addr, data)
			assert.NoError(t, err)
			assert.Zero(t, code)
		})
	}
	wg.Wait()
	testkit.Eventually(t, func() bool { return s.hub.InFlight() == 0 }, "the publications to be out")
	http.DefaultClient.CloseIdleConnections()
	require.Less(t, heapInUse(), before+size/2)
}

// A client that is gone when its body may come holds no room, though nobody can tell it so.
func TestTheBodyOfAClientThatIsGoneLeaves(t *testing.T) {
	s := startServer(t, parts{api: `, "publish_wait": "1m"`})
	inside := func() int {
		s.bodies.mu.Lock()
		defer s.bodies.mu.Unlock()
		return len(s.bodies.inside)
	}
	for _, more := range []string{"Content-Length: 20000000", "Content-Length: 20000000\r\nExpect: 100-continue", "Transfer-Encoding: chunked\r\nExpect: 100-continue"} {
		var others fasthttp.RequestHeader
		require.True(t, s.bodies.enter(&others, CallsAtOnce))
		s.bodies.read(&others, CallsAtOnce)
		conn, err := net.Dial("tcp", s.addr)
		require.NoError(t, err)
		_, err = fmt.Fprintf(conn, "POST /api/publish HTTP/1.1\r\nHost: h\r\nX-API-Key: %s\r\n%s\r\n\r\n", testkit.APIKey, more)
		require.NoError(t, err)
		testkit.Eventually(t, func() bool { return s.bodies.queued() == 1 }, "the body to wait")
		require.NoError(t, conn.(*net.TCPConn).SetLinger(0)) // reset
		require.NoError(t, conn.Close())
		s.bodies.leave(&others)
		testkit.Eventually(t, func() bool { return s.bodies.queued()+inside() == 0 }, "the room to come back")
	}
}

// A call whose body waits when the server stops is told so, and heard out.
func TestABodyThatWaitsWhenTheServerStopsIsAnswered(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	s := launch(t, fmt.Sprintf(testkit.BaseConfig, "", `, "publish_wait": "10m"`, "", ""))
	var others fasthttp.RequestHeader
	require.True(t, s.bodies.enter(&others, CallsAtOnce))
	s.bodies.read(&others, CallsAtOnce)
	answered := make(chan error, 1)
	go func() {
		_, _, err := (&largeCall{path: "/api/publish", body: func(d string) string { return d }}).do(s.addr, strings.Repeat("d", 8_000_000))
		answered <- err
	}()
	testkit.Eventually(t, func() bool { return s.bodies.queued() == 1 }, "the body to wait")
	s.stop(t)
	require.False(t, s.lingering(), "the process may end now")
	require.ErrorContains(t, <-answered, "status 503")
	http.DefaultClient.CloseIdleConnections()
}
