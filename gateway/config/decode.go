package config

import (
	"fmt"
	"reflect"
	"strings"
)

// source names where a tree comes from, for messages.
type source struct {
	name  string // "file config.json", "env SLUICE_X", "flag --x"
	lines bool   // whether line numbers of nodes mean something to the operator
}

func (s source) at(line int) place {
	if !s.lines {
		line = 0
	}
	return place{s.name, line}
}

// spell returns how an option is named in this source.
func (s source) spell(key string) string {
	kind, name, _ := strings.Cut(s.name, " ")
	switch kind {
	case "env":
		for _, prefix := range envPrefixes {
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
func (l *loader) section(in source, path string, s *schema, n *node, dst reflect.Value) {
	o := n.v.(*object)
	seen := map[string]bool{}
	for _, m := range o.members {
		name := strings.ToLower(m.key)
		key := join(path, name)
		if seen[name] {
			l.note(in.at(m.value.line), key, KindDuplicate, "given twice; the last one counts", "")
		}
		seen[name] = true
		if f := s.byName[name]; f != nil {
			l.field(in, key, f, m.value, dst.FieldByIndex(f.index))
			continue
		}
		if f := s.secretFile(name); f != nil {
			l.secretFile(in, join(path, f.name), f, o, m.value, dst.FieldByIndex(f.index))
			continue
		}
		if l.unsupported(in, key, m.value) {
			continue
		}
		var try suggestion
		if l.unknowns++; l.unknowns <= maxSuggestions {
			try = suggestKey(path, name, s)
		}
		l.unknown(in.at(m.value.line), join(path, m.key), "unknown key, ignored", try)
	}
}

// maxSuggestions bounds the search for what was meant: it takes a while, and a file may be no config file at all.
const maxSuggestions = 200

// unknown notes a key, variable or flag that nothing knows.
func (l *loader) unknown(at place, key, detail string, try suggestion) {
	if try.why != "" {
		detail += ": " + try.why
	}
	l.note(at, key, KindUnknown, detail, try.key)
}

// field decodes n into dst and notes that key is set. null leaves the option as it is.
func (l *loader) field(in source, key string, f *field, n *node, dst reflect.Value) {
	if n.v == nil {
		return
	}
	where := in.at(n.line)
	switch f.kind {
	case kindSection:
		if _, ok := n.v.(*object); !ok {
			l.fail(where, key, f.sub.wrongSection(n))
			return
		}
		l.section(in, key, f.sub, n, dst)
		return
	case kindObjects:
		l.objects(in, key, f, n, dst)
		return
	}
	if wrong := f.assign(dst, n); wrong != "" {
		l.fail(where, key, wrong)
		return
	}
	l.set(key, where)
	if f.zeroDefault && f.isZero(n) {
		l.note(where, key, KindAdvice, f.zeroAdvice(n), "")
	}
}

// objects decodes a list of objects; it replaces what an earlier source gave.
func (l *loader) objects(in source, key string, f *field, n *node, dst reflect.Value) {
	items, ok := n.v.([]*node)
	if !ok {
		l.fail(in.at(n.line), key, f.sub.showFor(n)+" is not a list of objects: allowed a list such as [{...}]")
		return
	}
	for k := range l.rep.origins {
		if below(k, key) {
			delete(l.rep.origins, k)
			delete(l.rep.written, k)
		}
	}
	l.set(key, in.at(n.line))
	list := reflect.MakeSlice(dst.Type(), len(items), len(items))
	dst.Set(list)
	for i, item := range items {
		at := fmt.Sprintf("%s[%d]", key, i)
		f.sub.applyDefaults(list.Index(i))
		if _, ok := item.v.(*object); !ok {
			l.fail(in.at(item.line), at, f.sub.wrongSection(item))
			continue
		}
		l.section(in, at, f.sub, item, list.Index(i))
	}
}

// showFor renders a value that stands where a section should; the whole value counts as secret if the section holds one.
func (s *schema) showFor(n *node) string {
	if s.hasSecret {
		return n.showType()
	}
	return n.show()
}

func (s *schema) wrongSection(n *node) string {
	example := "{...}"
	if s.byName["enabled"] != nil {
		example = `{"enabled": true, ...}`
	}
	return s.showFor(n) + " is not an object: allowed an object such as " + example
}
