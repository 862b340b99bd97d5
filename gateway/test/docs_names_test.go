package test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/api"
	"sluice/gateway/config"
	"sluice/gateway/docs"
	"sluice/gateway/loop"
)

var docCode = regexp.MustCompile("`([^`\n]+)`")

// firstCells returns the names between backquotes in the first column of a table
// of a page, below a heading.
func firstCells(t *testing.T, page, heading string) (names []string) {
	t.Helper()
	p, err := docs.Find(page)
	require.NoError(t, err)
	_, text, found := strings.Cut(p.Text, "\n## "+heading+"\n")
	require.True(t, found, heading)
	text, _, _ = strings.Cut(text, "\n## ")
	for line := range strings.Lines(text) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, m := range docCode.FindAllStringSubmatch(cells[1], -1) {
				names = append(names, m[1])
			}
		}
	}
	require.NotEmpty(t, names, heading)
	return names
}

// The table of metrics names those that are served.
func TestDocsNameMetricsThatThereAre(t *testing.T) {
	text := scrapeAll(t)
	for _, name := range firstCells(t, "operations", "What to watch") {
		name, _, _ = strings.Cut(name, "{")
		own, process := "\n# TYPE sluice_"+name+" ", "\n# TYPE "+name+" "
		require.True(t, strings.Contains(text, own) || strings.Contains(text, process), "no metric %q is served", name)
	}
}

// The table of close reasons has them all, and no other.
func TestDocsHaveEveryCloseReason(t *testing.T) {
	var reasons []string
	for _, r := range loop.Reasons() {
		reasons = append(reasons, r.String())
	}
	require.ElementsMatch(t, reasons, firstCells(t, "operations", "Close reasons"))
}

// The table of methods names those that are served, and no other.
func TestDocsHaveEveryMethod(t *testing.T) {
	var names []string
	for _, path := range api.Paths("/")[1:] {
		names = append(names, strings.TrimPrefix(path, "/"))
	}
	require.ElementsMatch(t, names, firstCells(t, "api", "Methods"))
	s := startServer(t, parts{})
	for _, name := range names {
		status, _, _ := s.api.Call(t, name, `{"params": {}}`)
		require.NotEqual(t, 404, status, name)
	}
}

// sections are the first parts of keys by which a name between backquotes is
// known to be an option.
var sections = regexp.MustCompile(`^(?:uni_sse|http_server|http_api|client|channel|engine|health|prometheus|debug|log|node|shutdown)\.[a-z_]`)

// The README and the pages name options that there are.
func TestDocsNameOptionsThatThereAre(t *testing.T) {
	known := make(map[string]bool)
	for _, o := range config.Options() {
		key := strings.ReplaceAll(o.Key, "[]", "")
		for key != "" { // and all sections above it
			known[key] = true
			key = key[:max(strings.LastIndexByte(key, '.'), 0)]
		}
	}
	paths, err := filepath.Glob("../docs/*.md")
	require.NoError(t, err)
	named := 0
	for _, path := range append(paths, "../../README.md") {
		if filepath.Base(path) == "options.md" { // generated
			continue
		}
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, m := range docCode.FindAllStringSubmatch(string(text), -1) {
			key := strings.TrimSuffix(strings.FieldsFunc(m[1], func(r rune) bool { return strings.ContainsRune(" :,=", r) })[0], ".*")
			if sections.MatchString(key) && !strings.HasSuffix(key, ".go") {
				require.True(t, known[key], "%s: `%s` is no option", path, m[1])
				named++
			}
		}
	}
	require.Greater(t, named, 100)
}
