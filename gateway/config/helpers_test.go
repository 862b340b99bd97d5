package config

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config/legacy"
	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
	"sluice/gateway/testkit"
)

// given is a Load without a real file system: files by name, environment and flags.
type given struct {
	files map[string]string
	env   []string
	flags map[string]string
	path  string
	dev   *Dev
}

func (g given) load() (*Config, *Report, error) {
	path := g.path
	if path == "" {
		path = "config.json"
	}
	src := Source{Path: path, Environ: g.env, Flags: g.flags, Dev: g.dev}
	src.Read = func(name string) ([]byte, error) {
		text, ok := g.files[name]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return []byte(text), nil
	}
	return Load(src)
}

func fromJSON(text string) given { return given{files: map[string]string{"config.json": text}} }

func mustLoad(t *testing.T, g given) (*Config, *Report) {
	t.Helper()
	c, rep, err := g.load()
	require.NoError(t, err)
	return c, rep
}

const at = "file config.json:1: "

// quiet is what has to be set for a configuration without warnings.
const quiet = testkit.QuietConfig

// quietFlags does the same as flags.
func quietFlags() map[string]string {
	return map[string]string{
		"uni_sse.enabled": "true", "http_api.key": "kkkkkkkkkkkkkkkk", "client.token.hmac_secret_key": "ssssssssssssssssssssssssssssssss",
		"channel.without_namespace.allow_subscribe_for_client": "true",
	}
}

// warningsOf loads a file that is fine and returns its warnings, those of an empty file left out.
func warningsOf(t *testing.T, text string) string {
	t.Helper()
	_, rep := mustLoad(t, given{
		files: map[string]string{"config.json": text},
		flags: map[string]string{"uni_sse.enabled": "true"},
	})
	return testkit.WarningsOf(rep.Warnings)
}

// oldKey is a key of versions 4 and 5.
type oldKey struct {
	name   string
	to     []string // options that it sets
	enable string   // switch that it turns on too
	word   bool     // its value is the name of an engine
}

// oldKeys returns those keys of versions 4 and 5 that set an option, but for options of channels.
func oldKeys() []oldKey {
	var all []oldKey
	seen := map[string]bool{}
	for _, o := range Options() {
		for _, name := range legacy.FlatNames(o.Key) {
			if seen[name] || strings.HasPrefix(o.Key, schema.WithoutNamespace) {
				continue
			}
			seen[name] = true
			k := oldKey{name: name, to: legacy.Targets(name), word: name == "engine" || name == "broker"}
			if section, ok := strings.CutSuffix(k.to[0], ".endpoint"); ok {
				k.enable = section + ".enabled"
			} else if name == "broker" {
				k.enable = "broker.enabled"
			}
			all = append(all, k)
		}
	}
	return all
}

// kindsOf returns the kind of each finding about key.
func kindsOf(rep *Report, key string) []Kind {
	kinds := []Kind{}
	for _, f := range rep.Findings {
		if f.Key == key {
			kinds = append(kinds, f.Kind)
		}
	}
	return kinds
}

// ofTheValues are kinds of findings that a file has whatever its names are.
var ofTheValues = []Kind{report.KindWeak, report.KindOpen, report.KindUnusable}
