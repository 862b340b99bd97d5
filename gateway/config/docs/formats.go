package docs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
)

// writers maps extensions of config files to what writes them. Why YAML and TOML by hand: no encoder of theirs writes comments
// to keys in an order of ours. Their values are JSON, which both understand.
var writers = map[string]func(*file) []byte{
	".json": writeJSON,
	".yaml": writeYAML,
	".yml":  writeYAML,
	".toml": writeTOML,
}

// file is a config file to be written.
type file struct {
	tree      *source.Object
	explained bool // with comments
}

// render writes f in the format that the extension of path names.
func render(path string, f *file) ([]byte, error) {
	write := writers[strings.ToLower(filepath.Ext(path))]
	if write == nil {
		return nil, fmt.Errorf("config: %q is not the extension of a known format: allowed .json, .yaml, .yml, .toml", filepath.Ext(path))
	}
	return write(f), nil
}

func writeJSON(f *file) []byte {
	var out bytes.Buffer
	if err := json.Indent(&out, []byte((&source.Node{Value: f.tree}).JSON()), "", "  "); err != nil {
		panic("BUG: config: no JSON: " + err.Error())
	}
	return append(out.Bytes(), '\n')
}

// section is what is written below a key.
type section struct {
	key       string          // dotted, "" at the top
	schema    *schema.Section // nil in a map of strings, whose keys can be anything
	explained bool
}

// below returns the section at a key of s.
func (s section) below(name string) section {
	inner := section{key: schema.Join(s.key, name), explained: s.explained}
	if f := s.schema.ByName[name]; f != nil {
		inner.schema = f.Sub
		inner.explained = s.explained && f.Kind == schema.KindSection // the list of an element says it already
	}
	return inner
}

// comment explains a key of s, "" if it is not to be explained.
func (s section) comment(name string) string {
	if !s.explained {
		return ""
	}
	return comment(s.schema.ByName[name])
}

// writeYAML writes block style with comments.
func writeYAML(f *file) []byte {
	var out bytes.Buffer
	if len(f.tree.Members) == 0 {
		out.WriteString("{}\n") // an empty file is refused
	}
	writeYAMLSection(&out, f.tree, section{schema: schema.Root, explained: f.explained}, "")
	return out.Bytes()
}

func writeYAMLSection(out *bytes.Buffer, o *source.Object, s section, indent string) {
	for i, m := range o.Members {
		if s.key == "" && i > 0 {
			out.WriteByte('\n')
		}
		if s.schema == nil {
			fmt.Fprintf(out, "%s%s: %s\n", indent, source.Quote(m.Key), m.Value.JSON())
			continue
		}
		writeComment(out, indent, s.comment(m.Key))
		out.WriteString(indent + m.Key + ":")
		inner, isObject := m.Value.Value.(*source.Object)
		items := objects(m.Value)
		switch {
		case isObject && len(inner.Members) > 0:
			out.WriteByte('\n')
			writeYAMLSection(out, inner, s.below(m.Key), indent+"  ")
		case len(items) > 0:
			out.WriteByte('\n')
			for _, item := range items {
				var text bytes.Buffer
				writeYAMLSection(&text, item, s.below(m.Key), indent+"    ")
				fmt.Fprintf(out, "%s  - %s", indent, strings.TrimPrefix(text.String(), indent+"    "))
			}
		default:
			out.WriteString(" " + m.Value.JSON() + "\n")
		}
	}
}

// objects returns the elements of a list of objects, nil for all else.
func objects(n *source.Node) []*source.Object {
	items, _ := n.Value.([]*source.Node)
	var all []*source.Object
	for _, item := range items {
		if o, ok := item.Value.(*source.Object); ok {
			all = append(all, o)
		}
	}
	return all
}

// writeTOML writes tables with comments. In TOML the plain keys of a table come before its tables.
func writeTOML(f *file) []byte {
	var out bytes.Buffer
	writeTOMLTable(&out, f.tree, section{schema: schema.Root, explained: f.explained}, "", "")
	return out.Bytes()
}

// writeTOMLTable writes o, which begins with head and its comment; the top has none.
func writeTOMLTable(out *bytes.Buffer, o *source.Object, s section, head, comment string) {
	var plain, tables []source.Member
	for _, m := range o.Members {
		if f := s.schema.ByName[m.Key]; len(objects(m.Value)) > 0 || f != nil && f.Kind == schema.KindSection {
			tables = append(tables, m)
		} else {
			plain = append(plain, m)
		}
	}
	// Why not always: a table is there by those in it.
	if strings.HasPrefix(head, "[[") || head != "" && (comment != "" || len(plain) > 0 || len(tables) == 0) {
		if out.Len() > 0 {
			out.WriteByte('\n')
		}
		writeComment(out, "", comment)
		out.WriteString(head + "\n")
	}
	for _, m := range plain {
		writeComment(out, "", s.comment(m.Key))
		fmt.Fprintf(out, "%s = %s\n", m.Key, tomlValue(m.Value))
	}
	for _, m := range tables {
		inner, comment := s.below(m.Key), s.comment(m.Key)
		if table, ok := m.Value.Value.(*source.Object); ok {
			writeTOMLTable(out, table, inner, "["+inner.key+"]", comment)
		}
		for _, item := range objects(m.Value) {
			writeTOMLTable(out, item, inner, "[["+inner.key+"]]", comment)
			comment = ""
		}
	}
}

// tomlValue returns a value as TOML has it: JSON, but for what stands between a key and its value.
func tomlValue(n *source.Node) string {
	o, ok := n.Value.(*source.Object)
	if !ok {
		return n.JSON()
	}
	pairs := make([]string, len(o.Members))
	for i, m := range o.Members {
		pairs[i] = source.Quote(m.Key) + " = " + m.Value.JSON()
	}
	return "{" + strings.Join(pairs, ", ") + "}"
}
