package admin

import (
	"bytes"
	"io/fs"
	"path"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPageObeysItsOwnPolicy keeps the embedded files to what the Content-Security-Policy lets them do, and text from the
// stream away from everything that would read it as markup or code.
func TestPageObeysItsOwnPolicy(t *testing.T) {
	live := NewLive(options())
	page := string(live.files["/"].body)
	require.NotRegexp(t, `(?i)\sstyle=|<style|\son[a-z]+=|<script(>|[^>]*>[^<])|https?:`, page)

	require.NotContains(t, page, "connecting", "without its scripts it would say so for ever")

	dangerous := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|\.srcdoc|DOMParser`)
	foreign := regexp.MustCompile(`https?://|@import|url\(`)
	scripts := 0
	for at, f := range live.files {
		switch path.Ext(at) {
		case ".js":
			scripts++
			require.Empty(t, dangerous.FindString(string(f.body)), at)
			fallthrough
		case ".css":
			require.Empty(t, foreign.FindString(string(f.body)), at)
		}
	}
	require.Positive(t, scripts)
}

func TestEverythingThePageLoadsIsServed(t *testing.T) {
	live := NewLive(options())
	for _, found := range regexp.MustCompile(`(?:src|href)="(/[^"]*)"`).FindAllStringSubmatch(string(live.files["/"].body), -1) {
		require.Contains(t, live.files, found[1])
	}
	for at, f := range live.files {
		for _, found := range regexp.MustCompile(`from '(\.[^']*)'`).FindAllStringSubmatch(string(f.body), -1) {
			require.Contains(t, live.files, path.Join(path.Dir(at), found[1]), "imported by %s", at)
		}
	}
	require.NoError(t, fs.WalkDir(webFiles, "web", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			require.NotEmpty(t, contentType(name), "%s has a type browsers know", name)
		}
		return err
	}))
}

// TestScriptsFindTheirElements checks that each element id the scripts name is in the page.
func TestScriptsFindTheirElements(t *testing.T) {
	live := NewLive(options())
	ids := map[string]bool{}
	for _, found := range regexp.MustCompile(`\sid="([^"]+)"`).FindAllStringSubmatch(string(live.files["/"].body), -1) {
		require.False(t, ids[found[1]], "id %q is used twice", found[1])
		ids[found[1]] = true
	}
	lookup := regexp.MustCompile(`(?:\$|setText|getElementById)\('([\w-]+)'`)
	documented := regexp.MustCompile(`#([a-z][a-z0-9-]+)`)
	comments := regexp.MustCompile(`(?m)^//   .*$`)
	count := 0
	for at, f := range live.files {
		if path.Ext(at) != ".js" {
			continue
		}
		named := append(lookup.FindAllStringSubmatch(string(f.body), -1),
			documented.FindAllStringSubmatch(string(bytes.Join(comments.FindAll(f.body, -1), []byte("\n"))), -1)...)
		for _, found := range named {
			count++
			require.True(t, ids[found[1]], "%s names #%s", at, found[1])
		}
	}
	require.Positive(t, count)
}
