package test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// With an internal listener the public one serves streams and nothing else.
func TestOperatorsEndpointsAreOnTheInternalListenerOnly(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	const text = `{"uni_sse": {"enabled": true}, "http_server": {"address": "127.0.0.1", "port": 0, "internal_address": "127.0.0.2", "internal_port": "0"},
		"http_api": {"key": "` + testKey + `" %s}, "health": {"enabled": true}, "prometheus": {"enabled": true}, "debug": {"enabled": true},
		"client": {"allow_anonymous_connect_without_token": true}}`
	f := func(more string, apiOutside int) {
		s := launch(t, fmt.Sprintf(text, more))
		defer s.stop(t)
		inside := s.listeners[1].Addr().String()
		require.NotEqual(t, inside, s.addr)
		status := func(addr, method, path string) int {
			r := testkit.Request{Method: method, Target: path, Headers: [][2]string{{"X-API-Key", testKey}}}
			if method == "POST" {
				r.Body = "{}"
			}
			head, _ := testkit.RoundTrip(t, addr, r)
			return head.Status
		}
		for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/cmdline", "/health", "/ready"} {
			require.Equal(t, 404, status(s.addr, "GET", path), path)
			require.Equal(t, 200, status(inside, "GET", path), path)
		}
		require.Equal(t, apiOutside, status(s.addr, "POST", "/api/info"))
		require.Equal(t, 200, status(inside, "POST", "/api/info"))
		require.Equal(t, 404, status(inside, "GET", testkit.DefaultPath))
		testkit.Connect(t, s.addr, testkit.ConnectOptions{}).ExpectConnect(t)
	}
	f("", 404)
	f(`, "external": true`, 200)
}
