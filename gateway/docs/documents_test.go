package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// root is the folder of the repository.
const root = "../.."

const readme = "README.md"

// document is the README or a page.
type document struct {
	path  string // below the root
	prose string // without blocks of code
	code  []block
}

// block is a block of code.
type block struct{ language, text string }

var fences = regexp.MustCompile("(?ms)^```([^\n]*)\n(.*?)^```$")

// documents returns the README and all pages.
func documents(t *testing.T) []document {
	t.Helper()
	paths, err := filepath.Glob("*.md")
	require.NoError(t, err)
	for i, path := range paths {
		paths[i] = filepath.Join("gateway/docs", path)
	}
	var all []document
	for _, path := range append([]string{readme}, paths...) {
		text, err := os.ReadFile(filepath.Join(root, path))
		require.NoError(t, err)
		d := document{path: path, prose: fences.ReplaceAllString(string(text), "")}
		for _, m := range fences.FindAllStringSubmatch(string(text), -1) {
			d.code = append(d.code, block{m[1], m[2]})
		}
		all = append(all, d)
	}
	require.Greater(t, len(all), 10)
	return all
}

var (
	headings    = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	noSlug      = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	inlineLinks = regexp.MustCompile(`(?:\]\(|src(?:set)?=")([^)"\s]+)[)"]`)
	inlineCode  = regexp.MustCompile("`([^`\n]+)`")
)

// anchors returns the names by which links lead to headings, as code hosts make
// them.
func (d document) anchors() map[string]bool {
	names := make(map[string]bool)
	for _, m := range headings.FindAllStringSubmatch(d.prose, -1) {
		text := regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(m[1], "$1")
		names[strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(text), ""), " ", "-")] = true
	}
	return names
}

// links returns the targets of all links that stay in the repository.
func (d document) links() (targets []string) {
	prose := inlineCode.ReplaceAllString(d.prose, "")
	for _, m := range inlineLinks.FindAllStringSubmatch(prose, -1) {
		if !strings.Contains(m[1], "://") {
			targets = append(targets, m[1])
		}
	}
	return targets
}
