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
	var lists []*schema.Field
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
		if o.Kind == schema.KindObjects {
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

func TestALargeTOMLFileIsRead(t *testing.T) {
	var big strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&big, "[[channel.namespaces]]\nname = \"n%d\"\npresence = true\n", i)
	}
	c, _ := mustLoad(t, file("c.toml", big.String()))
	require.Len(t, c.Channel.Namespaces, 2000)
}
