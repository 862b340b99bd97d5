package node_test

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/node"
	"sluice/gateway/testkit"
)

// given is a configuration as a start reads it: files by name, environment and flags.
type given struct {
	files map[string]string
	env   []string
	flags map[string]string
	path  string
	dev   *config.Dev
}

func fromJSON(text string) given { return given{files: map[string]string{"config.json": text}} }

// file is a configuration in a file of that name.
func file(name, text string) given { return given{path: name, files: map[string]string{name: text}} }

func (g given) load(t *testing.T) (*config.Config, *config.Report, error) {
	t.Helper()
	src := config.Source{Path: g.path, Environ: g.env, Flags: g.flags, Dev: g.dev}
	if src.Path == "" {
		src.Path = "config.json"
	}
	src.Read = func(name string) ([]byte, error) {
		text, ok := g.files[name]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return []byte(text), nil
	}
	return node.Load(src)
}

func mustLoad(t *testing.T, g given) (*config.Config, *config.Report) {
	t.Helper()
	c, rep, err := g.load(t)
	require.NoError(t, err)
	return c, rep
}

// refused asserts that a file has exactly one error.
func refused(t *testing.T, text, want string) {
	t.Helper()
	_, _, err := fromJSON(text).load(t)
	require.EqualError(t, err, "config: "+want)
}

const at = "file config.json:1: "

// quiet is what has to be set for a configuration without warnings.
const quiet = testkit.QuietConfig

// warningsOf loads a file that is fine and returns its warnings, those of an empty file left out.
func warningsOf(t *testing.T, text string) string {
	t.Helper()
	_, rep := mustLoad(t, given{
		files: map[string]string{"config.json": text},
		flags: map[string]string{"uni_sse.enabled": "true"},
	})
	return testkit.WarningsOf(rep.Warnings)
}
