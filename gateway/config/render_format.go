package config

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sluice/gateway/config/schema"
)

// writeJSON writes indented JSON.
func writeJSON(o *outline) []byte {
	var out bytes.Buffer
	jsonValue(&out, o, "", true)
	out.WriteByte('\n')
	return out.Bytes()
}

// compactJSON renders a value of an entry on one line, for environment variables.
func compactJSON(v any) string {
	var out bytes.Buffer
	jsonValue(&out, v, "", false)
	return out.String()
}

func jsonValue(out *bytes.Buffer, v any, indent string, pretty bool) {
	switch v := v.(type) {
	case *outline:
		jsonList(out, '{', '}', len(v.entries), indent, pretty, func(i int, deeper string) {
			out.WriteString(quoteText(v.entries[i].key) + ":")
			if pretty {
				out.WriteByte(' ')
			}
			jsonValue(out, v.entries[i].v, deeper, pretty)
		})
	case []*outline:
		jsonList(out, '[', ']', len(v), indent, pretty, func(i int, deeper string) {
			jsonValue(out, v[i], deeper, pretty)
		})
	case map[string]string:
		keys := slices.Sorted(maps.Keys(v))
		jsonList(out, '{', '}', len(keys), indent, pretty, func(i int, _ string) {
			fmt.Fprintf(out, "%s:%s", quoteText(keys[i]), quoteText(v[keys[i]]))
		})
	default:
		out.WriteString(scalarText(v))
	}
}

// jsonList writes n items between two brackets, each on a line of its own when pretty.
func jsonList(out *bytes.Buffer, begin, end byte, n int, indent string, pretty bool, item func(i int, deeper string)) {
	deeper := indent + "  "
	out.WriteByte(begin)
	for i := range n {
		if i > 0 {
			out.WriteByte(',')
		}
		if pretty {
			out.WriteString("\n" + deeper)
		}
		item(i, deeper)
	}
	if pretty && n > 0 {
		out.WriteString("\n" + indent)
	}
	out.WriteByte(end)
}

// writeYAML writes block style with comments; scalars as JSON has them, which is YAML too.
func writeYAML(o *outline) []byte {
	var out bytes.Buffer
	if len(o.entries) == 0 {
		out.WriteString("{}\n") // an empty file is refused
	}
	yamlSection(&out, o, "", true)
	return out.Bytes()
}

func yamlSection(out *bytes.Buffer, o *outline, indent string, top bool) {
	for i, e := range o.entries {
		if top && i > 0 {
			out.WriteByte('\n')
		}
		writeComment(out, indent, e.doc)
		switch v := e.v.(type) {
		case *outline:
			fmt.Fprintf(out, "%s%s:\n", indent, e.key)
			yamlSection(out, v, indent+"  ", false)
		case []*outline:
			yamlObjects(out, e.key, v, indent)
		case map[string]string:
			if len(v) == 0 {
				fmt.Fprintf(out, "%s%s: {}\n", indent, e.key)
				continue
			}
			fmt.Fprintf(out, "%s%s:\n", indent, e.key)
			for _, k := range slices.Sorted(maps.Keys(v)) {
				fmt.Fprintf(out, "%s  %s: %s\n", indent, quoteText(k), quoteText(v[k]))
			}
		default:
			fmt.Fprintf(out, "%s%s: %s\n", indent, e.key, scalarText(v))
		}
	}
}

func yamlObjects(out *bytes.Buffer, key string, items []*outline, indent string) {
	if len(items) == 0 {
		fmt.Fprintf(out, "%s%s: []\n", indent, key)
		return
	}
	fmt.Fprintf(out, "%s%s:\n", indent, key)
	for _, item := range items {
		var text bytes.Buffer
		yamlSection(&text, item, indent+"    ", false)
		fmt.Fprintf(out, "%s  - %s", indent, strings.TrimPrefix(text.String(), indent+"    "))
	}
}

// writeTOML writes tables with comments. In TOML the plain keys of a table come before its tables.
func writeTOML(o *outline) []byte {
	var out bytes.Buffer
	tomlTable(&out, o, "")
	return out.Bytes()
}

func tomlTable(out *bytes.Buffer, o *outline, path string) {
	for _, e := range o.entries {
		if e.isTable() {
			continue
		}
		writeComment(out, "", e.doc)
		switch v := e.v.(type) {
		case []*outline:
			fmt.Fprintf(out, "%s = []\n", e.key)
		case map[string]string:
			var pairs []string
			for _, k := range slices.Sorted(maps.Keys(v)) {
				pairs = append(pairs, quoteText(k)+" = "+quoteText(v[k]))
			}
			fmt.Fprintf(out, "%s = {%s}\n", e.key, strings.Join(pairs, ", "))
		default:
			fmt.Fprintf(out, "%s = %s\n", e.key, scalarText(v))
		}
	}
	for _, e := range o.entries {
		at := schema.Join(path, e.key)
		switch v := e.v.(type) {
		case *outline:
			if e.doc != "" || !v.onlyTables() { // a table is there by those in it
				tomlHead(out, e.doc, "["+at+"]")
			}
			tomlTable(out, v, at)
		case []*outline:
			for i, item := range v {
				doc := e.doc
				if i > 0 {
					doc = ""
				}
				tomlHead(out, doc, "[["+at+"]]")
				tomlTable(out, item, at)
			}
		}
	}
}

// isTable reports whether TOML writes the entry as a table or as several.
func (e entry) isTable() bool {
	if list, ok := e.v.([]*outline); ok {
		return len(list) > 0
	}
	_, ok := e.v.(*outline)
	return ok
}

// onlyTables reports whether TOML writes everything in o as tables, of which there are some.
func (o *outline) onlyTables() bool {
	return len(o.entries) > 0 && !slices.ContainsFunc(o.entries, func(e entry) bool { return !e.isTable() })
}

func tomlHead(out *bytes.Buffer, doc, head string) {
	if out.Len() > 0 {
		out.WriteByte('\n')
	}
	writeComment(out, "", doc)
	out.WriteString(head + "\n")
}
