package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
)

// switchedOn says when an option that Sluice lacks deserves a warning.
type switchedOn uint8

const (
	onEnabled   switchedOn = iota + 1 // its "enabled" is true, or it is true itself
	onUnlessOff                       // it is there and its "disabled" is not true
	onValue                           // it holds anything but false, zero and empty values
	onNamed                           // it names something of your own: not empty, and not "default"
	onNever                           // without it nothing is missing: ignored quietly
)

// defaultHook is the hook of channels that need not be named.
const defaultHook = "default"

// lacking is an option or section of the reference that Sluice does not have (PROTOCOL 12.44).
type lacking struct {
	key string // dotted; "*." in front = an option of channel.without_namespace and of namespaces
	on  switchedOn
	why string
}

var lackings = []lacking{
	// Transports and what belongs to them.
	{"websocket", onUnlessOff, "there is no WebSocket transport"},
	{"sse", onEnabled, "there is no bidirectional SSE; uni_sse is what Sluice serves"},
	{"http_stream", onEnabled, "there is no HTTP streaming transport"},
	{"webtransport", onEnabled, "there is no WebTransport"},
	{"uni_websocket", onEnabled, "there is no WebSocket transport"},
	{"uni_http_stream", onEnabled, "there is no HTTP streaming transport"},
	{"uni_grpc", onEnabled, "there is no gRPC transport"},
	{"sockjs", onEnabled, "there is no SockJS transport"},
	{"emulation", onValue, "there are no bidirectional transports"},
	{"rpc", onValue, "streams have no calls from the client"},
	{"http_server.tls_autocert", onEnabled, "there is no ACME; set http_server.tls, or the connections are not encrypted"},
	{"http_server.h2c_external", onValue, "there is no HTTP/2"},
	{"http_server.http3", onEnabled, "there is no HTTP/3"},

	// API, operations.
	{"grpc_api", onEnabled, "there is no gRPC API; use http_api"},
	{"consumers", onValue, "there are no consumers of queues"},
	{"swagger", onEnabled, "there are no API pages"},
	{"graphite", onEnabled, "there is no export to Graphite; use prometheus"},
	{"opentelemetry", onEnabled, "there is no tracing"},
	{"usage_stats", onNever, "Sluice sends no statistics"},
	{"dev", onEnabled, "use the flag --dev"},
	{"enable_unreleased_features", onNever, ""},
	{"prometheus.recovered_publications_histogram", onValue, "there is no such metric"},
	{"prometheus.native_histograms", onValue, "histograms are classic ones"},
	{"admin.web_path", onValue, "the web pages are built in"},
	{"admin.web_proxy_address", onValue, "the web pages are built in"},

	// Engines.
	{"tarantool", onNever, "there is no Tarantool engine; engine.type says so"},
	{"map_broker", onValue, "there are no map channels"},
	{"shared_poll", onValue, "there are no shared polls"},
	{"controller", onValue, "nodes talk over the broker"},
	{"broker.postgres", onValue, "there is no such broker"},
	{"broker.redisnats", onValue, "there is no such broker"},
	{"engine.redis.replica_client", onEnabled, "everything is read from the primary"},
	{"broker.redis.replica_client", onEnabled, "everything is read from the primary"},
	{"presence_manager.redis.replica_client", onEnabled, "everything is read from the primary"},

	// Client.
	{"client.concurrency", onValue, "of bidirectional clients"},
	{"client.subscription_token", onNever, "of bidirectional clients"},
	{"client.proxy.connect.grpc", onValue, "hooks are called over HTTP"},
	{"client.proxy.refresh.grpc", onValue, "hooks are called over HTTP"},
	{"client.proxy.connect.grpc_metadata", onValue, "hooks are called over HTTP"},
	{"client.proxy.refresh.grpc_metadata", onValue, "hooks are called over HTTP"},

	// Channels.
	{"proxies", onValue, "hooks of channels belong to bidirectional clients"},
	{"channel.proxy", onValue, "hooks of channels belong to bidirectional clients"},
	{"*.allow_recovery", onNever, "of bidirectional clients; see force_recovery"},
	{"*.allow_positioning", onNever, "of bidirectional clients; see force_positioning"},
	{"*.allow_tags_filter", onNever, "of bidirectional clients"},
	{"*.subscribe_proxy_name", onNamed, "no hook is asked who may subscribe; with subscribe_proxy_enabled clients cannot ask for these channels at all"},
	{"*.publish_proxy_name", onNamed, "hooks of channels belong to bidirectional clients"},
	{"*.sub_refresh_proxy_name", onNamed, "hooks of channels belong to bidirectional clients"},
	{"*.subscribe_stream_proxy_name", onNamed, "hooks of channels belong to bidirectional clients"},
	{"*.subscribe_stream_bidirectional", onValue, "of bidirectional clients"},
	{"*.subscribe_stream_proxy_enabled", onValue, "hooks of channels belong to bidirectional clients"},
	{"*.publish_proxy_enabled", onValue, "hooks of channels belong to bidirectional clients"},
	{"*.sub_refresh_proxy_enabled", onValue, "hooks of channels belong to bidirectional clients"},
	{"*.allow_publish_for_client", onValue, "clients of streams cannot publish"},
	{"*.allow_publish_for_subscriber", onValue, "clients of streams cannot publish"},
	{"*.allow_publish_for_anonymous", onValue, "clients of streams cannot publish"},
	{"*.allow_presence_for_client", onValue, "clients of streams cannot ask for presence"},
	{"*.allow_presence_for_subscriber", onValue, "clients of streams cannot ask for presence"},
	{"*.allow_presence_for_anonymous", onValue, "clients of streams cannot ask for presence"},
	{"*.allow_history_for_client", onValue, "clients of streams cannot ask for history"},
	{"*.allow_history_for_subscriber", onValue, "clients of streams cannot ask for history"},
	{"*.allow_history_for_anonymous", onValue, "clients of streams cannot ask for history"},
	{"*.map", onValue, "there are no map channels"},
	{"*.map_clients_presence_channel_prefix", onValue, "there are no map channels"},
	{"*.map_users_presence_channel_prefix", onValue, "there are no map channels"},
	{"*.shared_poll", onValue, "there are no shared polls"},
}

// unsupported handles a key that is no option of ours. It warns if the option is switched on and missed, and reports
// whether the key is known at all.
func (l *loader) unsupported(in input, key string, n *source.Node) bool {
	for _, u := range lackings {
		inside, ok := insideOf(key, u.key)
		if !ok {
			continue
		}
		if inside != "" {
			// A flag or a single value from inside the section: put it back where it stands.
			for _, name := range slices.Backward(strings.Split(inside, ".")) {
				n = &source.Node{Value: &source.Object{Members: []source.Member{{Key: name, Value: n}}}, Line: n.Line}
			}
		}
		if u.isOn(n) {
			l.note(in.at(n.Line), key, report.KindUnsupported, "not supported, ignored: "+u.why, "")
		}
		return true
	}
	return false
}

// insideOf reports whether key is the option pattern or inside of it; rest is its path in there.
func insideOf(key, pattern string) (rest string, ok bool) {
	if option, isNS := strings.CutPrefix(pattern, "*."); isNS {
		after, found := strings.CutPrefix(key, "channel.without_namespace.")
		if !found {
			if after, found = strings.CutPrefix(key, schema.NamespacesKey+"["); found {
				_, after, found = strings.Cut(after, "].")
			}
		}
		if !found {
			return "", false
		}
		key, pattern = after, option
	}
	if key == pattern {
		return "", true
	}
	return strings.CutPrefix(key, pattern+".")
}

// unsupportedEnv is unsupported for an environment variable; rest is its name without the prefix.
func (l *loader) unsupportedEnv(name, rest, value string) bool {
	for _, u := range lackings {
		for _, env := range l.lackingEnvs(u) {
			inside, ok := strings.CutPrefix(rest, env)
			if !ok || inside != "" && inside[0] != '_' {
				continue
			}
			on := truthy(value)
			switch {
			case u.on == onNever || u.on == onNamed && value == defaultHook:
				on = false
			case inside == "_DISABLED":
				on = !on
			case u.on == onEnabled:
				on = on && (inside == "" || inside == "_ENABLED")
			}
			if on {
				l.note(source.Place{Origin: "env " + name}, "", report.KindUnsupported, "not supported, ignored: "+u.why, "")
			}
			return true
		}
	}
	return false
}

// lackingEnvs returns the variable names, without prefix, of an option that we lack.
func (l *loader) lackingEnvs(u lacking) []string {
	option, isNS := strings.CutPrefix(u.key, "*.")
	if !isNS {
		return []string{schema.EnvName("", strings.ReplaceAll(u.key, ".", "_"))}
	}
	envs := []string{schema.EnvName("CHANNEL_WITHOUT_NAMESPACE", option)}
	for _, ns := range l.cfg.Channel.Namespaces {
		envs = append(envs, schema.EnvName(schema.NamespaceEnv(ns.Name), option))
	}
	return envs
}

func truthy(text string) bool {
	if b, err := strconv.ParseBool(text); err == nil {
		return b
	}
	return text != ""
}

func (u lacking) isOn(n *source.Node) bool {
	o, isObject := n.Value.(*source.Object)
	switch {
	case u.on == onNever || n.Value == nil:
		return false
	case u.on == onNamed:
		return n.Value != defaultHook && holdsValue(n)
	case !isObject || u.on == onValue:
		return holdsValue(n)
	case u.on == onEnabled:
		enabled := o.Get("enabled")
		return enabled != nil && holdsValue(enabled)
	case u.on == onUnlessOff:
		disabled := o.Get("disabled")
		return disabled == nil || !holdsValue(disabled)
	default:
		panic(fmt.Sprintf("BUG: config: switch of %s: %d", u.key, u.on))
	}
}

// holdsValue reports whether anything in n differs from null, false, zero and empty.
func holdsValue(n *source.Node) bool {
	switch v := n.Value.(type) {
	case bool:
		return v
	case string:
		return truthy(v)
	case source.Number:
		f, err := strconv.ParseFloat(string(v), 64)
		return err != nil || f != 0
	case []*source.Node:
		return len(v) > 0
	case *source.Object:
		for _, m := range v.Members {
			if holdsValue(m.Value) {
				return true
			}
		}
	}
	return false
}
