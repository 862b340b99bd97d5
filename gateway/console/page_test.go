package console

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// pages returns the files of the console's pages by their path below the prefix.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	require.NoError(t, fs.WalkDir(os.DirFS("web"), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := os.ReadFile(filepath.Join("web", filepath.FromSlash(name)))
		found[name] = string(body)
		return err
	}))
	require.Contains(t, found, "index.html")
	return found
}

// TestPagesObeyTheirOwnPolicy keeps the files to what the Content-Security-Policy lets them do, and text from outside away
// from everything that would read it as markup, code or an address.
func TestPagesObeyTheirOwnPolicy(t *testing.T) {
	require.NotRegexp(t, `(?i)\sstyle=|<style|\son[a-z]+=|<script(>|[^>]*>[^<])|https?:`, pages(t)["index.html"])
	dangerous := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|createContextualFragment|setHTMLUnsafe|document\.write|` +
		`\beval\(|new Function|srcdoc|DOMParser|cssText|\.style\b|setAttribute\('(?:on|src|href)|location\s*=|location\.(?:assign|replace)|window\.open|postMessage`)
	foreign := regexp.MustCompile(`https?://|//[a-z]+\.|@import|\burl\(`)
	namespace := "'http://www.w3.org/2000/svg'" // a name, loaded by nobody
	scripts := 0
	for at, body := range pages(t) {
		switch path.Ext(at) {
		case ".js":
			scripts++
			require.Empty(t, dangerous.FindString(body), at)
			fallthrough
		case ".css":
			require.Empty(t, foreign.FindString(strings.ReplaceAll(body, namespace, "")), at)
		}
	}
	require.Positive(t, scripts)
}

func TestEverythingThePagesLoadIsThere(t *testing.T) {
	files := pages(t)
	loaded := map[string]bool{"index.html": true}
	for _, found := range regexp.MustCompile(`(?:src|href)="([^"#]+)"`).FindAllStringSubmatch(files["index.html"], -1) {
		require.Contains(t, files, found[1])
		require.NotEqual(t, "/", found[1][:1], "%s: the prefix may be any", found[1])
		loaded[found[1]] = true
	}
	for at, body := range files {
		for _, found := range regexp.MustCompile(`(?:from|import\() ?'(\.[^']*)'`).FindAllStringSubmatch(body, -1) {
			name := path.Join(path.Dir(at), found[1])
			require.Contains(t, files, name, "imported by %s", at)
			loaded[name] = true
		}
		require.LessOrEqual(t, strings.Count(body, "\n"), 400, at)
	}
	for at := range files {
		require.Contains(t, loaded, at, "nothing loads it")
	}
}

// TestScriptsFindTheirElements checks that each element id the scripts name is in the page, or made by them.
func TestScriptsFindTheirElements(t *testing.T) {
	files := pages(t)
	ids := map[string]bool{"session": true} // made by main.js
	for _, found := range regexp.MustCompile(`\sid="([^"]+)"`).FindAllStringSubmatch(files["index.html"], -1) {
		require.False(t, ids[found[1]], "id %q is used twice", found[1])
		ids[found[1]] = true
	}
	named := 0
	for at, body := range files {
		for _, found := range regexp.MustCompile(`(?:\$|getElementById)\('([\w-]+)'`).FindAllStringSubmatch(body, -1) {
			named++
			require.True(t, ids[found[1]], "%s names #%s", at, found[1])
		}
	}
	require.Positive(t, named)
}

// TestNamesImportedAreExported catches what a browser would say only when the view is opened.
func TestNamesImportedAreExported(t *testing.T) {
	files := pages(t)
	for at, body := range files {
		for _, found := range regexp.MustCompile(`import \{([^}]*)\} from '(\.[^']*)'`).FindAllStringSubmatch(body, -1) {
			from := files[path.Join(path.Dir(at), found[2])]
			for name := range strings.SplitSeq(found[1], ",") {
				name, _, _ = strings.Cut(strings.TrimSpace(name), " as ")
				quoted := `(?:^|[^\w$])` + regexp.QuoteMeta(name) + `(?:[^\w$]|$)`
				require.True(t, regexp.MustCompile(`export (?:async )?(?:function|class|const)`+quoted).MatchString(from), "%s imports %s from %s", at, name, found[2])
				require.Greater(t, len(regexp.MustCompile(quoted).FindAllString(body, -1)), 1, "%s does not use %s", at, name)
			}
		}
	}
}

// TestPartsSharedWithTheLivePageAreTheSame: each is embedded by its own package, which cannot reach beyond its folder.
func TestPartsSharedWithTheLivePageAreTheSame(t *testing.T) {
	for _, name := range []string{"json.js", "text.js"} {
		theirs, err := os.ReadFile(filepath.Join("..", "admin", "web", "live", name))
		require.NoError(t, err)
		require.Equal(t, string(theirs), pages(t)["js/"+name], "copy gateway/admin/web/live/%s to gateway/console/web/js", name)
	}
}

func TestScriptsComputeWhatTheyShow(t *testing.T) {
	program := testkit.NeedProgram(t, []string{"node"}, "apt-get install nodejs")
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(dir, "js"), os.DirFS("web/js")))
	test, err := os.ReadFile("testdata/logic.test.mjs")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "logic.test.mjs"), test, 0o600))
	// In a browser each is a module; older versions of node want to be told.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"type": "module"}`), 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, program, "--test", "logic.test.mjs")
	command.Dir = dir
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
