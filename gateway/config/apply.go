package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"sluice/gateway/config/legacy"
	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
)

// This file is the one way of every setting, wherever it comes from, into the configuration. Sources are applied from the weakest
// to the strongest, so that the last one counts.

// rewrite gives the settings of one source the names of version 6.
func (l *loader) rewrite(in []source.Setting) []source.Setting {
	out, notes, wrong := l.old.Rewrite(in)
	for _, f := range notes {
		l.rep.Add(f)
	}
	for _, e := range wrong {
		l.errs = append(l.errs, e)
		l.rep.Spoil(e.Key)
	}
	return out
}

// inside returns the setting of a key inside another one.
func inside(s source.Setting, key string, n *source.Node) source.Setting {
	at := source.Setting{Key: schema.Join(s.Key, key), Value: n, Place: source.Place{Origin: s.Origin}}
	if s.Written != "" {
		at.Written = schema.Join(s.Written, key)
	}
	if s.Line != 0 { // else it is no file
		at.Line = n.Line
	}
	return at
}

// insideAs returns the setting of a member of an object under this key.
func insideAs(s source.Setting, key string, m source.Member) source.Setting {
	at := inside(s, key, m.Value)
	if m.Written != "" {
		at.Written = schema.Join(s.Written, m.Written)
	}
	return at
}

// item returns the setting of element i of a list.
func item(s source.Setting, i int, n *source.Node) source.Setting {
	at, index := inside(s, "", n), fmt.Sprintf("[%d]", i)
	at.Key = s.Key + index
	if s.Written != "" {
		at.Written = s.Written + index
	}
	return at
}

// dotted decodes a setting that has the key of an option, elements of lists included. other is how its source names the value of
// an option whose file the key names, "" = it does not give it.
func (l *loader) dotted(s source.Setting, other string) {
	in, dst, path := schema.Root, l.value(), s.Key
	for {
		name, rest, more := strings.Cut(path, ".")
		if !more {
			l.member(in, name, s, other, dst)
			return
		}
		name, index, isItem := strings.Cut(name, "[")
		f := in.ByName[name]
		if f == nil || f.Sub == nil {
			l.unknown(in, name, s)
			return
		}
		in, dst, path = f.Sub, dst.FieldByIndex(f.Index), rest
		if isItem { // of a list that has it: see envOfNamespace
			i, _ := strconv.Atoi(strings.TrimSuffix(index, "]"))
			dst = dst.Index(i)
		}
	}
}

// section decodes an object into dst, a struct of in.
func (l *loader) section(in *schema.Section, s source.Setting, o *source.Object, dst reflect.Value) {
	seen := map[string]bool{}
	for _, m := range o.Members {
		name := strings.ToLower(m.Key)
		at := insideAs(s, name, m)
		if seen[name] {
			l.note(at, report.KindDuplicate, "given twice; the last one counts", "")
		}
		seen[name] = true
		other, file := "", in.FileOf(name)
		if file != nil {
			if value := o.Get(file.Name); value != nil && value.Value != nil {
				other = schema.Join(s.Key, file.Name)
			}
		}
		if in.ByName[name] == nil && file == nil {
			at = insideAs(s, m.Key, m) // as it is written
		}
		l.member(in, name, at, other, dst)
	}
}

// member decodes the setting of one key of a section into dst, a struct of in.
func (l *loader) member(in *schema.Section, name string, s source.Setting, other string, dst reflect.Value) {
	if f := in.ByName[name]; f != nil {
		l.option(f, s, dst.FieldByIndex(f.Index))
	} else if f := in.FileOf(name); f != nil {
		l.secretFile(f, s, other, dst.FieldByIndex(f.Index))
	} else {
		l.unknown(in, name, s)
	}
}

// option decodes one setting into dst. null leaves the option as it is.
func (l *loader) option(f *schema.Field, s source.Setting, dst reflect.Value) {
	if text, ok := s.Value.Value.(source.Text); ok && f.IgnoresEmpty(string(text)) {
		l.note(s, report.KindAdvice, "empty, ignored", "")
		return
	}
	n, wrong := f.Typed(s.Value)
	if wrong != "" {
		l.fail(s, wrong)
		return
	}
	s.Value = n
	if n.Value == nil {
		return
	}
	switch f.Kind {
	case schema.KindSection:
		if o, ok := n.Value.(*source.Object); ok {
			l.section(f.Sub, s, o, dst)
		} else {
			l.fail(s, f.Sub.NoObject(n))
		}
		return
	case schema.KindObjects:
		l.objects(f, s, dst)
		return
	}
	if wrong := f.Assign(dst, n); wrong != "" {
		l.fail(s, wrong)
		return
	}
	l.set(s, "")
	if f.IsDefaultZero(n) {
		l.note(s, report.KindAdvice, f.ZeroAdvice(n), "")
	}
}

// objects decodes a list of objects; it replaces what an earlier source gave.
func (l *loader) objects(f *schema.Field, s source.Setting, dst reflect.Value) {
	items, ok := s.Value.Value.([]*source.Node)
	if !ok {
		l.fail(s, f.Sub.Show(s.Value)+" is not a list of objects: allowed a list such as [{...}]")
		return
	}
	l.rep.Forget(s.Key)
	l.set(s, "")
	list := reflect.MakeSlice(dst.Type(), len(items), len(items))
	dst.Set(list)
	for i, n := range items {
		f.Sub.ApplyDefaults(list.Index(i))
		at := item(s, i, n)
		if o, ok := n.Value.(*source.Object); ok {
			l.section(f.Sub, at, o, list.Index(i))
		} else {
			l.fail(at, f.Sub.NoObject(n))
		}
	}
}

// maxSuggestions bounds the search for what was meant: it takes a while, and a file may be no config file at all.
const maxSuggestions = 200

// unknown tells of a key that is no option: name in a section.
func (l *loader) unknown(in *schema.Section, name string, s source.Setting) {
	key := strings.ToLower(s.Key)
	why, on, known := legacy.Lacking(key, s.Value)
	if on {
		if s.Key != key { // else what is written is an old name, or in lower case too
			s.Key, s.Written = key, strings.ToLower(s.Written)
		}
		l.note(s, report.KindUnsupported, "not supported, ignored: "+why, "")
	}
	if known {
		return
	}
	var try legacy.Suggestion
	if l.unknowns++; l.unknowns <= maxSuggestions {
		try = legacy.SuggestKey(strings.TrimSuffix(strings.TrimSuffix(key, name), "."), name, in)
	}
	l.noteUnknown(s, "unknown key, ignored", try)
}

// noteUnknown notes a key or variable that nothing knows.
func (l *loader) noteUnknown(s source.Setting, detail string, try legacy.Suggestion) {
	if try.Why != "" {
		detail += ": " + try.Why
	}
	l.note(s, report.KindUnknown, detail, try.Key)
}

// fail notes that a setting is wrong; without a key, that the source as a whole is.
func (l *loader) fail(s source.Setting, detail string) {
	l.errs = append(l.errs, report.NewKeyError(s.Place, s.Key, s.Written, detail))
	if s.Key != "" {
		l.rep.Spoil(s.Key)
	}
}

// note adds a finding about a setting, which is named as the source has it.
func (l *loader) note(s source.Setting, kind Kind, detail, suggestion string) {
	key := s.Key
	if s.Written != "" {
		key = s.Written
	}
	l.rep.Add(report.Finding{Origin: s.Origin, Line: s.Line, Key: key, Kind: kind, Detail: detail, Suggestion: suggestion})
}

// set notes where an option was set, and the file of its own that its value came out of, if any.
func (l *loader) set(s source.Setting, file string) {
	l.rep.Set(s.Key, report.Origin{Place: s.Place, Written: s.Written, File: file})
}
