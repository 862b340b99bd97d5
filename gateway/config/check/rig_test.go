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
	_, rep, err := config.Load(config.Source{Path: "config.json", Flags: flags, Read: func(name string) ([]byte, error) {
		if name != "config.json" {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return []byte(text), nil
	}})
	require.NoError(t, err, text)
	return rep
}
