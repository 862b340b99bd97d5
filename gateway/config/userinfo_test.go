package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config/source"
)

// Every secret that stands where the path of its file should be is not shown, whatever keeps it from being a path.
func TestAMisplacedSecretIsNotShown(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "c.toml"), nil, 0o600))
	n := 0
	for _, o := range Options() {
		if !o.File || o.InObject {
			continue
		}
		for _, value := range []string{
			planted, "/" + planted, "a/" + planted + "+/==", "c.toml/" + planted, planted + "\x00", strings.Repeat(planted, 300), "-----BEGIN\n" + planted,
		} {
			n++
			_, rep, err := Load(Source{Dir: dir, Flags: map[string]string{o.Key + "_file": value}})
			require.ErrorContains(t, err, o.Key+"_file: names no file (it is not shown: ", "%q", value)
			require.NotContains(t, err.Error(), planted)
			require.NotContains(t, strings.Join(rep.Warnings, "\n"), planted)
		}
	}
	require.Greater(t, n, 100)
	for _, cause := range []error{fs.ErrPermission, syscall.EISDIR, source.ErrNotRegular, source.ErrTooLarge} {
		require.False(t, namesNoFile(&fs.PathError{Op: "open", Err: cause}), "a file that is there is named: %v", cause)
	}
}
