package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config/schema"
)

// sample returns a valid value for an option that differs from its default, as JSON and as text.
func sample(o *schema.Field) (inJSON, text string) {
	switch o.Kind {
	case "bool":
		text = fmt.Sprint(o.Default != "true")
		return text, text
	case "int":
		if o.Max < 2000000 {
			text = fmt.Sprint(o.Max)
			return text, text
		}
		return "2000000", "2000000"
	case "port":
		return "4242", "4242"
	case "duration":
		return `"17s"`, "17s"
	case "duration range":
		return `"1s-2s"`, "1s-2s"
	case "list of strings":
		if o.Enum != nil {
			return `["` + o.Enum[0] + `"]`, o.Enum[0]
		}
		return `["one:1", "two:2"]`, "one:1 two:2"
	case "map of strings":
		return `{"K": "v"}`, `{"K": "v"}`
	case "string":
		text = "/sample"
		for _, e := range o.Enum {
			if e != "" && e != o.Default {
				text = e
			}
		}
		return `"` + text + `"`, text
	default:
		return "", ""
	}
}

// decoded loads without validation, which would refuse many samples.
func decoded(t *testing.T, g given) *Config {
	t.Helper()
	l := newLoader(Source{Path: "config.json", Environ: g.env, Flags: g.flags, Read: func(string) ([]byte, error) { return []byte(g.files["config.json"]), nil }})
	if g.files != nil {
		require.True(t, l.file())
	}
	l.src.Environ = g.env
	l.src.Read = func(string) ([]byte, error) { return nil, nil }
	l.env(l.environ())
	l.flags()
	require.Empty(t, l.errs)
	require.Empty(t, l.rep.Warnings)
	return l.cfg
}

// sampleOf is sample inside the limits of the option.
func sampleOf(o *schema.Field) (inJSON, text string) {
	limits := map[string]string{"uni_sse.padding": "300", "uni_sse.padding_max": "300", "node.loops": "3", "node.lanes": "3", "http_api.max_depth": "99", "http_server.max_head_size": "5000"}
	if l := limits[o.Key]; l != "" {
		return l, l
	}
	return sample(o)
}

// decodedAs is decoded for a file of any format.
func decodedAs(t *testing.T, name, text string) *Config {
	t.Helper()
	l := newLoader(Source{Path: name, Read: func(string) ([]byte, error) { return []byte(text), nil }})
	require.True(t, l.file(), l.errs)
	require.Empty(t, l.errs)
	require.Empty(t, l.rep.Findings)
	return l.cfg
}

func reflectOf(c *Config) reflect.Value { return reflect.ValueOf(c).Elem() }

// requireAllSet fails if an option of v has the value that it has in def.
func requireAllSet(t *testing.T, s *schema.Section, path string, v, def reflect.Value) {
	t.Helper()
	for _, f := range s.Fields {
		key, value, other := schema.Join(path, f.Name), v.FieldByIndex(f.Index), def.FieldByIndex(f.Index)
		switch f.Kind {
		case schema.KindSection:
			requireAllSet(t, f.Sub, key, value, other)
		case schema.KindObjects:
			require.Equal(t, 1, value.Len(), key)
			elem := reflect.New(value.Type().Elem()).Elem()
			f.Sub.ApplyDefaults(elem)
			requireAllSet(t, f.Sub, key+"[]", value.Index(0), elem)
		default:
			require.NotEqual(t, other.Interface(), value.Interface(), key)
		}
	}
}

func TestEveryOptionCanBeSetInFileEnvironmentAndFlag(t *testing.T) {
	for _, o := range Options() {
		if o.InObject || o.Kind == schema.KindObjects {
			continue
		}
		inJSON, text := sampleOf(o)
		parts := strings.Split(o.Key, ".")
		file := inJSON
		for i := len(parts) - 1; i >= 0; i-- {
			file = `{"` + parts[i] + `": ` + file + `}`
		}
		fromFile := decoded(t, given{files: map[string]string{"config.json": file}})
		require.NotEqual(t, Default(), fromFile, o.Key)
		require.Equal(t, fromFile, decoded(t, given{env: []string{o.Env + "=" + text}}), o.Key)
		reference := "CENTRIFUGO_" + strings.TrimPrefix(o.Env, "SLUICE_")
		require.Equal(t, fromFile, decoded(t, given{env: []string{reference + "=" + text}}), o.Key)
		require.Equal(t, fromFile, decoded(t, given{flags: map[string]string{o.Key: text}}), o.Key)
	}
}

func TestEveryNamespaceOptionCanBeSet(t *testing.T) {
	for _, o := range Options() {
		name, isNS := strings.CutPrefix(o.Key, "channel.namespaces[].")
		if !isNS || name == "name" {
			continue
		}
		inJSON, text := sample(o)
		fromFile := decoded(t, fromJSON(`{"channel": {"namespaces": [{"name": "aa", "`+name+`": `+inJSON+`}]}}`))
		plain := fromJSON(`{"channel": {"namespaces": [{"name": "aa"}]}}`)
		require.NotEqual(t, decoded(t, plain), fromFile, o.Key)
		plain.env = []string{strings.ReplaceAll(o.Env, "<NAME>", "AA") + "=" + text}
		require.Equal(t, fromFile, decoded(t, plain), o.Key)
	}
}
