package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config/schema"
)

func TestEveryOptionIsDocumentedAndNamedOnce(t *testing.T) {
	keys, envs := map[string]bool{}, map[string]string{}
	for _, o := range Options() {
		require.NotEmpty(t, o.Type, o.Key)
		require.NotEmpty(t, o.Doc, o.Key)
		require.True(t, strings.HasSuffix(o.Doc, "."), "%s: %s", o.Key, o.Doc)
		require.False(t, keys[o.Key], o.Key)
		keys[o.Key] = true
		if o.Env != "" {
			require.Empty(t, envs[o.Env], o.Key)
			envs[o.Env] = o.Key
		}
	}
	require.Greater(t, len(keys), 200)
}

func TestOptionsDescribeTheirTags(t *testing.T) {
	byKey := map[string]Option{}
	for _, o := range Options() {
		byKey[o.Key] = o
	}
	port := byKey["http_server.port"]
	require.Equal(t, "SLUICE_HTTP_SERVER_PORT", port.Env)
	require.Equal(t, "port", port.Type)
	require.Equal(t, "8000", port.Default)

	o := byKey["channel.namespaces[].slow_policy"]
	require.Equal(t, "SLUICE_CHANNEL_NAMESPACES_<NAME>_SLOW_POLICY", o.Env)
	require.Equal(t, []string{"disconnect", "drop_oldest"}, o.Enum)
	require.True(t, o.InObject)

	o = byKey["client.connect_code_to_unidirectional_disconnect.transforms[].to.code"]
	require.Equal(t, "", o.Env)
	require.True(t, o.InObject)

	require.Equal(t, "bytes", byKey["client.queue_max_size"].Unit)
	require.Equal(t, "1048576", byKey["client.queue_max_size"].ZeroIs)
	require.True(t, byKey["http_api.key"].Secret)
	require.False(t, byKey["http_api.handler_prefix"].Secret)
	require.Equal(t, "list of objects", byKey["channel.namespaces"].Type)
}

// sample returns a valid value for an option that differs from its default, as JSON and as text.
func sample(o Option) (inJSON, text string) {
	switch o.Type {
	case "bool":
		text = fmt.Sprint(o.Default != "true")
		return text, text
	case "int":
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
func sampleOf(o Option) (inJSON, text string) {
	limits := map[string]string{"node.loops": "3", "node.lanes": "3", "http_api.max_depth": "99", "http_server.max_head_size": "5000"}
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
		if o.InObject || o.Type == "list of objects" {
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

func TestConfigIsPlainData(t *testing.T) {
	var check func(reflect.Type, string)
	check = func(typ reflect.Type, path string) {
		switch typ.Kind() {
		case reflect.Struct:
			for i := range typ.NumField() {
				check(typ.Field(i).Type, path+"."+typ.Field(i).Name)
			}
		case reflect.Slice:
			check(typ.Elem(), path+"[]")
		case reflect.Map:
			check(typ.Elem(), path+"{}")
		case reflect.Bool, reflect.Int, reflect.Int64, reflect.String:
		default:
			t.Errorf("%s is a %s", path, typ.Kind())
		}
	}
	check(reflect.TypeFor[Config](), "Config")
}
