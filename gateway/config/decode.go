package config

import (
	"fmt"
	"reflect"
	"strings"

	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
)

// source names where a tree comes from, for messages.
type input struct {
	name  string // "file config.json", "env SLUICE_X", "flag --x"
	lines bool   // whether line numbers of nodes mean something to the operator
}

func (s input) at(line int) source.Place {
	if !s.lines {
		line = 0
	}
	return source.Place{Origin: s.name, Line: line}
}

// spell returns how an option is named in this source.
func (s input) spell(key string) string {
	kind, name, _ := strings.Cut(s.name, " ")
	switch kind {
	case "env":
		for _, prefix := range schema.EnvPrefixes {
			if strings.HasPrefix(name, prefix) {
				return prefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
			}
		}
	case "flag":
		return "--" + key
	}
	return key
}

// value returns the configuration as an addressable struct.
func (l *loader) value() reflect.Value { return reflect.ValueOf(l.cfg).Elem() }

// section decodes the object n into dst, a struct of s. path is the dotted key of the section, "" at the root.
func (l *loader) section(in input, path string, s *schema.Section, n *source.Node, dst reflect.Value) {
	o := n.Value.(*source.Object)
	seen := map[string]bool{}
	for _, m := range o.Members {
		name := strings.ToLower(m.Key)
		key := schema.Join(path, name)
		if seen[name] {
			l.note(in.at(m.Value.Line), key, report.KindDuplicate, "given twice; the last one counts", "")
		}
		seen[name] = true
		if f := s.ByName[name]; f != nil {
			l.field(in, key, f, m.Value, dst.FieldByIndex(f.Index))
			continue
		}
		if f := s.FileOf(name); f != nil {
			l.secretFile(in, schema.Join(path, f.Name), f, o, m.Value, dst.FieldByIndex(f.Index))
			continue
		}
		if l.unsupported(in, key, m.Value) {
			continue
		}
		var try suggestion
		if l.unknowns++; l.unknowns <= maxSuggestions {
			try = suggestKey(path, name, s)
		}
		l.unknown(in.at(m.Value.Line), schema.Join(path, m.Key), "unknown key, ignored", try)
	}
}

// maxSuggestions bounds the search for what was meant: it takes a while, and a file may be no config file at all.
const maxSuggestions = 200

// unknown notes a key, variable or flag that nothing knows.
func (l *loader) unknown(at source.Place, key, detail string, try suggestion) {
	if try.why != "" {
		detail += ": " + try.why
	}
	l.note(at, key, report.KindUnknown, detail, try.key)
}

// field decodes n into dst and notes that key is set. null leaves the option as it is.
func (l *loader) field(in input, key string, f *schema.Field, n *source.Node, dst reflect.Value) {
	if n.Value == nil {
		return
	}
	where := in.at(n.Line)
	switch f.Kind {
	case schema.KindSection:
		if _, ok := n.Value.(*source.Object); !ok {
			l.fail(where, key, wrongSection(f.Sub, n))
			return
		}
		l.section(in, key, f.Sub, n, dst)
		return
	case schema.KindObjects:
		l.objects(in, key, f, n, dst)
		return
	}
	if wrong := f.Assign(dst, n); wrong != "" {
		l.fail(where, key, wrong)
		return
	}
	l.set(key, where)
	if f.ZeroDefault && f.IsZero(n) {
		l.note(where, key, report.KindAdvice, f.ZeroAdvice(n), "")
	}
}

// objects decodes a list of objects; it replaces what an earlier source gave.
func (l *loader) objects(in input, key string, f *schema.Field, n *source.Node, dst reflect.Value) {
	items, ok := n.Value.([]*source.Node)
	if !ok {
		l.fail(in.at(n.Line), key, showFor(f.Sub, n)+" is not a list of objects: allowed a list such as [{...}]")
		return
	}
	l.rep.Forget(key)
	l.set(key, in.at(n.Line))
	list := reflect.MakeSlice(dst.Type(), len(items), len(items))
	dst.Set(list)
	for i, item := range items {
		at := fmt.Sprintf("%s[%d]", key, i)
		f.Sub.ApplyDefaults(list.Index(i))
		if _, ok := item.Value.(*source.Object); !ok {
			l.fail(in.at(item.Line), at, wrongSection(f.Sub, item))
			continue
		}
		l.section(in, at, f.Sub, item, list.Index(i))
	}
}

// showFor renders a value that stands where a section should; the whole value counts as secret if the section holds one.
func showFor(s *schema.Section, n *source.Node) string {
	if s.HasSecret {
		return n.ShowType()
	}
	return n.Show()
}

func wrongSection(s *schema.Section, n *source.Node) string {
	example := "{...}"
	if s.ByName["enabled"] != nil {
		example = `{"enabled": true, ...}`
	}
	return showFor(s, n) + " is not an object: allowed an object such as " + example
}
