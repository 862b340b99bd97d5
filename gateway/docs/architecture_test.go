package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// section returns a page's text from a heading to the next of its level.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	p, err := Find(page)
	require.NoError(t, err)
	_, text, found := strings.Cut(p.Text, "\n## "+heading+"\n")
	require.True(t, found, heading)
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// Each direct dependency has a row that says what for.
func TestDependenciesAreExplained(t *testing.T) {
	gomod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	listed := section(t, "architecture", "Dependencies")
	for _, m := range regexp.MustCompile(`(?m)^\t(?:github\.com/)?(\S+) v\S+$`).FindAllStringSubmatch(string(gomod), -1) {
		require.Contains(t, listed, m[1], "a row: what for, why not ours")
	}
}

// Each room has a row in the table of the house.
func TestTheHouseHasAllRooms(t *testing.T) {
	house := section(t, "architecture", "The house")
	entries, err := os.ReadDir("..")
	require.NoError(t, err)
	for _, entry := range entries {
		if entry.IsDir() {
			require.Contains(t, house, "`gateway/"+entry.Name()+"`", "a row")
		}
	}
}
