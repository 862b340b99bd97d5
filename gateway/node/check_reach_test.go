package node_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// expectAdvice holds the advice about a file, apart from its place, against want.
func expectAdvice(t *testing.T, text string, want ...string) {
	t.Helper()
	require.Equal(t, strings.Join(want, "\n"), strings.ReplaceAll(warningsOf(t, text), at, ""), text)
}

// A limit that another one keeps from ever being reached is named, with both values; one at or below it is not.
func TestLimitsThatAreNeverReached(t *testing.T) {
	pair := func(part, all string) {
		t.Helper()
		text := func(p, a int) string {
			return merge(t, fmt.Sprintf(nest(part, "%d"), p), fmt.Sprintf(nest(all, "%d"), a))
		}
		expectAdvice(t, text(11, 10), fmt.Sprintf("%s: 11 is more than %s (10), so that it is never reached; set it to less", part, all))
		expectAdvice(t, text(10, 10))
		expectAdvice(t, text(11, 0))
		expectAdvice(t, text(0, 10))
	}
	pair("client.connection_limit", "uni_sse.max_streams")
	pair("client.user_connection_limit", "client.connection_limit")
	pair("client.user_connection_limit", "uni_sse.max_streams")
	const of = `{"client": {"user_connection_limit": 11, "connection_limit": 10, "user_connection_limit_scope": "%s"}, "engine": {"type": "redis"}}`
	expectAdvice(t, fmt.Sprintf(of, "fleet")) // three nodes have room for 30 of them
	expectAdvice(t, fmt.Sprintf(of, "node"),
		"client.user_connection_limit: 11 is more than client.connection_limit (10), so that it is never reached; set it to less")
	pair("client.address_connection_limit", "client.connection_limit")
	pair("client.address_connection_limit", "uni_sse.max_streams")
	pair("client.address_connection_rate_limit", "client.connection_rate_limit")

	const hook = `"proxy": {"connect": {"enabled": true, "endpoint": "http://h", "timeout": "%s"}}`
	expectAdvice(t, `{"client": {`+fmt.Sprintf(hook, "10s")+`}}`)
	expectAdvice(t, `{"client": {`+fmt.Sprintf(hook, "11s")+`}}`,
		"client.proxy.connect.timeout: 11s is more than client.stale_close_delay (10s), in which a connect must finish, so that it is never reached; set it to less")
	expectAdvice(t, `{"client": {"proxy": {"connect": {"timeout": "11s"}}}}`)

	const history = `{"channel": {"namespaces": [{"name": "aa", "history_size": %d, "history_ttl": "60s", "force_recovery": %t, "force_recovery_mode": "%s"}]}%s}`
	expectAdvice(t, fmt.Sprintf(history, 300, true, "stream", ""))
	expectAdvice(t, fmt.Sprintf(history, 301, true, "stream", ""),
		"channel.namespaces[0].history_size: 301 is more than client.recovery_max_publication_limit (300): who missed more than that recovers nothing; set that to as much, or this to less")
	expectAdvice(t, fmt.Sprintf(history, 301, true, "cache", ""))
	expectAdvice(t, fmt.Sprintf(history, 301, false, "stream", ""))
	expectAdvice(t, fmt.Sprintf(history, 301, true, "", `, "client": {"recovery_max_publication_limit": -1}`))

	const size = `{"http_api": {"max_publication_size": %d}, "client": {"queue_max_size": 99999999, "hold_max_bytes": %d}, "uni_sse": {"recovery_max_bytes": %d}}`
	expectAdvice(t, fmt.Sprintf(size, 1000000, 1000000, 1000000))
	expectAdvice(t, fmt.Sprintf(size, 1000001, 1000000, 1000001),
		"client.hold_max_bytes: 1000000 is less than http_api.max_publication_size (1000001): such a publication ends the connects that are reading history; set it to more, or http_api.max_publication_size to less")
	expectAdvice(t, fmt.Sprintf(size, 1000001, 1000001, 1000000),
		"uni_sse.recovery_max_bytes: 1000000 is less than http_api.max_publication_size (1000001): who misses such a publication recovers nothing; set it to more, or http_api.max_publication_size to less")
}

// merge returns a JSON object with the members of both, on one line.
func merge(t *testing.T, a, b string) string {
	t.Helper()
	var one, two map[string]any
	require.NoError(t, json.Unmarshal([]byte(a), &one))
	require.NoError(t, json.Unmarshal([]byte(b), &two))
	var join func(a, b map[string]any)
	join = func(a, b map[string]any) {
		for key, value := range b {
			if old, both := a[key].(map[string]any); both {
				join(old, value.(map[string]any))
			} else {
				a[key] = value
			}
		}
	}
	join(one, two)
	text, err := json.Marshal(one)
	require.NoError(t, err)
	return string(text)
}

// nest returns a JSON object with value at a dotted key.
func nest(key, value string) string {
	parts := strings.Split(key, ".")
	for i := len(parts) - 1; i >= 0; i-- {
		value = `{"` + parts[i] + `": ` + value + `}`
	}
	return value
}

// A time that ends before what needs it has come is named.
func TestTimesThatEndTooSoon(t *testing.T) {
	const ns = `{"channel": {"namespaces": [{"name": "aa", "history_size": 10, "history_ttl": "%s", "force_recovery": true%s}]}, "uni_sse": {"retry": "%s"}}`
	expectAdvice(t, fmt.Sprintf(ns, "9s", "", "3s-9s"))
	expectAdvice(t, fmt.Sprintf(ns, "8s", "", "3s-9s"),
		"channel.namespaces[0].history_ttl: 8s is less than the longest of uni_sse.retry (9s): who comes back after that recovers nothing; set it to more")
	expectAdvice(t, fmt.Sprintf(ns, "8s", "", "0"))
	const check = " is less than the time between two checks of a position (54s, client.channel_position_check_delay in steps of client.presence_update_interval), which keep it alive in "
	expectAdvice(t, fmt.Sprintf(ns, "20s", `, "history_meta_ttl": "53s"`, "3s"), "channel.namespaces[0].history_meta_ttl: 53s"+check+"channel.namespaces[0]; set it to more")
	expectAdvice(t, fmt.Sprintf(ns, "20s", `, "history_meta_ttl": "54s"`, "3s"))
	expectAdvice(t, `{"channel": {"history_meta_ttl": "20s", "history_empty_ttl": "20s", "without_namespace": {"force_positioning": true}}}`,
		"channel.history_meta_ttl: 20s"+check+"channel.without_namespace; set it to more")
	expectAdvice(t, `{"channel": {"history_meta_ttl": "20s", "history_empty_ttl": "20s"}}`)
	expectAdvice(t, fmt.Sprintf(ns, "58s", `, "history_meta_ttl": "58s"`, "58s"))
	expectAdvice(t, fmt.Sprintf(ns, "57s", `, "history_meta_ttl": "57s"`, "58s"),
		"channel.namespaces[0].history_ttl: 57s is less than the longest of uni_sse.retry (58s): who comes back after that recovers nothing; set it to more",
		"channel.namespaces[0].history_meta_ttl: 57s is less than the longest of uni_sse.retry (58s): who comes back to channel.namespaces[0] after that is told of a gap; set it to more")
	expectAdvice(t, `{"channel": {"history_empty_ttl": "8s"}}`,
		"channel.history_empty_ttl: 8s is less than the longest of uni_sse.retry (9s): a client that comes back after that is told of a gap in a channel where nothing happened; set it to more")
	expectAdvice(t, `{"client": {"channel_position_check_delay": "26s"}}`,
		"client.channel_position_check_delay: 26s is less than client.presence_update_interval (27s), at which checks happen, so that it means that")
	expectAdvice(t, `{"client": {"channel_position_check_delay": "27s"}}`)
	expectAdvice(t, `{"client": {"ping_interval": "999ms"}}`,
		"client.ping_interval: 999ms: clients are told whole seconds, and so 0, which is no pings at all; set it to 1s or more")
	expectAdvice(t, `{"client": {"ping_interval": "1s"}}`)
	const refresh = `{"client": {"expired_close_delay": "%s", "proxy": {"refresh": {"enabled": %t, "endpoint": "%s"}}}}`
	expectAdvice(t, fmt.Sprintf(refresh, "5s", true, "http://h"), "client.expired_close_delay: 5s has no effect with client.proxy.refresh, which is asked at the expiry")
	expectAdvice(t, fmt.Sprintf(refresh, "25s", true, "http://h"))
	expectAdvice(t, fmt.Sprintf(refresh, "5s", false, ""))
}
