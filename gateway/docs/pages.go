package docs

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed *.md
var files embed.FS

// Page is one page of the documentation.
type Page struct {
	Name  string // its file without ".md"
	About string // whom it serves or what is in it: the begin of its first paragraph
	Text  string // Markdown, without the marks that only tests read
}

// Pages returns all pages, sorted by name.
func Pages() []Page {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic("BUG: " + err.Error())
	}
	pages := make([]Page, 0, len(entries))
	for _, entry := range entries {
		text, err := files.ReadFile(entry.Name())
		if err != nil {
			panic("BUG: " + err.Error())
		}
		pages = append(pages, newPage(strings.TrimSuffix(entry.Name(), ".md"), string(text)))
	}
	return pages
}

// Find returns the page of a name, with or without ".md". The error names those
// that there are, and where the name is that of a chapter.
func Find(name string) (Page, error) {
	name = strings.TrimSuffix(strings.ToLower(name), ".md")
	var names []string
	var chapters strings.Builder
	for _, p := range Pages() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
		for line := range strings.Lines(p.Text) {
			if title, ok := strings.CutPrefix(line, "## "); ok && name != "" && strings.Contains(strings.ToLower(title), name) {
				fmt.Fprintf(&chapters, "; %s has %q", p.Name, strings.TrimSpace(title))
			}
		}
	}
	if name == "readme" {
		chapters.WriteString("; README.md is with the sources only")
	}
	return Page{}, fmt.Errorf("no page %q: there are %s%s", name, strings.Join(names, ", "), chapters.String())
}

func newPage(name, text string) Page {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "<!-- ") {
			kept.WriteString(line)
		}
	}
	_, intro, _ := strings.Cut(text, "\n\n")
	intro, _, _ = strings.Cut(intro, "\n\n")
	intro = strings.Join(strings.Fields(intro), " ")
	if end := strings.IndexAny(intro, ":."); end > 0 {
		intro = intro[:end]
	}
	return Page{Name: name, About: intro, Text: kept.String()}
}
