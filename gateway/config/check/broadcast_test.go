package check_test

import (
	"fmt"
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
