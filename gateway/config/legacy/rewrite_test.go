package legacy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
)

// ofFile returns the settings of a JSON file.
func ofFile(t *testing.T, text string) []source.Setting {
	t.Helper()
	n, err := source.ParseJSON([]byte(text))
	require.NoError(t, err)
	var all []source.Setting
	for _, m := range n.Value.(*source.Object).Members {
		all = append(all, source.Setting{Key: m.Key, Value: m.Value, Place: source.Place{Origin: "file c.json", Line: m.Value.Line}})
	}
	return all
}

// ofText returns the settings of variables or flags: pairs of origin and value.
func ofText(pairs ...string) []source.Setting {
	var all []source.Setting
	for pair := range slices.Chunk(pairs, 2) {
		key := strings.TrimPrefix(pair[0], "flag --")
		for _, prefix := range schema.EnvPrefixes {
			if name, ok := strings.CutPrefix(pair[0], "env "+prefix); ok {
				key = strings.ToLower(name)
			}
		}
		all = append(all, source.Setting{Key: key, Value: &source.Node{Value: source.Text(pair[1])}, Place: source.Place{Origin: pair[0]}})
	}
	return all
}

// show renders settings, one a line.
func show(all []source.Setting) string {
	var lines []string
	for _, s := range all {
		line := s.Key + "=" + showNode(s.Value)
		if s.Written != "" {
			line += " as " + s.Written
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func showNode(n *source.Node) string {
	switch v := n.Value.(type) {
	case *source.Object:
		var members []string
		for _, m := range v.Members {
			key := m.Key
			if m.Written != "" {
				key += "(" + m.Written + ")"
			}
			members = append(members, key+":"+showNode(m.Value))
		}
		return "{" + strings.Join(members, " ") + "}"
	case []*source.Node:
		var items []string
		for _, item := range v {
			items = append(items, showNode(item))
		}
		return "[" + strings.Join(items, " ") + "]"
	default:
		return fmt.Sprint(v)
	}
}

func TestOldNamesComeFirstAndSayHowTheyWereWritten(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		out, _, wrong := new(Rewriter).Rewrite(ofFile(t, text))
		require.Empty(t, wrong)
		require.Equal(t, strings.Join(want, "\n"), show(out))
	}
	f(`{"http_server": {"port": 1}, "Port": 2, "pid_file": "x", "nope": 3}`,
		"http_server.port=2 as port", "http_server={port:1}", "pid_file=x", "nope=3")
	f(`{"uni_sse": true, "admin": {"enabled": true}, "sse": true}`,
		"uni_sse.enabled=true as uni_sse", "sse.enabled=true as sse", "admin={enabled:true}")
	f(`{"engine": "redis", "broker": "nats"}`, "engine.type=redis as engine", "broker.type=nats as broker", "broker.enabled=true as broker")
	f(`{"engine": "", "broker": ""}`)
	f(`{"engine": "redis://:secret@h"}`, "engine=redis://:secret@h")
	f(`{"proxy_http_headers": ["A"]}`, "client.proxy.connect.http_headers=[A] as proxy_http_headers", "client.proxy.refresh.http_headers=[A] as proxy_http_headers")
	f(`{"proxy_connect_endpoint": "http://b"}`, "client.proxy.connect.endpoint=http://b as proxy_connect_endpoint", "client.proxy.connect.enabled=true as proxy_connect_endpoint")
	f(`{"proxy_connect_endpoint": ""}`, "client.proxy.connect.endpoint= as proxy_connect_endpoint")
	f(`{"api_key_file": "k", "grpc_api_port": 1}`, "http_api.key_file=k as api_key_file", "grpc_api.port=1 as grpc_api_port")
	f(`{"proxy_subscribe": true, "presence": true}`,
		"channel.without_namespace.subscribe_proxy_enabled=true as proxy_subscribe", "channel.without_namespace.presence=true as presence")
	f(`{"namespaces": [{"name": "aa", "proxy_subscribe": true, "presence": true}, 1]}`,
		"channel.namespaces=[{name:aa subscribe_proxy_enabled(proxy_subscribe):true presence:true} 1] as namespaces")
	f(`{"namespaces": [{"Subscribe_Proxy_Enabled": false, "Proxy_Subscribe": true, "proxy_publish": null}]}`,
		"channel.namespaces=[{Subscribe_Proxy_Enabled(Proxy_Subscribe):false subscribe_proxy_enabled(Proxy_Subscribe):true "+
			"publish_proxy_enabled(proxy_publish):<nil>}] as namespaces")
	f(`{"granular_proxy_mode": true, "connect_proxy_name": "a", "proxies": [{"name": "a", "endpoint": "http://b", "static_http_headers": {"A": "b"}}]}`,
		"client.proxy.connect.endpoint=http://b as proxies[0].endpoint", "client.proxy.connect.http.static_headers={A:b} as proxies[0].static_http_headers",
		"client.proxy.connect.enabled=true as connect_proxy_name")
	f(`{"granular_proxy_mode": false, "proxies": []}`, "proxies=[]")
	f(`{"granular_proxy_mode": true, "connect_proxy_name": "", "subscribe_proxy_name": "gate", "namespaces": [{"subscribe_proxy_name": "gate"}]}`,
		"channel.without_namespace.subscribe_proxy_name=gate as subscribe_proxy_name",
		"channel.without_namespace.subscribe_proxy_enabled=true as subscribe_proxy_name",
		"channel.namespaces=[{subscribe_proxy_name:gate subscribe_proxy_enabled(subscribe_proxy_name):true}] as namespaces")
}

func TestOldNamesOfVariablesAndFlags(t *testing.T) {
	f := func(want string, pairs ...string) {
		t.Helper()
		out, _, wrong := new(Rewriter).Rewrite(ofText(pairs...))
		require.Empty(t, wrong)
		require.Equal(t, want, show(out))
	}
	f("http_server.port=1 as port\nhttp_server.port=2 as port", "env CENTRIFUGO_PORT", "1", "env SLUICE_PORT", "2")
	f("sse=true", "env CENTRIFUGO_SSE", "true")
	f("sse.enabled=true as sse", "flag --sse", "true")
	f("http_server.port=1", "flag --http_server.port", "1")
	f("channel.namespaces=[{name:aa subscribe_proxy_enabled(proxy_subscribe):true}] as namespaces",
		"env CENTRIFUGO_NAMESPACES", `[{"name": "aa", "proxy_subscribe": true}]`)
	f("channel.namespaces={ as namespaces", "env CENTRIFUGO_NAMESPACES", "{")
	f("client.proxy.connect.http.static_headers={ as proxy_static_http_headers", "env CENTRIFUGO_PROXY_STATIC_HTTP_HEADERS", "{")
	f("client.proxy.refresh.endpoint=http://b as proxies[0].endpoint\nclient.proxy.refresh.enabled=true as refresh_proxy_name",
		"env CENTRIFUGO_GRANULAR_PROXY_MODE", "true", "env CENTRIFUGO_PROXIES", `[{"name": "a", "endpoint": "http://b"}]`, "env CENTRIFUGO_REFRESH_PROXY_NAME", "a")
	f("granular_proxy_mode=true", "flag --granular_proxy_mode", "true")
	f("", "env CENTRIFUGO_HEALTH", "", "env SLUICE_ENGINE", "")
}

func TestNotesOfTheRewriter(t *testing.T) {
	f := func(in []source.Setting, want ...string) {
		t.Helper()
		_, notes, wrong := new(Rewriter).Rewrite(in)
		got := []string{}
		for _, n := range notes {
			got = append(got, string(n.Kind)+" "+strings.TrimPrefix(n.String(), "file c.json:"))
		}
		for _, w := range wrong {
			got = append(got, "wrong "+strings.TrimPrefix(w.Error(), "config: file c.json:"))
		}
		require.Equal(t, append([]string{}, want...), got)
	}
	const flat = "a flat key of versions 4 and 5; write "
	f(ofFile(t, `{"broker": "nats"}`), "deprecated 1: broker: "+flat+"broker.type and broker.enabled")
	f(ofFile(t, `{"sse": true, "client_concurrency": 1}`))
	f(ofText("env CENTRIFUGO_UNI_SSE", "true", "flag --port", "1", "env SLUICE_HEALTH", ""),
		"deprecated env CENTRIFUGO_UNI_SSE: uni_sse: "+flat+"CENTRIFUGO_UNI_SSE_ENABLED", "deprecated flag --port: port: "+flat+"--http_server.port",
		"advice env SLUICE_HEALTH: health: empty, ignored")
	f(ofText("env CENTRIFUGO_NAMESPACES", "[", "env CENTRIFUGO_PROXY_STATIC_HTTP_HEADERS", "{", "flag --namespaces", "["))
	f(ofFile(t, "{\"port\": 1,\n\"port\": 2}"), "deprecated 1: port: "+flat+"http_server.port", "duplicate 2: port: given twice; the last one counts",
		"deprecated 2: port: "+flat+"http_server.port")
	f(ofFile(t, "{\"port\": 1,\n\"http_server\": {\"port\": 2}}"),
		"clash 1: port: sets http_server.port, which is there in its nested form as well (line 2); that one counts", "deprecated 1: port: "+flat+"http_server.port",
		"clash 1: port: is flat as in versions 4 and 5, http_server (line 2) is nested as in version 6: both count, and where they set one option the nested form does; use one of them")
	f(ofFile(t, "{\"namespaces\": [{\n\"proxy_subscribe\": true, \"subscribe_proxy_enabled\": false}]}"),
		"deprecated 2: namespaces[0].proxy_subscribe: "+flat+"channel.namespaces[0].subscribe_proxy_enabled",
		"deprecated 1: namespaces: "+flat+"channel.namespaces")
	f(ofFile(t, `{"api_key": "x", "api_key_file": "y"}`), "deprecated 1: api_key: "+flat+"http_api.key", "wrong 1: api_key_file: set together with api_key: allowed one of them")
	f(ofText("env SLUICE_API_KEY", "x", "env SLUICE_HTTP_API_KEY_FILE", "y"), "wrong config: env SLUICE_API_KEY: api_key: set together with http_api.key_file: allowed one of them")
	f(ofText("env CENTRIFUGO_API_KEY", "y", "env SLUICE_API_KEY_FILE", "x"),
		"deprecated env CENTRIFUGO_API_KEY: api_key: "+flat+"CENTRIFUGO_HTTP_API_KEY", "deprecated env SLUICE_API_KEY_FILE: api_key_file: "+flat+"SLUICE_HTTP_API_KEY_FILE")
	f(ofFile(t, `{"connect_proxy_name": "a", "granular_proxy_mode": "on"}`), "wrong 1: granular_proxy_mode: a string is not a boolean: allowed true, false")
	f(ofFile(t, `{"connect_proxy_name": "a"}`), "advice 1: connect_proxy_name: has no effect without granular_proxy_mode")
	f(ofFile(t, `{"granular_proxy_mode": true, "connect_proxy_name": [], "proxies": [{"name": []}]}`),
		"unsupported 1: proxies: not supported, ignored: hooks of channels belong to bidirectional clients",
		`wrong 1: connect_proxy_name: a list is not the name of an entry of proxies: allowed a list`)
}

// The Rewriter remembers from one source to the next which version the old names are of.
func TestTheRewriterRemembersTheVersion(t *testing.T) {
	f := func(want string, sources ...[]source.Setting) {
		t.Helper()
		var r Rewriter
		out := ""
		for _, in := range sources {
			all, _, _ := r.Rewrite(in)
			out = show(all)
		}
		require.Equal(t, want, out)
	}
	old := ofText("env SLUICE_HISTORY_META_TTL", "5h")
	f("channel.history_meta_ttl=5h as history_meta_ttl", old)
	f("channel.without_namespace.history_meta_ttl=5h as history_meta_ttl", ofFile(t, `{"token_user_id_claim": "x"}`), old)
	f("channel.without_namespace.history_meta_ttl=5h as history_meta_ttl", ofFile(t, `{"namespaces": [{"Delta_Publish": true}]}`), old)
	f("channel.without_namespace.subscribe_proxy_name=g as subscribe_proxy_name\nchannel.without_namespace.subscribe_proxy_enabled=true as subscribe_proxy_name",
		ofFile(t, `{"granular_proxy_mode": true}`), ofText("flag --subscribe_proxy_name", "g"))
}

// Every old name leads to an option, or to a part that is known to be lacking.
func TestTheTableLeadsSomewhere(t *testing.T) {
	known := func(key string) bool {
		f := schema.FindOption(key)
		_, _, lacking := Lacking(key, &source.Node{})
		return f != nil || lacking || sectionAt(schema.Root, key) != nil
	}
	for _, n := range names() {
		f := schema.Root.ByName[n.old]
		require.True(t, f == nil || f.Kind == schema.KindSection, "%s is a key of version 6", n.old)
		for _, to := range append(slices.Clone(n.to), n.enable) {
			require.True(t, to == "" || known(to), "%s -> %s", n.old, to)
		}
	}
	for old := range switches {
		require.NotNil(t, Targets(old), old)
	}
	for _, row := range table {
		require.True(t, row.names != "*" || known(row.sections+"x"), row.prefix)
	}
}

func sectionAt(s *schema.Section, key string) *schema.Field {
	name, rest, more := strings.Cut(key, ".")
	f := s.ByName[name]
	switch {
	case f == nil || f.Kind != schema.KindSection:
		return nil
	case more:
		return sectionAt(f.Sub, rest)
	default:
		return f
	}
}

func TestFlagsOfVersions4And5(t *testing.T) {
	flags := FlatFlags()
	require.True(t, slices.IsSortedFunc(flags, func(a, b FlatFlag) int { return strings.Compare(a.Name, b.Name) }))
	for _, f := range flags {
		o := schema.FindOption(f.Key)
		require.True(t, o == nil || (o.Kind == schema.KindBool) == f.Switch, f.Name)
	}
	for name, want := range map[string]string{
		"uni_sse": "uni_sse.enabled", "http_server.port": "http_server.port", "api_key_file": "http_api.key_file",
		"http_api.key_file": "http_api.key_file", "grpc_api_port": "grpc_api.port", "presence": "channel.without_namespace.presence",
		"": "", "x": "", "http_server": "", "http_server.port_file": "", "uni_sse.enabled.x": "", "port_file": "",
	} {
		key, ok := FlagKey(name)
		require.Equal(t, want != "", ok, name)
		require.Equal(t, want, key)
	}
	require.Equal(t, []string{"tls_cert", "tls_cert_pem"}, FlatNames("http_server.tls.cert_pem"))
	require.Equal(t, []string{"proxy_subscribe"}, FlatNames("channel.without_namespace.subscribe_proxy_enabled"))
	require.Empty(t, FlatNames("uni_sse.retry"))
	require.Len(t, Targets("proxy_http_headers"), 2)
	require.Len(t, Targets("token_hmac_secret_key_file"), 1)
}

func TestLackingOptions(t *testing.T) {
	f := func(key string, v any, known, on bool) {
		t.Helper()
		_, isOn, isKnown := Lacking(key, &source.Node{Value: v})
		require.Equal(t, []bool{known, on}, []bool{isKnown, isOn}, "%s=%v", key, v)
	}
	f("uni_websocket.enabled", source.Text("true"), true, true)
	f("uni_websocket.enabled", false, true, false)
	f("grpc_api.port", source.Number("1"), true, false)
	f("websocket.disabled", true, true, false)
	f("websocket.compression", true, true, true)
	f("channel.namespaces[3].publish_proxy_name", "default", true, false)
	f("channel.namespaces[3].publish_proxy_name", source.Text("x"), true, true)
	f("channel.without_namespace.map", nil, true, false)
	f("usage_stats.disabled", false, true, false)
	f("client.token", "", false, false)

	env := func(name, value string, known, on bool) {
		t.Helper()
		_, isOn, isKnown := LackingEnv(name, value, map[string][]int{schema.NamespaceEnv("my-ns.x"): {0}})
		require.Equal(t, []bool{known, on}, []bool{isKnown, isOn}, "%s=%s", name, value)
	}
	env("SSE", "true", true, true)
	env("WEBSOCKET_DISABLED", "true", true, false)
	env("WEBSOCKET_DISABLED", "false", true, true)
	env("WEBSOCKET_COMPRESSION", "false", true, false)
	env("OPENTELEMETRY_API_ENABLED", "true", true, false)
	env("CHANNEL_NAMESPACES_MY_NS_X_ALLOW_PUBLISH_FOR_CLIENT", "true", true, true)
	env("CHANNEL_NAMESPACES_OTHER_ALLOW_PUBLISH_FOR_CLIENT", "true", false, false)
	env("CHANNEL_WITHOUT_NAMESPACE_PUBLISH_PROXY_NAME", "default", true, false)
	env("SSEX", "true", false, false)
}

// Of the keys that the reference has and Sluice does not, only these may be set without a word: nothing is missing without
// them, in uni_sse of the reference as here.
func TestKeysThatMayVanish(t *testing.T) {
	var quiet []string
	for _, u := range lackings {
		if u.on == onNever {
			quiet = append(quiet, u.key)
		}
	}
	require.Equal(t, []string{"usage_stats", "enable_unreleased_features", "tarantool", "client.subscription_token",
		"*.allow_recovery", "*.allow_positioning", "*.allow_tags_filter"}, quiet)
}

func TestKindsOfNotes(t *testing.T) {
	_, notes, _ := new(Rewriter).Rewrite(ofFile(t, "{\n\"uni_sse\": true}"))
	require.Equal(t, []report.Finding{{Origin: "file c.json", Line: 2, Key: "uni_sse", Kind: report.KindDeprecated,
		Detail: "a flat key of versions 4 and 5", Suggestion: "uni_sse.enabled"}}, notes)
}

// An option that Sluice has is not one that it lacks: whoever adds one takes its row out.
func TestLackingOptionsAreNone(t *testing.T) {
	for _, l := range lackings {
		key := strings.Replace(l.key, "*.", "channel.without_namespace.", 1)
		f := schema.FindOption(key)
		require.Nil(t, f, key)
	}
}
