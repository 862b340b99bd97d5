package config

import (
	"slices"
	"strings"
	"sync"

	"sluice/gateway/config/schema"
)

// This file is the table of the flat keys of versions 4 and 5 (PROTOCOL 9.2, 8.5 and 10) and of what became of them.

// flatKey is one of them. A value that is an object belongs to the section of the same name in version 6 unless whole
// is set, because some names are a switch in the one generation and a section in the other.
type flatKey struct {
	name   string
	to     []string // keys that take its value
	enable string   // switch that a value which is not empty turns on as well
	shape  flatShape
}

// flatShape says which values make a name that is also a section of version 6 a flat key.
type flatShape uint8

const (
	shapeAny    flatShape = iota // the name is no section
	shapeSwitch                  // true or false
	shapeWord                    // a string of letters and digits
)

func move(name string, to ...string) flatKey { return flatKey{name: name, to: to} }

// toggle is a switch whose name is that of its section now.
func toggle(section string) flatKey {
	return flatKey{name: section, to: []string{section + ".enabled"}, shape: shapeSwitch}
}

const (
	connectHook = "client.proxy.connect."
	refreshHook = "client.proxy.refresh."
)

// bothHooks is an option that all hooks share.
func bothHooks(name, to string) flatKey { return move(name, connectHook+to, refreshHook+to) }

func hookEndpoint(name, hook string) flatKey {
	return flatKey{name: name, to: []string{hook + "endpoint"}, enable: hook + "enabled"}
}

// flatTLS returns the keys of a TLS object. Files and texts had keys of their own; one key takes both now.
func flatTLS(prefix, to string) []flatKey {
	return []flatKey{
		move(prefix+"tls", to+"enabled"),
		move(prefix+"tls_cert", to+"cert_pem"), move(prefix+"tls_cert_pem", to+"cert_pem"),
		move(prefix+"tls_key", to+"key_pem"), move(prefix+"tls_key_pem", to+"key_pem"),
		move(prefix+"tls_client_ca", to+"client_ca_pem"), move(prefix+"tls_client_ca_pem", to+"client_ca_pem"),
		move(prefix+"tls_root_ca", to+"server_ca_pem"), move(prefix+"tls_root_ca_pem", to+"server_ca_pem"),
		move(prefix+"tls_server_name", to+"server_name"),
		move(prefix+"tls_insecure_skip_verify", to+"insecure_skip_verify"),
	}
}

// renamed returns keys that only got a section: prefix + name becomes section + name.
func renamed(prefix, section string, names ...string) []flatKey {
	keys := make([]flatKey, 0, len(names))
	for _, name := range names {
		keys = append(keys, move(prefix+name, section+name))
	}
	return keys
}

// flatTable is in the order of PROTOCOL 9.2.
var flatTable = slices.Concat(
	[]flatKey{toggle("uni_sse")},
	renamed("uni_sse_", "uni_sse.", "handler_prefix", "max_request_body_size", "connect_code_to_http_response"),

	renamed("", "http_server.", "address", "port", "internal_address", "internal_port", "tls_external"),
	flatTLS("", "http_server.tls."),
	[]flatKey{move("tls_autocert", "http_server.tls_autocert.enabled"), move("http3", "http_server.http3.enabled")},

	renamed("", "client.", "allowed_origins", "allow_anonymous_connect_without_token", "disallow_anonymous_connection_tokens",
		"ping_interval", "pong_timeout"),
	renamed("token_", "client.token.", "hmac_secret_key", "rsa_public_key", "ecdsa_public_key", "jwks_public_endpoint",
		"audience", "audience_regex", "issuer", "issuer_regex", "user_id_claim"),
	[]flatKey{move("separate_subscription_token_config", "client.subscription_token.enabled")},
	renamed("client_", "client.", "user_id_http_header", "insecure", "insecure_skip_token_signature_verify",
		"expired_close_delay", "expired_sub_close_delay", "stale_close_delay", "presence_update_interval",
		"channel_position_check_delay", "channel_position_max_time_lag", "channel_limit", "queue_max_size",
		"user_connection_limit", "connection_limit", "connection_rate_limit", "connect_include_server_time",
		"history_max_publication_limit", "recovery_max_publication_limit", "concurrency",
		"connect_code_to_unidirectional_disconnect"),
	[]flatKey{
		move("user_subscribe_to_personal", "client.subscribe_to_user_personal_channel.enabled"),
		move("user_personal_channel_namespace", "client.subscribe_to_user_personal_channel.personal_channel_namespace"),
		move("user_personal_single_connection", "client.subscribe_to_user_personal_channel.single_connection"),
	},
	flatHooks,

	renamed("", "channel.", "namespaces"),
	[]flatKey{move("global_history_meta_ttl", "channel.history_meta_ttl")},
	renamed("channel_", "channel.", "max_length", "private_prefix", "namespace_boundary", "user_boundary", "user_separator"),

	[]flatKey{move("api_disable", "http_api.disabled")},
	renamed("api_", "http_api.", "handler_prefix", "key", "error_mode", "external", "insecure"),
	[]flatKey{toggle("health"), toggle("prometheus"), toggle("debug"), toggle("admin"), toggle("swagger"), toggle("grpc_api")},
	renamed("health_", "health.", "handler_prefix"),
	renamed("prometheus_", "prometheus.", "handler_prefix", "instrument_http_handlers"),
	renamed("debug_", "debug.", "handler_prefix"),
	renamed("admin_", "admin.", "handler_prefix", "password", "secret", "insecure", "external", "web_path", "web_proxy_address"),
	renamed("log_", "log.", "level", "file"),
	[]flatKey{
		move("name", "node.name"),
		move("node_info_metrics_aggregate_interval", "node.info_metrics_aggregate_interval"),
		move("shutdown_timeout", "shutdown.timeout"),
		move("shutdown_termination_delay", "shutdown.grace"),
		toggle("graphite"), toggle("opentelemetry"),
		move("usage_stats_disable", "usage_stats.disabled"),
	},
	flatEngines,

	// Parts that Sluice lacks.
	[]flatKey{
		toggle("sse"), toggle("http_stream"), toggle("webtransport"), toggle("uni_websocket"), toggle("uni_http_stream"),
		toggle("uni_grpc"), toggle("sockjs"), move("websocket_disable", "websocket.disabled"),
	},
)

var flatHooks = []flatKey{
	hookEndpoint("proxy_connect_endpoint", connectHook),
	move("proxy_connect_timeout", connectHook+"timeout"),
	hookEndpoint("proxy_refresh_endpoint", refreshHook),
	move("proxy_refresh_timeout", refreshHook+"timeout"),
	bothHooks("proxy_http_headers", "http_headers"),
	bothHooks("proxy_static_http_headers", "http.static_headers"),
	bothHooks("proxy_http_status_code_transforms", "http.status_to_code_transforms"),
	bothHooks("proxy_binary_encoding", "binary_encoding"),
	bothHooks("proxy_include_connection_meta", "include_connection_meta"),
	bothHooks("proxy_grpc_metadata", "grpc_metadata"),
	move("proxy_rpc_endpoint", "rpc.proxy.endpoint"),
	move("proxy_rpc_timeout", "rpc.proxy.timeout"),
	move("proxy_subscribe_endpoint", "channel.proxy.subscribe.endpoint"),
	move("proxy_subscribe_timeout", "channel.proxy.subscribe.timeout"),
	move("proxy_publish_endpoint", "channel.proxy.publish.endpoint"),
	move("proxy_publish_timeout", "channel.proxy.publish.timeout"),
	move("proxy_sub_refresh_endpoint", "channel.proxy.sub_refresh.endpoint"),
	move("proxy_sub_refresh_timeout", "channel.proxy.sub_refresh.timeout"),
	move("proxy_subscribe_stream_endpoint", "channel.proxy.subscribe_stream.endpoint"),
	move("proxy_subscribe_stream_timeout", "channel.proxy.subscribe_stream.timeout"),
}

var flatEngines = slices.Concat(
	[]flatKey{
		{name: "engine", to: []string{"engine.type"}, shape: shapeWord},
		{name: "broker", to: []string{"broker.type"}, enable: "broker.enabled", shape: shapeWord},
	},
	renamed("redis_", "engine.redis.", "address", "prefix", "connect_timeout", "io_timeout", "db", "user", "password",
		"client_name", "force_resp2", "cluster_address", "sentinel_address", "sentinel_user", "sentinel_password",
		"sentinel_master_name", "sentinel_client_name", "presence_hash_field_ttl"),
	flatTLS("redis_", "engine.redis.tls."),
	flatTLS("redis_sentinel_", "engine.redis.sentinel_tls."),
	[]flatKey{
		move("redis_use_lists", "engine.redis.history_use_lists"),
		move("global_presence_ttl", "engine.redis.presence_ttl"),
		move("global_redis_presence_user_mapping", "engine.redis.presence_user_mapping"),
	},
	renamed("nats_", "broker.nats.", "url", "prefix", "dial_timeout", "write_timeout", "allow_wildcards", "raw_mode"),
	flatTLS("nats_", "broker.nats.tls."),
	renamed("nats_raw_mode_", "broker.nats.raw_mode.", "enabled", "prefix", "channel_replacements"),
)

// flatPrefixes are the keys of parts that Sluice lacks: all that is known of them is where they went.
var flatPrefixes = []struct{ prefix, to string }{
	{"tls_autocert_", "http_server.tls_autocert."}, {"subscription_token_", "client.subscription_token."},
	{"proxy_grpc_", connectHook + "grpc."}, {"grpc_api_", "grpc_api."}, {"swagger_", "swagger."},
	{"uni_websocket_", "uni_websocket."}, {"uni_http_stream_", "uni_http_stream."}, {"uni_grpc_", "uni_grpc."},
	{"websocket_", "websocket."}, {"sse_", "sse."}, {"http_stream_", "http_stream."}, {"webtransport_", "webtransport."},
	{"emulation_", "emulation."}, {"sockjs_", "sockjs."}, {"rpc_", "rpc."}, {"graphite_", "graphite."},
	{"opentelemetry_", "opentelemetry."}, {"tarantool_", "tarantool."},
}

// flatChannelNames are the options of namespaces that have another name now.
var flatChannelNames = map[string]string{
	"proxy_subscribe":                      "subscribe_proxy_enabled",
	"proxy_publish":                        "publish_proxy_enabled",
	"proxy_sub_refresh":                    "sub_refresh_proxy_enabled",
	"proxy_subscribe_stream":               "subscribe_stream_proxy_enabled",
	"proxy_subscribe_stream_bidirectional": "subscribe_stream_bidirectional",
}

// flatEntryNames are the options of an entry of "proxies" in version 5, and what they are in a hook now.
var flatEntryNames = map[string]string{
	"endpoint": "endpoint", "timeout": "timeout", "http_headers": "http_headers",
	"static_http_headers":            "http.static_headers",
	"http_status_to_code_transforms": "http.status_to_code_transforms",
	"binary_encoding":                "binary_encoding",
	"include_connection_meta":        "include_connection_meta",
	"grpc_metadata":                  "grpc_metadata",
}

// flatChannelName returns the flat key of an option of channels without namespace.
func flatChannelName(name string) string {
	for old, now := range flatChannelNames {
		if now == name {
			return old
		}
	}
	return name
}

const withoutNamespace = schema.WithoutNamespace

var flatByName = sync.OnceValue(func() map[string]flatKey {
	all := make(map[string]flatKey, len(flatTable))
	for _, k := range flatTable {
		if _, twice := all[k.name]; twice {
			panic("BUG: config: flat key twice: " + k.name)
		}
		all[k.name] = k
	}
	return all
})

// findFlat returns the flat key with this name. Options of channels without namespace are flat keys by their own name.
func findFlat(name string) (flatKey, bool) {
	if k, ok := flatByName()[name]; ok {
		return k, true
	}
	if now := flatChannelNames[name]; now != "" {
		return move(name, withoutNamespace+now), true
	}
	if isChannelOption(name) {
		return move(name, withoutNamespace+name), true
	}
	for _, p := range flatPrefixes {
		if rest, ok := strings.CutPrefix(name, p.prefix); ok && rest != "" {
			return move(name, p.to+rest), true
		}
	}
	if base, ok := strings.CutSuffix(name, schema.FileSuffix); ok {
		if k, ok := findFlat(base); ok && len(k.to) > 0 && schema.TakesFile(k.to[0]) {
			k.name = name
			k.to = slices.Clone(k.to)
			for i := range k.to {
				k.to[i] += schema.FileSuffix
			}
			return k, true
		}
	}
	return flatKey{}, false
}

// isChannelOption reports whether name is an option of channels, of ours or of those that we lack.
func isChannelOption(name string) bool {
	if schema.ChannelSection().ByName[name] != nil {
		return true
	}
	return slices.ContainsFunc(lackings, func(u lacking) bool { return u.key == "*."+name })
}

// FlagKey returns the option that a flag sets by its name: a dotted key of version 6, a flat name of versions 4 and 5
// ("uni_sse" sets uni_sse.enabled), or one of these with _file after it. ok is false for all else. Source.Flags takes
// the name as it is, whichever form it has; the key is for help texts.
func FlagKey(name string) (key string, ok bool) {
	if f, _ := schema.FindOption(name); f != nil {
		return name, true
	}
	if k, ok := findFlat(name); ok {
		return k.to[0], true
	}
	return "", false
}

// FlatFlag is a flag of the command line of versions 4 and 5.
type FlatFlag struct {
	Name   string // without dashes
	Key    string // the option that it sets
	Switch bool   // a boolean flag, which needs no value
}

// FlatFlags returns the flags that versions 4 and 5 had under a flat name, sorted by name. All other flat names are
// understood by Source.Flags as well.
func FlatFlags() []FlatFlag {
	switches := strings.Fields(`admin admin_external admin_insecure api_external api_insecure client_insecure debug grpc_api health
		http_stream prometheus sse swagger tls tls_external uni_grpc uni_http_stream uni_sse uni_websocket`)
	texts := strings.Fields(`address admin_password admin_secret api_key broker engine grpc_api_port internal_address internal_port
		log_file log_level name nats_url port redis_address redis_cluster_address redis_password redis_prefix
		redis_sentinel_address redis_sentinel_master_name redis_sentinel_password tls_cert tls_key token_hmac_secret_key uni_grpc_port`)
	flags := make([]FlatFlag, 0, len(switches)+len(texts))
	for _, name := range slices.Sorted(slices.Values(slices.Concat(switches, texts))) {
		key, ok := FlagKey(name)
		if !ok {
			panic("BUG: config: no option for the flag " + name)
		}
		flags = append(flags, FlatFlag{Name: name, Key: key, Switch: slices.Contains(switches, name)})
	}
	return flags
}
