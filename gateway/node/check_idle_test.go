package node_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// An option that means nothing as long as another one is as it is says so; with the other one it does not.
func TestOptionsWithoutEffectAreNamed(t *testing.T) {
	f := func(key, without, idle, used string) {
		t.Helper()
		expectAdvice(t, idle, key+": has no effect without "+without)
		expectAdvice(t, used)
	}
	for _, hook := range []string{"connect", "refresh"} {
		key := "client.proxy." + hook
		text := `{"client": {"proxy": {"` + hook + `": {"endpoint": "http://h"%s}}}}`
		f(key+".endpoint", key+".enabled", fmt.Sprintf(text, ""), fmt.Sprintf(text, `, "enabled": true`))
	}
	const responses, disconnects = "uni_sse.connect_code_to_http_response", "client.connect_code_to_unidirectional_disconnect"
	text := `{"uni_sse": {"connect_code_to_http_response": {"enabled": %t, "transforms": [{"code": 109, "to": {"status_code": 401}}]}}}`
	f(responses+".transforms", responses+".enabled", fmt.Sprintf(text, false), fmt.Sprintf(text, true))
	text = `{"client": {"connect_code_to_unidirectional_disconnect": {"enabled": %t, "transforms": [{"code": 109, "to": {"code": 4000}}]}}}`
	f(disconnects+".transforms", disconnects+".enabled", fmt.Sprintf(text, false), fmt.Sprintf(text, true))
	const personal = "client.subscribe_to_user_personal_channel"
	text = `{"client": {"subscribe_to_user_personal_channel": {"enabled": %t, "single_connection": true}}, "channel": {"without_namespace": {"presence": true}}}`
	f(personal+".single_connection", personal+".enabled", fmt.Sprintf(text, false), fmt.Sprintf(text, true))
	text = `{"client": {"subscribe_to_user_personal_channel": {"enabled": %t, "personal_channel_namespace": "aa"}}, "channel": {"namespaces": [{"name": "aa"}]}}`
	f(personal+".personal_channel_namespace", personal+".enabled", fmt.Sprintf(text, false), fmt.Sprintf(text, true))
	f("broker.type", "broker.enabled", `{"broker": {"type": "nats"}}`, `{"broker": {"enabled": true, "type": "nats"}, "presence_manager": {"enabled": true, "type": "nats"}}`)
	f("presence_manager.type", "presence_manager.enabled", `{"presence_manager": {"type": "redis"}}`, `{"presence_manager": {"enabled": true, "type": "redis"}, "engine": {"type": "redis"}}`)

	text = `{"http_server": {"tls": {"enabled": %t, "cert_pem": "` + oneLine(ecCert) + `", "key_pem": "` + oneLine(ecPrivate) + `"}}}`
	f("http_server.tls.cert_pem", "http_server.tls.enabled", fmt.Sprintf(text, false), fmt.Sprintf(text, true))
	f("http_server.forwarded_header", "http_server.trusted_proxies", `{"http_server": {"forwarded_header": "forwarded"}}`,
		`{"http_server": {"forwarded_header": "forwarded", "trusted_proxies": ["10.0.0.1"]}}`)
	f("http_api.external", "http_server.internal_port", `{"http_api": {"external": true}}`, `{"http_api": {"external": true}, "http_server": {"internal_port": 9000}}`)
	f("uni_sse.cursor_exact_bytes", "uni_sse.last_event_id", `{"uni_sse": {"cursor_exact_bytes": 100, "last_event_id": false}}`, `{"uni_sse": {"cursor_exact_bytes": 100}}`)

	const previous, until = "client.token.hmac_previous_secret_key", "client.token.hmac_previous_secret_key_valid_until"
	key := strings.Repeat("k", 64)
	text = `{"client": {"token": {"hmac_secret_key": "` + key + `", "hmac_previous_secret_key": "%s", "hmac_previous_secret_key_valid_until": %d}}}`
	later := time.Now().Add(time.Hour).Unix()
	f(until, previous, fmt.Sprintf(text, "", later), fmt.Sprintf(text, key, later))
	expectAdvice(t, fmt.Sprintf(text, key, 1000000000),
		until+": 1000000000 was 2001-09-09T01:46:40Z: the previous key is not tried any more; remove both")
	expectAdvice(t, fmt.Sprintf(text, key, 0))

	const without = "channel.without_namespace."
	channel := func(key, needs, idle, more string) {
		t.Helper()
		text := `{"channel": {"without_namespace": {` + idle + `%s}}}`
		f(without+key, without+needs, fmt.Sprintf(text, ""), fmt.Sprintf(text, more))
	}
	channel("force_recovery_mode", "force_recovery", `"force_recovery_mode": "cache", "history_size": 1, "history_ttl": "60s"`, `, "force_recovery": true`)
	channel("force_push_join_leave", "join_leave", `"force_push_join_leave": true`, `, "join_leave": true`)
	channel("delta_publish", "allowed_delta_types", `"delta_publish": true`, `, "allowed_delta_types": ["fossil"]`)
	f(without+"allow_user_limited_channels", "channel.user_boundary", `{"channel": {"user_boundary": "", "without_namespace": {"allow_user_limited_channels": true}}}`,
		`{"channel": {"without_namespace": {"allow_user_limited_channels": true}}}`)
	expectAdvice(t, `{"channel": {"namespaces": [{"name": "aa", "allow_subscribe_for_client": true, "subscribe_proxy_enabled": true}]}}`,
		"channel.namespaces[0].allow_subscribe_for_client: true has no effect with channel.namespaces[0].subscribe_proxy_enabled: clients cannot ask for these channels")
}
