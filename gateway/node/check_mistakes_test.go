package node_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config/report"
)

// mistakes are those of PROTOCOL 9.2 in every format, each in line 3, and what is said of it.
var mistakes = []struct{ what, jsonText, yamlText, tomlText, want string }{
	{"duplicate namespace",
		"{\"channel\": {\"namespaces\": [\n{\"name\": \"news\"},\n{\"name\": \"news\"}]}}",
		"channel:\n  namespaces: [{name: news},\n    {name: news}]", "[channel]\nnamespaces = [{name = \"news\"},\n{name = \"news\"}]",
		`channel.namespaces[1].name: "news" is`},
	{"bad name", "{\"channel\":\n{\"namespaces\": [\n{\"name\": \"n!\"}]}}",
		"channel:\n  namespaces:\n    - name: n!", "[channel]\n[[channel.namespaces]]\nname = \"n!\"",
		`channel.namespaces[0].name: "n!" is not the name of a namespace: allowed letters`},
	{"size without ttl", "{\"channel\":\n{\"without_namespace\": {\n\"history_size\": 10}}}",
		"channel:\n  without_namespace:\n    history_size: 10", "[channel]\n[channel.without_namespace]\nhistory_size = 10",
		`channel.without_namespace.history_size: 10 needs history_ttl: allowed both or neither`},
	{"ttl without size", "{\"channel\":\n{\"without_namespace\": {\n\"history_ttl\": \"10s\"}}}",
		"channel:\n  without_namespace:\n    history_ttl: 10s", "[channel]\n[channel.without_namespace]\nhistory_ttl = \"10s\"",
		`channel.without_namespace.history_ttl: 10s needs history_size: allowed both or neither`},
	{"ttl above meta ttl", "{\"channel\":\n{\"history_meta_ttl\": \"1s\", \"without_namespace\": {\"history_size\": 1,\n\"history_ttl\": \"10s\"}}}",
		"channel:\n  without_namespace: {history_size: 1,\n    history_ttl: 10s}\n  history_meta_ttl: 1s",
		"[channel]\nhistory_meta_ttl = \"1s\"\nwithout_namespace.history_ttl = \"10s\"\nwithout_namespace.history_size = 1",
		`channel.without_namespace.history_ttl: 10s is more than channel.history_meta_ttl (1s)`},
	{"recovery without history", "{\"channel\":\n{\"without_namespace\": {\n\"force_recovery\": true}}}",
		"channel:\n  without_namespace:\n    force_recovery: true", "[channel]\n\nwithout_namespace = {force_recovery = true}",
		`channel.without_namespace.force_recovery: true needs history`},
	{"auto cache", "{\"channel\":\n{\"without_namespace\": {\n\"auto_cache_recover\": true}}}",
		"channel:\n  without_namespace:\n    auto_cache_recover: true", "[channel]\n\nwithout_namespace = {auto_cache_recover = true}",
		`channel.without_namespace.auto_cache_recover: true needs force_recovery and force_recovery_mode "cache"`},
	{"recovery mode", "{\"channel\":\n{\"without_namespace\": {\n\"force_recovery_mode\": \"all\"}}}",
		"channel:\n  without_namespace:\n    force_recovery_mode: all", "[channel]\n\nwithout_namespace = {force_recovery_mode = \"all\"}",
		`channel.without_namespace.force_recovery_mode: "all" is unknown: allowed "", "cache", "stream"`},
	{"delta type", "{\"channel\":\n{\"without_namespace\": {\n\"allowed_delta_types\": [\"x\"]}}}",
		"channel:\n  without_namespace:\n    allowed_delta_types:\n    - x", "[channel]\n\nwithout_namespace = {allowed_delta_types = [\"x\"]}",
		`channel.without_namespace.allowed_delta_types: "x" is unknown: allowed "fossil"`},
	{"data format", "{\"channel\":\n{\n\"publication_data_format\": \"xml\"}}",
		"channel:\n\n  publication_data_format: xml", "[channel]\n\npublication_data_format = \"xml\"",
		`channel.publication_data_format: "xml" is unknown: allowed "", "binary", "json", "json_object"`},
	{"regex", "{\"channel\":\n{\"without_namespace\": {\n\"channel_regex\": \"[\"}}}",
		"channel:\n  without_namespace:\n    channel_regex: '['", "[channel]\n\nwithout_namespace.channel_regex = '['",
		"channel.without_namespace.channel_regex: \"[\" is not a regular expression"},
	{"glob", "{\"client\":\n{\n\"allowed_origins\": [\"https://[a\"]}}",
		"client:\n\n  allowed_origins: ['https://[a']", "[client]\n\nallowed_origins = ['https://[a']",
		`client.allowed_origins: "https://[a" is not a pattern`},
	{"personal namespace", "{\"client\":\n{\"subscribe_to_user_personal_channel\": {\"enabled\": true,\n\"personal_channel_namespace\": \"me\"}}}",
		"client:\n  subscribe_to_user_personal_channel:\n    personal_channel_namespace: me\n    enabled: true",
		"[client.subscribe_to_user_personal_channel]\nenabled = true\npersonal_channel_namespace = \"me\"",
		`client.subscribe_to_user_personal_channel.personal_channel_namespace: "me" is not among channel.namespaces`},
	{"single connection", "{\"client\":\n{\"subscribe_to_user_personal_channel\": {\"enabled\": true,\n\"single_connection\": true}}}",
		"client:\n  subscribe_to_user_personal_channel:\n    single_connection: true\n    enabled: true",
		"[client.subscribe_to_user_personal_channel]\nenabled = true\nsingle_connection = true",
		`client.subscribe_to_user_personal_channel.single_connection: true needs presence in channel.without_namespace`},
	{"hook without timeout", "{\"client\": {\"proxy\": {\"connect\": {\"enabled\": true,\n\"endpoint\": \"http://b\",\n\"timeout\": 0}}}}",
		"client: {proxy: {connect: {\n  enabled: true, endpoint: 'http://b',\n  timeout: 0}}}",
		"[client.proxy.connect]\nenabled = true\ntimeout = 0\nendpoint = \"http://b\"",
		`client.proxy.connect.timeout: 0s: allowed more than 0; the hook is enabled`},
	{"wrong type", "{\"http_server\":\n{\n\"port\": [1]}}", "http_server:\n\n  port: [1]", "[http_server]\n\nport = [1]",
		`http_server.port: a list is not a port: allowed 0-65535`},
	{"date", "{\"http_server\":\n{\n\"address\": 1}}", "http_server:\n\n  address: 1", "[http_server]\n\naddress = 1979-05-27",
		`http_server.address: `},
}

// Every mistake of PROTOCOL 9.2 is refused with the line, the key, the value and what is allowed, in every format. All
// mistakes are in line 3.
func TestMistakesAreRefusedWithTheirPlaceInEveryFormat(t *testing.T) {
	for _, c := range mistakes {
		for name, text := range map[string]string{"c.json": c.jsonText, "c.yaml": c.yamlText, "c.toml": c.tomlText} {
			_, _, err := file(name, text).load(t)
			require.Error(t, err, "%s in %s", c.what, name)
			require.ErrorContains(t, err, fmt.Sprintf("config: file %s:3: %s", name, c.want), "%s in %s", c.what, name)
		}
	}
	_, _, err := fromJSON("{\"client\": {\"proxy\": {\n\"connect\": {\"enabled\": true}}}}").load(t)
	require.ErrorContains(t, err, `client.proxy.connect.endpoint: missing: the hook is enabled`)
}

func TestAllErrorsAreReportedAtOnce(t *testing.T) {
	g := fromJSON(`{"http_server": {"port": "abc"}, "client": {"ping_interval": 25}, "channel": {"namespaces": [{"name": "x"}]}}`)
	g.env = []string{"SLUICE_NODE_LOOPS=many"}
	g.flags = map[string]string{"log.level": "loud"}
	_, _, err := g.load(t)
	require.ErrorContains(t, err, `config: file config.json:1: http_server.port: "abc" is not a port: allowed 0-65535`)
	require.ErrorContains(t, err, `config: file config.json:1: client.ping_interval: 25 is a bare number; write "25s"`)
	require.ErrorContains(t, err, `config: file config.json:1: channel.namespaces[0].name: "x" is not the name of a namespace`)
	require.ErrorContains(t, err, `config: env SLUICE_NODE_LOOPS: node.loops: "many" is not a whole number: allowed 0-1024`)
	require.ErrorContains(t, err, `config: flag --log.level: log.level: "loud" is unknown: allowed "debug", "error"`)

	var ke *report.KeyError
	require.True(t, errors.As(err, &ke))
	require.Equal(t, "http_server.port", ke.Key)
	require.Equal(t, "file config.json:1", ke.Origin)
}

func TestFlatMistakesNameBothKeys(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, _, err := fromJSON(text).load(t)
		require.EqualError(t, err, "config: file config.json:"+want)
	}
	f("{\n\"port\": \"abc\"}", `2: http_server.port (written as port): "abc" is not a port: allowed 0-65535`)
	f(`{"history_size": 5}`, `1: channel.without_namespace.history_size (written as history_size): 5 needs history_ttl: allowed both or neither`)
	f("{\"namespaces\": [\n{\"name\": \"aa\",\n\"history_size\": -5}]}",
		`3: channel.namespaces[0].history_size (written as namespaces[0].history_size): -5 is out of range: allowed 0 or more`)
	f("{\"namespaces\": [\n{\"name\": \"aa\", \"proxy_subscribe\": 1}]}",
		`2: channel.namespaces[0].subscribe_proxy_enabled (written as namespaces[0].proxy_subscribe): 1 is not a boolean: allowed true, false (in the environment also 1, 0)`)
	f(`{"namespaces": [{"name": "aa"}, {"name": "aa"}]}`,
		`1: channel.namespaces[1].name (written as namespaces[1].name): "aa" is already the name of channel.namespaces[0]: allowed a name of its own`)
	f(`{"proxy_connect_endpoint": "grpc://h:1"}`,
		`1: client.proxy.connect.endpoint (written as proxy_connect_endpoint): "grpc://h:1" is the address of a gRPC hook, which is not supported: allowed a URL with http:// or https://`)
	f(`{"admin": "yes"}`, `1: admin: a string is not an object: allowed an object such as {"enabled": true, ...}`)
	f(`{"granular_proxy_mode": 1}`, `1: granular_proxy_mode: a number is not a boolean: allowed true, false`)
	f(`{"granular_proxy_mode": true, "connect_proxy_name": "x", "proxies": [{"name": "b"}, {"name": "a"}]}`,
		`1: connect_proxy_name: "x" is not the name of an entry of proxies: allowed "a", "b"`)
}

// An endpoint without a scheme is no gRPC hook as soon as it has a path.
func TestAnEndpointWithoutASchemeIsNamed(t *testing.T) {
	f := func(endpoint, want string) {
		t.Helper()
		_, _, err := fromJSON(`{"client": {"proxy": {"connect": {"enabled": true, "endpoint": "` + endpoint + `"}}}}`).load(t)
		require.EqualError(t, err, "config: file config.json:1: client.proxy.connect.endpoint: "+want)
	}
	f("b:3000/x", `"b:3000/x": a scheme is missing: write "http://b:3000/x"`)
	f("b/x", `"b/x": a scheme is missing: write "http://b/x"`)
	f("b:3000", `"b:3000" is the address of a gRPC hook, which is not supported: allowed a URL with http:// or https://`)
}

func TestAnEndpointOutOfAFileIsNotShown(t *testing.T) {
	_, _, err := given{files: map[string]string{"config.json": `{"client": {"token": {"jwks_public_endpoint_file": "f"}}}`, "f": "not-to-be-shown"}}.load(t)
	require.EqualError(t, err, "config: "+at+"client.token.jwks_public_endpoint: (hidden) is not a URL: allowed a URL with http:// or https:// and a host")
}
