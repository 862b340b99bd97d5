package testkit

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// apiServer answers every call with status and text; seen gets method, path, key and body of each.
func apiServer(t *testing.T, status int, text string) (addr string, seen chan string, conns *atomic.Int32) {
	t.Helper()
	seen, conns = make(chan string, 10), new(atomic.Int32)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		seen <- fmt.Sprintf("%s %s %q %s %v", r.Method, r.URL.Path, r.Header.Values("X-API-Key"), body, err)
		w.Header().Set("X-Test", "1")
		w.WriteHeader(status)
		fmt.Fprint(w, text)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), seen, conns
}

func TestAPICallsTheServer(t *testing.T) {
	addr, seen, conns := apiServer(t, 200, `{"result":{"offset":3,"epoch":"e"}}`)
	api := &API{Addr: addr, Key: "k"}
	f := func(want string) {
		t.Helper()
		if got := <-seen; got != want {
			t.Errorf("expected %q, got %q", want, got)
		}
	}
	if status, head, raw := api.Call(t, "info", nil); status != 200 || head.Get("X-Test") != "1" || !strings.HasPrefix(string(raw), `{"result"`) {
		t.Fatalf("got %d %v %s", status, head, raw)
	}
	f(`POST /api/info ["k"] {} <nil>`)
	api.Call(t, "", "{bad")
	f(`POST /api ["k"] {bad <nil>`)
	api.Call(t, "x", []byte("a"))
	f(`POST /api/x ["k"] a <nil>`)
	api.Call(t, "x", json.RawMessage("[ ]"))
	f(`POST /api/x ["k"] [ ] <nil>`)
	api.Call(t, "x", map[string]string{"a": "<"})
	f("POST /api/x [\"k\"] {\"a\":\"<\"}\n <nil>")
	if result := api.MustResult(t, "x", nil); string(result) != `{"offset":3,"epoch":"e"}` {
		t.Fatalf("got %s", result)
	}
	f(`POST /api/x ["k"] {} <nil>`)
	if position := api.Publish(t, `a"b`, `{ "n": 1}`); position != (Position{Offset: 3, Epoch: "e"}) {
		t.Fatalf("got %+v", position)
	}
	f(`POST /api/publish ["k"] {"channel":"a\"b","data":{ "n": 1}} <nil>`)
	// One is usual. Package net/http gives up one whose request it has not seen written within 50 ms, as on a busy machine.
	if n := conns.Load(); n >= 7 {
		t.Fatalf("expected a connection to be kept for the next call, got %d for 7 calls", n)
	}
	(&API{Addr: addr, Prefix: "/v1"}).Call(t, "x", nil)
	f(`POST /v1/x [] {} <nil>`)
}

func TestAPIFailsTheTestWithoutAResult(t *testing.T) {
	f := func(status int, text string) {
		t.Helper()
		addr, _, _ := apiServer(t, status, text)
		mustFail(t, func(t testing.TB) { (&API{Addr: addr}).MustResult(t, "publish", nil) }, "expected 200 with a result", fmt.Sprint(status))
	}
	f(200, `{"error":{"code":102,"message":"unknown channel"}}`)
	f(200, `{}`)
	f(200, `not JSON`)
	f(401, ``)
	f(500, `{"result":{}}`)
	mustFail(t, func(t testing.TB) { (&API{Addr: "127.0.0.1:1"}).Call(t, "info", nil) }, "api info")
	mustFail(t, func(t testing.TB) { (&API{Addr: "127.0.0.1:1"}).Call(t, "info", func() {}) }, "encode func()")
}

func TestAPIClosesItsConnectionsWithTheTest(t *testing.T) {
	addr, _, conns := apiServer(t, 200, `{"result":{}}`)
	api := &API{Addr: addr}
	for range 2 {
		if f := try(func(t testing.TB) {
			snapshot(t, leakPatience, []string{"net/http.(*conn).serve", "internal/poll.runtime_pollWait"})
			api.Call(t, "info", nil)
		}); f.Failed() {
			t.Fatal(f.failures)
		}
	}
	if n := conns.Load(); n != 2 {
		t.Fatalf("expected a connection per test, got %d", n)
	}
}
