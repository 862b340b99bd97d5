package check_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What viewers of broadcast streams come back for must be kept, and they must come back late enough.
func TestBroadcastNeedsHistoryAndPatience(t *testing.T) {
	f := func(route, namespace string, want ...string) {
		t.Helper()
		text := fmt.Sprintf(`{"broadcast": {%s}, "channel": {"namespaces": [{"name": "live", "broadcast": true, "history_size": 10, %s}]}}`, route, namespace)
		_, err := tryLoad(text, nil)
		if len(want) == 0 {
			require.NoError(t, err, text)
		}
		for _, w := range want {
			require.ErrorContains(t, err, w, text)
		}
	}
	const on = `"enabled": true`
	f(on, `"history_ttl": "10s"`)
	f(on, `"history_ttl": "9s"`, "channel.namespaces[0].history_ttl: 9s is less than the backlog of a broadcast stream reaches back (10s:")
	f(`"enabled": false`, `"history_ttl": "1s"`)
	f(on+`, "retry": "1s"`, `"history_ttl": "20s"`, "broadcast.retry: 1s is less than half of channel.namespaces[0].broadcast_freshness (3s)")
	f(on+`, "retry": "1500ms"`, `"history_ttl": "20s"`)
	f(on+`, "handler_prefix": "/connection/uni_sse"}, "uni_sse": {"enabled": true`, `"history_ttl": "20s"`, "handler_prefix: \"/connection/uni_sse\" is already the path of")
}

// A route that nothing is served on, and a limit that one point of presence meets, are told.
func TestABroadcastRouteServesSomething(t *testing.T) {
	f := func(route, channels, key, want string) {
		t.Helper()
		text := fmt.Sprintf(`{"http_api": {"disabled": true}, "broadcast": {"enabled": true%s}, "channel": {%s}}`, route, channels)
		rep := load(t, text, nil)
		if want == "" {
			require.Empty(t, kindsOf(rep, key), text)
			return
		}
		require.NotEmpty(t, kindsOf(rep, key), text)
		require.Contains(t, strings.Join(rep.Warnings, "\n"), want, text)
	}
	const kept = `"broadcast": true, "history_size": 10, "history_ttl": "20s"`
	const on, most = "broadcast.enabled", "broadcast.max_origin_streams"
	f("", `"namespaces": [{"name": "live"}]`, on, "broadcast.enabled: true, and no namespace has broadcast")
	f("", `"namespaces": [{"name": "live", `+kept+`}]`, on, "")
	f("", `"without_namespace": {`+kept+`}`, on, "")
	f("", `"without_namespace": {`+kept+`, "broadcast_lifetime": "195s"}`, most, "64 are fewer than one point of presence asks for of a channel of channel.without_namespace,")
	f("", `"without_namespace": {`+kept+`, "broadcast_lifetime": "192s"}`, most, "")
	f(`, "max_origin_streams": 0`, `"without_namespace": {`+kept+`, "broadcast_lifetime": "195s"}`, most, "")
}

// Compression that padding takes away is told.
func TestPaddingKeepsStreamsFromBeingCompressed(t *testing.T) {
	const text = `{"uni_sse": {"enabled": true%s}, "client": {"insecure": true}, "channel": {"without_namespace": {"compression": ["zstd"]}}}`
	const key = "channel.without_namespace.compression"
	require.NotEmpty(t, kindsOf(load(t, fmt.Sprintf(text, `, "padding": 2048`), nil), key))
	require.Empty(t, kindsOf(load(t, fmt.Sprintf(text, ""), nil), key))
}
