package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A link leads to a file that is there, and to a heading that is in it.
func TestLinksLeadSomewhere(t *testing.T) {
	all := documents(t)
	known := make(map[string]map[string]bool)
	for _, d := range all {
		known[d.path] = d.anchors()
	}
	for _, d := range all {
		links := d.links()
		for _, link := range links {
			target, anchor, _ := strings.Cut(link, "#")
			path := filepath.Join(filepath.Dir(d.path), target)
			if target == "" {
				path = d.path
			}
			if _, err := os.Stat(filepath.Join(root, path)); err != nil {
				t.Errorf("%s links to %s: %v", d.path, link, err)
			}
			if anchor != "" && !known[path][anchor] {
				t.Errorf("%s links to %s: no such heading in %s", d.path, link, path)
			}
		}
	}
}

// Whoever begins with the README finds every page.
func TestReadmeLeadsToEveryPage(t *testing.T) {
	linked := make(map[string]bool)
	all := documents(t)
	for _, link := range all[0].links() {
		target, _, _ := strings.Cut(link, "#")
		linked[target] = true
	}
	for _, d := range all[1:] {
		require.True(t, linked[d.path], "README.md has no link to %s", d.path)
	}
}

// The README is a page that one reads, not a book.
func TestReadmeIsShort(t *testing.T) {
	const most = 12 << 10
	text, err := os.ReadFile(filepath.Join(root, readme))
	require.NoError(t, err)
	require.LessOrEqual(t, len(text), most, "bytes: what is too much belongs into gateway/docs")
}

// A long page begins with whom it serves and with a list of what is in it.
func TestPagesHaveABeginning(t *testing.T) {
	for _, d := range documents(t)[1:] {
		lines := strings.Split(d.prose, "\n")
		require.True(t, strings.HasPrefix(lines[0], "# "), d.path)
		require.True(t, strings.HasPrefix(lines[2], "For those who "), "%s: the first paragraph says whom the page serves", d.path)
		listed := make(map[string]bool)
		for _, link := range d.links() {
			listed[link] = true
		}
		for _, line := range lines {
			if title, ok := strings.CutPrefix(line, "## "); ok {
				slug := (document{prose: line}).anchors()
				for anchor := range slug {
					require.True(t, listed["#"+anchor], "%s: nothing links to %q", d.path, title)
				}
			}
		}
	}
}
