package check_test

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
)

// load reads a configuration of a file and flags.
func load(t *testing.T, text string, flags map[string]string) *config.Report {
	t.Helper()
	rep, err := tryLoad(text, flags)
	require.NoError(t, err, text)
	return rep
}

// tryLoad is load for what may be refused.
func tryLoad(text string, flags map[string]string) (*config.Report, error) {
	_, rep, err := config.Load(config.Source{Path: "config.json", Flags: flags, Read: func(name string) ([]byte, error) {
		if name != "config.json" {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return []byte(text), nil
	}})
	return rep, err
}
