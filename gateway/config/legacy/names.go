package legacy

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"sluice/gateway/config/schema"
)

const (
	connectHook = "client.proxy.connect."
	refreshHook = "client.proxy.refresh."
	channelHook = "channel.proxy."

	// tlsNames are the keys of a TLS object. Files and texts had keys of their own; one key takes both now.
	tlsNames = "tls=enabled tls_cert=cert_pem tls_cert_pem=cert_pem tls_key=key_pem tls_key_pem=key_pem " +
		"tls_client_ca=client_ca_pem tls_client_ca_pem=client_ca_pem tls_root_ca=server_ca_pem tls_root_ca_pem=server_ca_pem " +
		"tls_server_name=server_name tls_insecure_skip_verify=insecure_skip_verify"

	// entryNames are the options of an entry of "proxies" in version 5, which are those of a hook now.
	entryNames = "endpoint timeout http_headers static_http_headers=http.static_headers " +
		"http_status_to_code_transforms=http.status_to_code_transforms binary_encoding include_connection_meta grpc_metadata"
)

// table says what became of the flat keys of versions 4 and 5, in the order of PROTOCOL 9.2, 8.5 and 10: prefix + name became
// section + name, or section + other for "name=other". A name with several sections sets the option in each. The name "*" stands
// for all that begin with the prefix: keys of parts that Sluice lacks, of which only matters where they went.
var table = []struct{ prefix, sections, names string }{
	{"", "uni_sse.", "uni_sse=enabled"},
	{"uni_sse_", "uni_sse.", "handler_prefix max_request_body_size connect_code_to_http_response"},

	{"", "http_server.", "address port internal_address internal_port tls_external"},
	{"", "http_server.tls.", tlsNames},
	{"", "http_server.", "tls_autocert=tls_autocert.enabled http3=http3.enabled"},
	{"tls_autocert_", "http_server.tls_autocert.", "*"},

	{"", "client.", "allowed_origins allow_anonymous_connect_without_token disallow_anonymous_connection_tokens ping_interval pong_timeout"},
	{"token_", "client.token.", "hmac_secret_key rsa_public_key ecdsa_public_key jwks_public_endpoint audience audience_regex issuer " +
		"issuer_regex user_id_claim"},
	{"", "client.", "separate_subscription_token_config=subscription_token.enabled"},
	{"subscription_token_", "client.subscription_token.", "*"},
	{"client_", "client.", "user_id_http_header insecure insecure_skip_token_signature_verify expired_close_delay expired_sub_close_delay " +
		"stale_close_delay presence_update_interval channel_position_check_delay channel_position_max_time_lag channel_limit " +
		"queue_max_size user_connection_limit connection_limit connection_rate_limit connect_include_server_time " +
		"history_max_publication_limit recovery_max_publication_limit concurrency connect_code_to_unidirectional_disconnect"},
	{"user_", "client.subscribe_to_user_personal_channel.", "subscribe_to_personal=enabled personal_channel_namespace " +
		"personal_single_connection=single_connection"},

	{"proxy_connect_", connectHook, "endpoint timeout"},
	{"proxy_refresh_", refreshHook, "endpoint timeout"},
	{"proxy_", connectHook + " " + refreshHook, "http_headers static_http_headers=http.static_headers " +
		"http_status_code_transforms=http.status_to_code_transforms binary_encoding include_connection_meta grpc_metadata"},
	{"proxy_rpc_", "rpc.proxy.", "endpoint timeout"},
	{"proxy_subscribe_", channelHook + "subscribe.", "endpoint timeout"},
	{"proxy_publish_", channelHook + "publish.", "endpoint timeout"},
	{"proxy_sub_refresh_", channelHook + "sub_refresh.", "endpoint timeout"},
	{"proxy_subscribe_stream_", channelHook + "subscribe_stream.", "endpoint timeout"},
	{"proxy_grpc_", connectHook + "grpc.", "*"},

	{"", "channel.", "namespaces global_history_meta_ttl=history_meta_ttl"},
	{"channel_", "channel.", "max_length private_prefix namespace_boundary user_boundary user_separator"},

	{"api_", "http_api.", "disable=disabled handler_prefix key error_mode external insecure"},
	{"", "", "health=health.enabled prometheus=prometheus.enabled debug=debug.enabled admin=admin.enabled swagger=swagger.enabled " +
		"grpc_api=grpc_api.enabled"},
	{"health_", "health.", "handler_prefix"},
	{"prometheus_", "prometheus.", "handler_prefix instrument_http_handlers"},
	{"debug_", "debug.", "handler_prefix"},
	{"admin_", "admin.", "handler_prefix password secret insecure external web_path web_proxy_address"},
	{"log_", "log.", "level file"},
	{"", "node.", "name node_info_metrics_aggregate_interval=info_metrics_aggregate_interval"},
	{"shutdown_", "shutdown.", "timeout termination_delay=grace"},
	{"", "", "graphite=graphite.enabled opentelemetry=opentelemetry.enabled usage_stats_disable=usage_stats.disabled"},

	{"", "", "engine=engine.type broker=broker.type"},
	{"redis_", "engine.redis.", "address prefix connect_timeout io_timeout db user password client_name force_resp2 cluster_address " +
		"sentinel_address sentinel_user sentinel_password sentinel_master_name sentinel_client_name presence_hash_field_ttl"},
	{"redis_", "engine.redis.tls.", tlsNames},
	{"redis_sentinel_", "engine.redis.sentinel_tls.", tlsNames},
	{"", "engine.redis.", "redis_use_lists=history_use_lists global_presence_ttl=presence_ttl " +
		"global_redis_presence_user_mapping=presence_user_mapping"},
	{"nats_", "broker.nats.", "url prefix dial_timeout write_timeout allow_wildcards raw_mode"},
	{"nats_", "broker.nats.tls.", tlsNames},
	{"nats_raw_mode_", "broker.nats.raw_mode.", "enabled prefix channel_replacements"},

	// Parts that Sluice lacks.
	{"", "", "sse=sse.enabled http_stream=http_stream.enabled webtransport=webtransport.enabled uni_websocket=uni_websocket.enabled " +
		"uni_http_stream=uni_http_stream.enabled uni_grpc=uni_grpc.enabled sockjs=sockjs.enabled websocket_disable=websocket.disabled"},
	{"grpc_api_", "grpc_api.", "*"}, {"swagger_", "swagger.", "*"}, {"uni_websocket_", "uni_websocket.", "*"},
	{"uni_http_stream_", "uni_http_stream.", "*"}, {"uni_grpc_", "uni_grpc.", "*"}, {"websocket_", "websocket.", "*"},
	{"sse_", "sse.", "*"}, {"http_stream_", "http_stream.", "*"}, {"webtransport_", "webtransport.", "*"},
	{"emulation_", "emulation.", "*"}, {"sockjs_", "sockjs.", "*"}, {"rpc_", "rpc.", "*"}, {"graphite_", "graphite.", "*"},
	{"opentelemetry_", "opentelemetry.", "*"}, {"tarantool_", "tarantool.", "*"},
}

// switches are what a flat key turns on when its value is not empty.
var switches = map[string]string{
	"proxy_connect_endpoint": connectHook + "enabled",
	"proxy_refresh_endpoint": refreshHook + "enabled",
	"broker":                 "broker.enabled",
}

// channelNames are the options of namespaces that have another name now.
var channelNames = map[string]string{
	"proxy_subscribe":                      "subscribe_proxy_enabled",
	"proxy_publish":                        "publish_proxy_enabled",
	"proxy_sub_refresh":                    "sub_refresh_proxy_enabled",
	"proxy_subscribe_stream":               "subscribe_stream_proxy_enabled",
	"proxy_subscribe_stream_bidirectional": "subscribe_stream_bidirectional",
}

// name is a flat key and the options that it sets.
type name struct {
	old    string
	to     []string // keys that take its value
	enable string   // switch that a value which is not empty turns on as well, or ""
}

// pairs reads the names of a row: pairs of old and new.
func pairs(text string) [][2]string {
	var all [][2]string
	for _, field := range strings.Fields(text) {
		old, now, other := strings.Cut(field, "=")
		if !other {
			now = old
		}
		all = append(all, [2]string{old, now})
	}
	return all
}

// names returns the table without the prefixes, a name at a time.
var names = sync.OnceValue(func() []name {
	var all []name
	for _, row := range table {
		for _, p := range pairs(row.names) {
			if p[0] == "*" {
				continue
			}
			n := name{old: row.prefix + p[0], enable: switches[row.prefix+p[0]]}
			for _, section := range strings.Split(row.sections, " ") {
				n.to = append(n.to, section+p[1])
			}
			all = append(all, n)
		}
	}
	return all
})

var byName = sync.OnceValue(func() map[string]name {
	all := map[string]name{}
	for _, n := range names() {
		if _, twice := all[n.old]; twice {
			panic("BUG: config: flat key twice: " + n.old)
		}
		all[n.old] = n
	}
	return all
})

// find returns the flat key with this name. Options of channels without namespace are flat keys by their own name.
func find(old string) (name, bool) {
	if n, ok := byName()[old]; ok {
		return n, true
	}
	if now := cmp.Or(channelNames[old], old); isChannelOption(now) {
		return name{old: old, to: []string{schema.WithoutNamespace + now}}, true
	}
	for _, row := range table {
		if rest, ok := strings.CutPrefix(old, row.prefix); ok && rest != "" && row.names == "*" {
			return name{old: old, to: []string{row.sections + rest}}, true
		}
	}
	if base, ok := strings.CutSuffix(old, schema.FileSuffix); ok {
		if n, ok := find(base); ok && schema.TakesFile(n.to[0]) {
			n.old, n.to = old, slices.Clone(n.to)
			for i := range n.to {
				n.to[i] += schema.FileSuffix
			}
			return n, true
		}
	}
	return name{}, false
}

// isChannelOption reports whether key is an option of channels, of ours or of those that we lack. The name of a section is none,
// for those who write all keys flat.
func isChannelOption(key string) bool {
	return schema.ChannelSection().ByName[key] != nil && schema.Root.ByName[key] == nil ||
		slices.ContainsFunc(lackings, func(u lacking) bool { return u.key == "*."+key })
}

// FlatNames returns the flat keys that set the option with this key, in the order of PROTOCOL 9.2; nil if none does.
func FlatNames(key string) []string {
	if option, ok := strings.CutPrefix(key, schema.WithoutNamespace); ok {
		for old, now := range channelNames {
			if now == option {
				return []string{old}
			}
		}
		if !isChannelOption(option) {
			return nil
		}
		return []string{option}
	}
	var all []string
	for _, n := range names() {
		if slices.Contains(n.to, key) {
			all = append(all, n.old)
		}
	}
	return all
}

// Targets returns the options that a flat key sets, nil if it is none.
func Targets(old string) []string {
	if n, ok := byName()[old]; ok { // log_file is no file of log
		return n.to
	}
	return byName()[strings.TrimSuffix(old, schema.FileSuffix)].to
}

// FlagKey returns the option that a flag sets by its name: a dotted key of version 6, a flat name of versions 4 and 5
// ("uni_sse" sets uni_sse.enabled), or one of these with _file after it. ok is false for all else.
func FlagKey(flag string) (key string, ok bool) {
	if schema.FindOption(flag) != nil {
		return flag, true
	}
	if n, ok := find(flag); ok {
		return n.to[0], true
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
// understood as well.
func FlatFlags() []FlatFlag {
	const switches = ` admin admin_external admin_insecure api_external api_insecure client_insecure debug grpc_api health
		http_stream prometheus sse swagger tls tls_external uni_grpc uni_http_stream uni_sse uni_websocket `
	const texts = `address admin_password admin_secret api_key broker engine grpc_api_port internal_address internal_port
		log_file log_level name nats_url port redis_address redis_cluster_address redis_password redis_prefix
		redis_sentinel_address redis_sentinel_master_name redis_sentinel_password tls_cert tls_key token_hmac_secret_key uni_grpc_port`
	var flags []FlatFlag
	for i, text := range []string{switches, texts} {
		for _, flag := range strings.Fields(text) {
			key, ok := FlagKey(flag)
			if !ok {
				panic("BUG: config: no option for the flag " + flag)
			}
			flags = append(flags, FlatFlag{Name: flag, Key: key, Switch: i == 0})
		}
	}
	slices.SortFunc(flags, func(a, b FlatFlag) int { return strings.Compare(a.Name, b.Name) })
	return flags
}
