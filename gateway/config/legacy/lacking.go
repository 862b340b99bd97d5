package legacy

import (
	"slices"
	"strconv"
	"strings"

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
	{"engine.redis.replica_client", onEnabled, "everything is read from masters"},
	{"broker.redis.replica_client", onEnabled, "everything is read from masters"},
	{"presence_manager.redis.replica_client", onEnabled, "everything is read from masters"},

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

// Lacking reports whether key, which is no option of ours, is an option of the reference that Sluice lacks, or inside of one; on,
// whether with the value n it is switched on and missed; and why there is none. Elements of lists are named with their index.
func Lacking(key string, n *source.Node) (why string, on, known bool) {
	for _, u := range lackings {
		if inside, ok := insideOf(key, u.key); ok {
			return u.why, u.isOn(within(inside, n)), true
		}
	}
	return "", false, false
}

// within returns the object in which the dotted key has this value; "" is the value itself.
func within(key string, n *source.Node) *source.Node {
	for _, name := range slices.Backward(strings.FieldsFunc(key, func(r rune) bool { return r == '.' })) {
		n = &source.Node{Value: &source.Object{Members: []source.Member{{Key: name, Value: n}}}, Line: n.Line}
	}
	return n
}

// insideOf reports whether key is the option pattern or inside of it; rest is its path in there.
func insideOf(key, pattern string) (rest string, ok bool) {
	if option, isNS := strings.CutPrefix(pattern, "*."); isNS {
		after, found := strings.CutPrefix(key, schema.WithoutNamespace)
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

// LackingEnv is Lacking for a variable; rest is its name without the prefix. namespaces has what the variables of each namespace
// that there is start with, as schema.NamespaceEnv says it.
func LackingEnv(rest, value string, namespaces map[string][]int) (why string, on, known bool) {
	for _, u := range lackings {
		inside, ok := u.insideEnv(rest, namespaces)
		if !ok {
			continue
		}
		isSwitch := inside == "_DISABLED"
		inside = strings.ToLower(strings.TrimPrefix(inside, "_"))
		on := u.isOn(within(inside, &source.Node{Value: value}))
		return u.why, on && (isSwitch || truthy(value)), true
	}
	return "", false, false
}

// insideEnv returns what a variable has after the name of an option that we lack, and whether it has that name.
func (u lacking) insideEnv(rest string, namespaces map[string][]int) (inside string, ok bool) {
	after := func(in, name string) bool {
		inside, ok = strings.CutPrefix(in, name)
		ok = ok && (inside == "" || inside[0] == '_')
		return ok
	}
	option, isNS := strings.CutPrefix(u.key, "*.")
	if !isNS {
		after(rest, schema.EnvName(u.key))
		return inside, ok
	}
	if after(rest, schema.EnvName(schema.WithoutNamespace+option)) {
		return inside, true
	}
	name := schema.EnvName(option)
	for at := range len(rest) { // any of its underscores may end the name of a namespace
		if rest[at] == '_' && len(namespaces[rest[:at]]) > 0 && after(rest[at+1:], name) {
			return inside, true
		}
	}
	return "", false
}

func (u lacking) isOn(n *source.Node) bool {
	o, isObject := n.Value.(*source.Object)
	switch {
	case u.on == onNever || n.Value == nil:
		return false
	case u.on == onNamed:
		return n.Value != defaultHook && n.Value != source.Text(defaultHook) && holdsValue(n)
	case !isObject || u.on == onValue:
		return holdsValue(n)
	case u.on == onEnabled:
		return holdsValue(o.Get("enabled"))
	default:
		return !holdsValue(o.Get("disabled"))
	}
}

// holdsValue reports whether anything in n differs from null, false, zero and empty. n may be nil.
func holdsValue(n *source.Node) bool {
	if n == nil {
		return false
	}
	switch v := n.Value.(type) {
	case bool:
		return v
	case string:
		return truthy(v)
	case source.Text:
		return truthy(string(v))
	case source.Number:
		f, err := strconv.ParseFloat(string(v), 64)
		return err != nil || f != 0
	case []*source.Node:
		return len(v) > 0
	case *source.Object:
		return slices.ContainsFunc(v.Members, func(m source.Member) bool { return holdsValue(m.Value) })
	}
	return false
}

func truthy(text string) bool {
	if b, err := strconv.ParseBool(text); err == nil {
		return b
	}
	return text != ""
}
