package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each difference to the reference names the test that holds it, and that test is
// there.
func TestDifferencesNameTheirTests(t *testing.T) {
	var source strings.Builder
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			var text []byte
			text, err = os.ReadFile(path)
			source.Write(text)
		}
		return err
	}))
	page, err := Find("migration")
	require.NoError(t, err)
	_, table, found := strings.Cut(page.Text, "\n| reference | here | why | test |\n|---|---|---|---|\n")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n\n")
	for row := range strings.Lines(table) {
		cells := regexp.MustCompile(` \| `).Split(strings.TrimSpace(row), -1)
		names := inlineCode.FindAllStringSubmatch(cells[len(cells)-1], -1)
		require.NotEmpty(t, names, row)
		for _, m := range names {
			require.True(t, strings.Contains(source.String(), "func Test"+m[1]+"(t *testing.T)"), "no test %s: %s", m[1], row)
		}
	}
}
