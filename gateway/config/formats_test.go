package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/pelletier/go-toml/v2"
	"github.com/stretchr/testify/require"

	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
)

// inAllFormats returns what a JSON text says in each format, by the name of a file.
func inAllFormats(t *testing.T, text string) map[string]string {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	require.NoError(t, d.Decode(&v), text)
	v = withGoNumbers(v)
	asYAML, err := yaml.Marshal(v)
	require.NoError(t, err)
	var asTOML bytes.Buffer
	require.NoError(t, toml.NewEncoder(&asTOML).Encode(v))
	return map[string]string{"c.json": text, "c.yaml": string(asYAML), "c.yml": string(asYAML), "c.toml": asTOML.String()}
}

func withGoNumbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key := range v {
			v[key] = withGoNumbers(v[key])
		}
	case []any:
		for i := range v {
			v[i] = withGoNumbers(v[i])
		}
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, _ := v.Float64()
		return f
	}
	return v
}

// file is given with one file.
func file(name, text string) given {
	return given{path: name, files: map[string]string{name: text}}
}

func fileText(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	return string(data)
}

// Files of all generations and formats that mean the same, by folder.
func TestAllGenerationsAndFormatsMeanTheSame(t *testing.T) {
	for _, set := range []string{"chat", "hooks", "engines", "granular"} {
		dir := "generations/" + set + "/"
		// A user id header needs proxies that may set it, for which the
		// reference has no option.
		of := func(name string) given {
			g := file(name, fileText(t, dir+name))
			g.env = []string{"SLUICE_HTTP_SERVER_TRUSTED_PROXIES=10.0.0.7"}
			return g
		}
		want, _ := mustLoad(t, of("v6.json"))
		require.NotEqual(t, Default(), want, set)
		entries, err := os.ReadDir("testdata/" + dir)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(entries), 3)
		for _, e := range entries {
			got, rep := mustLoad(t, of(e.Name()))
			require.Equal(t, want, got, "%s%s", dir, e.Name())
			for _, f := range rep.Findings {
				if f.Kind == report.KindUnsupported && strings.HasPrefix(f.Key, "admin") {
					continue
				}
				require.Contains(t, append([]Kind{report.KindDeprecated, report.KindAdvice}, ofTheValues...), f.Kind, "%s%s: %s", dir, e.Name(), f)
				require.True(t, f.Kind != report.KindDeprecated || !strings.HasPrefix(e.Name(), "v6"), f)
			}
			if !strings.HasSuffix(e.Name(), ".json") {
				continue
			}
			for name, other := range inAllFormats(t, fileText(t, dir+e.Name())) {
				g := file(name, other)
				g.env = of(e.Name()).env
				got, _ := mustLoad(t, g)
				require.Equal(t, want, got, "%s%s as %s:\n%s", dir, e.Name(), name, other)
			}
		}
	}
}

func TestEveryOptionCanBeSetInEveryFormat(t *testing.T) {
	text, want := everyOption(t)
	for name, other := range inAllFormats(t, text) {
		got := decodedAs(t, name, other)
		require.Equal(t, want, got, name)
	}
}

// everyOption returns a file that sets every option to another value than its default, and what it means.
func everyOption(t *testing.T) (string, *Config) {
	t.Helper()
	tree := map[string]any{}
	var lists []Option
	for _, o := range Options() {
		value, _ := sampleOf(o)
		switch {
		case o.InObject:
			lists = append(lists, o)
		case value != "":
			put(t, tree, o.Key, value)
		}
	}
	for _, o := range lists {
		value, _ := sampleOf(o)
		if o.Type == "list of objects" {
			continue
		}
		list, key, _ := strings.Cut(o.Key, "[].")
		at, name := parent(tree, list)
		if at[name] == nil {
			at[name] = []any{map[string]any{}}
		}
		put(t, at[name].([]any)[0].(map[string]any), key, value)
	}
	text, err := json.Marshal(tree)
	require.NoError(t, err)
	c := decodedAs(t, "c.json", string(text))
	requireAllSet(t, schema.Root, "", reflectOf(c), reflectOf(Default()))
	return string(text), c
}

func put(t *testing.T, tree map[string]any, key, value string) {
	t.Helper()
	var v any
	require.NoError(t, json.Unmarshal([]byte(value), &v), value)
	at, name := parent(tree, key)
	at[name] = v
}

func parent(tree map[string]any, key string) (map[string]any, string) {
	parts := strings.Split(key, ".")
	for _, name := range parts[:len(parts)-1] {
		if tree[name] == nil {
			tree[name] = map[string]any{}
		}
		tree = tree[name].(map[string]any)
	}
	return tree, parts[len(parts)-1]
}

func TestBareNumbersForDurationsAreRefusedInEveryFormat(t *testing.T) {
	for name, text := range inAllFormats(t, `{"client": {"ping_interval": 25}}`) {
		_, _, err := file(name, text).load()
		require.ErrorContains(t, err, `client.ping_interval: 25 is a bare number; write "25s"`, name)
	}
	for name, text := range inAllFormats(t, `{"ping_interval": 25}`) {
		_, _, err := file(name, text).load()
		require.ErrorContains(t, err, `client.ping_interval (written as ping_interval): 25 is a bare number; write "25s"`, name)
	}
	for _, entry := range []string{"SLUICE_CLIENT_PING_INTERVAL=25", "CENTRIFUGO_PING_INTERVAL=25"} {
		_, _, err := given{env: []string{entry}}.load()
		require.ErrorContains(t, err, `25 is a bare number; write "25s"`, entry)
	}
	for _, name := range []string{"client.ping_interval", "ping_interval"} {
		_, _, err := given{flags: map[string]string{name: "25"}}.load()
		require.ErrorContains(t, err, `25 is a bare number; write "25s"`, name)
	}
}

// Every mistake of PROTOCOL 9.2 is refused with the line, the key, the value and what is allowed, in every format. All
// mistakes are in line 3.
func TestMistakesAreRefusedWithTheirPlaceInEveryFormat(t *testing.T) {
	for _, c := range []struct{ what, jsonText, yamlText, tomlText, want string }{
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
	} {
		for name, text := range map[string]string{"c.json": c.jsonText, "c.yaml": c.yamlText, "c.toml": c.tomlText} {
			_, _, err := file(name, text).load()
			require.Error(t, err, "%s in %s", c.what, name)
			require.ErrorContains(t, err, fmt.Sprintf("config: file %s:3: %s", name, c.want), "%s in %s", c.what, name)
		}
	}
	_, _, err := fromJSON("{\"client\": {\"proxy\": {\n\"connect\": {\"enabled\": true}}}}").load()
	require.ErrorContains(t, err, `client.proxy.connect.endpoint: missing: the hook is enabled`)
}

func TestALargeTOMLFileIsRead(t *testing.T) {
	var big strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&big, "[[channel.namespaces]]\nname = \"n%d\"\npresence = true\n", i)
	}
	c, _ := mustLoad(t, file("c.toml", big.String()))
	require.Len(t, c.Channel.Namespaces, 2000)
}
