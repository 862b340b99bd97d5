package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestUnknownKeysAreNamedWithASuggestion(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		require.Equal(t, want, warningsOf(t, text))
	}
	f(`{"uni_ssee": {}}`, `file config.json:1: uni_ssee: unknown key, ignored; did you mean uni_sse?`)
	f("{\n\"client\": {\n\"tokne\": {}}}", `file config.json:3: client.tokne: unknown key, ignored; did you mean client.token?`)
	f(`{"client": {"token": {"hmac_secret_kye": "s"}}}`,
		`file config.json:1: client.token.hmac_secret_kye: unknown key, ignored; did you mean client.token.hmac_secret_key?`)
	f(`{"channel": {"namespaces": [{"name": "news", "history_sise": 1}]}}`,
		`file config.json:1: channel.namespaces[0].history_sise: unknown key, ignored; did you mean channel.namespaces[0].history_size?`)
	f(`{"client": {"hmac_secret_key": "s"}}`, `file config.json:1: client.hmac_secret_key: unknown key, ignored; did you mean client.token.hmac_secret_key?`)
	f(`{"zzzzzz": 1}`, `file config.json:1: zzzzzz: unknown key, ignored`)
	f(`{"uni_sse.retry": "0"}`, `file config.json:1: uni_sse.retry: unknown key, ignored: a dot does not nest; did you mean "uni_sse": {"retry": ...}?`)
}

func TestKeysAreFoundInAnyCase(t *testing.T) {
	c, _ := mustLoad(t, fromJSON(`{"HTTP_Server": {"PORT": 5}}`))
	require.Equal(t, 5, c.HTTPServer.Port)
}

func TestNullLeavesTheDefault(t *testing.T) {
	c, rep := mustLoad(t, fromJSON(`{"client": null, "http_server": {"port": null}, "channel": {"namespaces": null}}`))
	require.Equal(t, Default(), c)
	require.False(t, rep.IsSet("http_server.port"))
}

func TestAKeyGivenTwiceIsNamed(t *testing.T) {
	c, rep := mustLoad(t, fromJSON("{\"pid_file\": \"a\",\n\"pid_file\": \"b\", "+quiet+"}"))
	require.Equal(t, "b", c.PIDFile)
	require.Equal(t, []string{"file config.json:2: pid_file: given twice; the last one counts"}, rep.Warnings)
}

func TestWrongTypesAreRefused(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, _, err := fromJSON(text).load()
		require.EqualError(t, err, "config: file config.json:1: "+want)
	}
	f(`{"uni_sse": 1}`, `uni_sse: 1 is not an object: allowed an object such as {"enabled": true, ...}`)
	f(`{"channel": 5}`, `channel: 5 is not an object: allowed an object such as {...}`)
	f(`{"channel": {"namespaces": {}}}`, `channel.namespaces: an object is not a list of objects: allowed a list such as [{...}]`)
	f(`{"channel": {"namespaces": ["news"]}}`, `channel.namespaces[0]: "news" is not an object: allowed an object such as {...}`)
	f(`{"uni_sse": {"enabled": "true"}}`, `uni_sse.enabled: "true" is not a boolean: allowed true, false (in the environment also 1, 0)`)
	f(`{"uni_sse": {"enabled": 1}}`, `uni_sse.enabled: 1 is not a boolean: allowed true, false (in the environment also 1, 0)`)
	f(`{"pid_file": 1}`, `pid_file: 1 is not a string (put it in quotes): allowed a string`)
	f(`{"client": {"channel_limit": "128"}}`, `client.channel_limit: "128" is not a whole number: allowed 0 or more`)
	f(`{"client": {"channel_limit": 1.5}}`, `client.channel_limit: 1.5 is not a whole number: allowed 0 or more`)
	f(`{"client": {"channel_limit": -1}}`, `client.channel_limit: -1 is out of range: allowed 0 or more`)
	f(`{"client": {"channel_limit": 1e30}}`, `client.channel_limit: 1e30 is out of range: allowed 0 or more`)
	f(`{"client": {"queues_max_total": 5}}`, `client.queues_max_total: 5 is out of range: allowed 1048576 or more (bytes)`)
	f(`{"http_server": {"max_head_size": 1}}`, `http_server.max_head_size: 1 is out of range: allowed 4096-1048576 (bytes)`)
	f(`{"http_server": {"port": -1}}`, `http_server.port: -1 is not a port: allowed 0-65535`)
	f(`{"http_server": {"port": 65536}}`, `http_server.port: 65536 is not a port: allowed 0-65535`)
	f(`{"http_server": {"port": "abc"}}`, `http_server.port: "abc" is not a port: allowed 0-65535`)
	f(`{"http_server": {"port": true}}`, `http_server.port: true is not a port: allowed 0-65535`)
	f(`{"http_server": {"internal_port": "9 9"}}`, `http_server.internal_port: "9 9" is not a port: allowed 0-65535`)
	f(`{"client": {"allowed_origins": "*"}}`, `client.allowed_origins: "*" is not a list of strings: allowed a list of strings`)
	f(`{"client": {"allowed_origins": [1]}}`, `client.allowed_origins: 1 is not a string (put it in quotes): allowed a list of strings`)
	f(`{"uni_sse": {"framing": "chunky"}}`, `uni_sse.framing: "chunky" is unknown: allowed "chunked", "close"`)
	f(`{"uni_sse": {"shed": ""}}`, `uni_sse.shed: "" is unknown: allowed "retry", "status"`)
	f(`{"engine": {"type": "tarantool"}}`, `engine.type: "tarantool" is unknown: allowed "memory", "redis"`)
	f(`{"broker": {"type": "postgres"}}`, `broker.type: "postgres" is unknown: allowed "memory", "nats", "redis"`)
	f(`{"presence_manager": {"type": "etcd"}}`, `presence_manager.type: "etcd" is unknown: allowed "memory", "nats", "redis"`)
	f(`{"log": {"level": "loud"}}`, `log.level: "loud" is unknown: allowed "debug", "error", "fatal", "info", "none", "trace", "warn"`)
	f(`{"http_api": {"error_mode": "http"}}`, `http_api.error_mode: "http" is unknown: allowed "", "transport"`)
	f(`{"channel": {"publication_data_format": "xml"}}`, `channel.publication_data_format: "xml" is unknown: allowed "", "binary", "json", "json_object"`)
	f(`{"channel": {"without_namespace": {"force_recovery_mode": "all"}}}`,
		`channel.without_namespace.force_recovery_mode: "all" is unknown: allowed "", "cache", "stream"`)
	f(`{"channel": {"without_namespace": {"allowed_delta_types": ["fossil", "xdelta"]}}}`,
		`channel.without_namespace.allowed_delta_types: "xdelta" is unknown: allowed "fossil"`)
	f(`{"channel": {"without_namespace": {"slow_policy": "block"}}}`,
		`channel.without_namespace.slow_policy: "block" is unknown: allowed "disconnect", "drop_oldest"`)
	f(`{"channel": {"without_namespace": {"subscription_type": "x"}}}`,
		`channel.without_namespace.subscription_type: "x" is unknown: allowed "map", "map_clients", "map_users", "shared_poll", "stream"`)
	f(`{"broker": {"nats": {"raw_mode": {"channel_replacements": {":": 1}}}}}`,
		`broker.nats.raw_mode.channel_replacements: value of ":": 1 is not a string (put it in quotes): allowed an object of strings`)
}

func TestNumbersAndPortsInOtherForms(t *testing.T) {
	c, _ := mustLoad(t, fromJSON(`{"http_server": {"port": "0", "internal_port": 9000}, "client": {"queue_max_size": 2e6, "recovery_max_publication_limit": -1}}`))
	require.Equal(t, 0, c.HTTPServer.Port)
	require.Equal(t, "9000", c.HTTPServer.InternalPort)
	require.Equal(t, 2000000, c.Client.QueueMaxSize)
	require.Equal(t, -1, c.Client.RecoveryMaxPublicationLimit)
}

func TestOneAddressMayStandForAList(t *testing.T) {
	c, _ := mustLoad(t, fromJSON(`{"engine": {"redis": {"address": "h:1"}}}`))
	require.Equal(t, []string{"h:1"}, c.Engine.Redis.Address)
}

func TestDurations(t *testing.T) {
	ok := func(value string, want time.Duration) {
		t.Helper()
		c, _ := mustLoad(t, fromJSON(`{"client": {"channel_position_max_time_lag": `+value+`}}`))
		require.Equal(t, want, c.Client.ChannelPositionMaxTimeLag)
	}
	ok(`"300ms"`, 300*time.Millisecond)
	ok(`" 1h "`, time.Hour)
	ok(`0`, 0)
	ok(`"0"`, 0)
	ok(`0.0`, 0)

	bad := func(value, want string) {
		t.Helper()
		_, _, err := fromJSON(`{"client": {"channel_position_max_time_lag": ` + value + `}}`).load()
		require.EqualError(t, err, "config: file config.json:1: client.channel_position_max_time_lag: "+want)
	}
	const allowed = `: allowed a duration such as "300ms", "25s" or "12h", not negative`
	bad(`25`, `25 is a bare number; write "25s"`)
	bad(`"25"`, `25 is a bare number; write "25s"`)
	bad(`1.5`, `1.5 is a bare number; write "1.5s"`)
	bad(`25000000000`, `25000000000 is a bare number; write "25s"`)
	bad(`1e300`, `1e300 is a bare number; write "25s"`)
	bad(`-1`, `-1 is a bare number; write "-1s"`)
	bad(`"-1s"`, `"-1s" is out of range`+allowed)
	bad(`"1d"`, `"1d" is not a duration`+allowed)
	bad(`""`, `"" is not a duration`+allowed)
	bad(`"NaN"`, `"NaN" is not a duration`+allowed)
	bad(`true`, `true is not a duration`+allowed)
}

func TestNegativePingIntervalIsOff(t *testing.T) {
	for _, value := range []string{`-1`, `"-1"`, `"-1s"`, `-2`} {
		c, _ := mustLoad(t, fromJSON(`{"client": {"ping_interval": `+value+`, "pong_timeout": -2}}`))
		require.Negative(t, c.Client.PingInterval, value)
	}
	_, _, err := fromJSON(`{"client": {"ping_interval": "-Inf"}}`).load()
	require.ErrorContains(t, err, `client.ping_interval: "-Inf" is not a duration`)
}

func TestZeroStandsForTheDefaultWhereDocumented(t *testing.T) {
	c, _ := mustLoad(t, fromJSON(`{"client": {"ping_interval": 0, "channel_limit": 0, "queue_max_size": 0, "stale_close_delay": "0s"}, "channel": {"max_length": 0}}`))
	require.Equal(t, Default(), c)
}

func TestRetryRange(t *testing.T) {
	ok := func(value, min, max, text string) {
		t.Helper()
		c, _ := mustLoad(t, fromJSON(`{"uni_sse": {"retry": `+value+`}}`))
		lo, _ := time.ParseDuration(min)
		hi, _ := time.ParseDuration(max)
		require.Equal(t, DurationRange{Min: lo, Max: hi}, c.UniSSE.Retry)
		require.Equal(t, text, c.UniSSE.Retry.String())
	}
	ok(`"3s-9s"`, "3s", "9s", "3s-9s")
	ok(`" 500ms - 1m "`, "500ms", "1m", "500ms-1m0s")
	ok(`"5s"`, "5s", "5s", "5s")
	ok(`"0"`, "0", "0", "0")
	ok(`0`, "0", "0", "0")
	ok(`"0s"`, "0", "0", "0")

	bad := func(value, want string) {
		t.Helper()
		_, _, err := fromJSON(`{"uni_sse": {"retry": ` + value + `}}`).load()
		require.ErrorContains(t, err, "uni_sse.retry: "+want)
	}
	bad(`"9s-3s"`, `"9s-3s" is not a range of durations: allowed a range such as "3s-9s"`)
	bad(`"3-9"`, `3 is a bare number; write "3s"`)
	bad(`3`, `3 is a bare number; write "3s"`)
	for _, value := range []string{`"-3s"`, `"1s-2h"`, `"0s-5s"`, `"1us"`, `"x"`, `""`, `true`, `[]`, `{}`, `"1s-2s-3s"`, `-1`} {
		_, _, err := fromJSON(`{"uni_sse": {"retry": ` + value + `}}`).load()
		require.ErrorContains(t, err, "is not a range of durations")
	}
}

func TestOptionsThatSluiceLacks(t *testing.T) {
	const no = "not supported, ignored: "
	f := func(text, want string) {
		t.Helper()
		got := warningsOf(t, text)
		if want == "" {
			require.Empty(t, got, text)
			return
		}
		require.Equal(t, "file config.json:1: "+want, got)
	}
	f(`{"websocket": {}}`, `websocket: `+no+`there is no WebSocket transport`)
	f(`{"websocket": {"disabled": true, "compression": true}}`, "")
	f(`{"sse": {"enabled": true}}`, `sse: `+no+`there is no bidirectional SSE; uni_sse is what Sluice serves`)
	f(`{"sse": true}`, `sse: `+no+`there is no bidirectional SSE; uni_sse is what Sluice serves`)
	f(`{"consumers": [{"name": "x"}]}`, `consumers: `+no+`there are no consumers of queues`)
	f(`{"consumers": []}`, "")
	f(`{"proxies": [{"name": "x"}]}`, `proxies: `+no+`hooks of channels belong to bidirectional clients`)
	f(`{"rpc": {"namespaces": [{"name": "x"}]}}`, `rpc: `+no+`streams have no calls from the client`)
	f(`{"rpc": {"namespaces": [], "ping": false, "x": {"y": 0}}}`, "")
	f(`{"http_server": {"tls_autocert": {"enabled": true}}}`,
		`http_server.tls_autocert: `+no+`there is no ACME; set http_server.tls, or the connections are not encrypted`)
	f(`{"http_server": {"tls_autocert": {"enabled": false, "http_addr": ":80"}, "h2c_external": false, "http3": {"enabled": false}}}`, "")
	f(`{"http_server": {"h2c_external": true}}`, `http_server.h2c_external: `+no+`there is no HTTP/2`)
	f(`{"usage_stats": {"disabled": false}, "enable_unreleased_features": true}`, "")
	f(`{"client": {"subscription_token": {"enabled": true, "hmac_secret_key": "x"}, "concurrency": 0}}`, "")
	f(`{"client": {"concurrency": 8}}`, `client.concurrency: `+no+`of bidirectional clients`)
	f(`{"channel": {"namespaces": [{"name": "aa", "subscribe_proxy_name": "gate"}]}}`,
		`channel.namespaces[0].subscribe_proxy_name: `+no+`no hook is asked who may subscribe; with subscribe_proxy_enabled clients cannot ask for these channels at all`)
	f(`{"channel": {"namespaces": [{"name": "aa", "publish_proxy_name": "gate"}]}}`,
		`channel.namespaces[0].publish_proxy_name: `+no+`hooks of channels belong to bidirectional clients`)
	f(`{"client": {"proxy": {"connect": {"grpc": {"compression": true}}}}}`, `client.proxy.connect.grpc: `+no+`hooks are called over HTTP`)
	f(`{"client": {"proxy": {"connect": {"grpc": {"tls": {"enabled": false}}, "grpc_metadata": []}}}}`, "")
	f(`{"engine": {"redis": {"replica_client": {"enabled": true}}}}`, `engine.redis.replica_client: `+no+`everything is read from masters`)
	f(`{"channel": {"proxy": {"subscribe": {"endpoint": "http://x"}}}}`, `channel.proxy: `+no+`hooks of channels belong to bidirectional clients`)
	f(`{"channel": {"without_namespace": {"allow_history_for_client": true}}}`,
		`channel.without_namespace.allow_history_for_client: `+no+`clients of streams cannot ask for history`)
	f(`{"channel": {"namespaces": [{"name": "aa", "publish_proxy_enabled": true, "allow_publish_for_client": false}]}}`,
		`channel.namespaces[0].publish_proxy_enabled: `+no+`hooks of channels belong to bidirectional clients`)
	f(`{"channel": {"namespaces": [{"name": "aa", "allow_recovery": true, "subscribe_proxy_name": "default", "allow_tags_filter": true}]}}`, "")
	for _, section := range []string{
		"http_stream", "webtransport", "uni_websocket", "uni_http_stream", "uni_grpc", "grpc_api", "swagger", "graphite", "opentelemetry",
	} {
		require.Contains(t, warningsOf(t, `{"`+section+`": {"enabled": true}}`), section+": "+no)
		require.Empty(t, warningsOf(t, `{"`+section+`": {"enabled": false, "port": 1}}`))
	}
	for _, section := range []string{"emulation", "map_broker", "shared_poll", "controller"} {
		require.Contains(t, warningsOf(t, `{"`+section+`": {"type": "x"}}`), section+": "+no)
	}
}

func TestVariablesThatSluiceLacks(t *testing.T) {
	f := func(entry string, want bool) {
		t.Helper()
		_, rep := mustLoad(t, given{env: []string{entry}, flags: quietFlags()})
		require.Equal(t, want, len(rep.Warnings) == 2, "%v", rep.Warnings)
		if want {
			require.Contains(t, rep.Warnings[1], "not supported, ignored: ")
		}
	}
	f("CENTRIFUGO_SSE_ENABLED=true", true)
	f("CENTRIFUGO_SSE_ENABLED=false", false)
	f("CENTRIFUGO_SSE_HANDLER_PREFIX=/x", false)
	f("CENTRIFUGO_WEBSOCKET_DISABLED=true", false)
	f("CENTRIFUGO_WEBSOCKET_DISABLED=false", true)
	f("CENTRIFUGO_WEBSOCKET_COMPRESSION=true", true)
	f("CENTRIFUGO_USAGE_STATS_DISABLED=true", false)
	f("CENTRIFUGO_USAGE_STATS_DISABLED=false", false)
	f("CENTRIFUGO_CONSUMERS=[{}]", true)
	f("CENTRIFUGO_PROXIES_X_ENDPOINT=http://x", true)
	f("SLUICE_HTTP_SERVER_HTTP3_ENABLED=1", true)
	f("CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_ALLOW_PUBLISH_FOR_CLIENT=1", true)
}
