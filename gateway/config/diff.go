package config

import (
	"fmt"
	"reflect"

	"sluice/gateway/config/schema"
)

// Change is one option in which two configurations differ.
type Change struct {
	Key  string // dotted; entries of channel.namespaces are named: channel.namespaces[news].history_size
	Live bool   // a reload takes effect at once; otherwise a restart is needed
	Text string // what changed, for the log: "25s -> 30s", "added", "removed", or "changed" where the values are secret or long
}

// String returns "<key>: <text>".
func (c Change) String() string { return c.Key + ": " + c.Text }

// Diff compares two configurations and returns what takes effect when the second replaces the first in a running
// gateway (PROTOCOL 9.4), and what needs a restart, both in the order of Options. No text shows a secret.
func Diff(before, after *Config) (live, restart []Change) {
	d := &differ{}
	d.section("", schema.Root, reflect.ValueOf(before).Elem(), reflect.ValueOf(after).Elem(), false)
	for _, c := range d.changes {
		if c.Live {
			live = append(live, c)
		} else {
			restart = append(restart, c)
		}
	}
	return live, restart
}

type differ struct{ changes []Change }

func (d *differ) section(path string, s *schema.Section, before, after reflect.Value, live bool) {
	for _, f := range s.Fields {
		a, b := before.FieldByIndex(f.Index), after.FieldByIndex(f.Index)
		key, live := schema.Join(path, f.Name), f.Live.Within(live)
		switch {
		case f.Kind == schema.KindSection:
			d.section(key, f.Sub, a, b, live)
		case equal(f, a, b):
		case key == schema.NamespacesKey:
			d.namespaces(f, a.Interface().([]Namespace), b.Interface().([]Namespace), live)
		default:
			d.changes = append(d.changes, Change{Key: key, Live: live, Text: changed(f, a, b)})
		}
	}
}

// namespaces compares lists of namespaces by name: their order means nothing.
func (d *differ) namespaces(f *schema.Field, before, after []Namespace, live bool) {
	find := func(list []Namespace, name string) *Namespace {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
		return nil
	}
	add := func(name, text string) {
		d.changes = append(d.changes, Change{Key: fmt.Sprintf("%s[%s]", schema.NamespacesKey, name), Live: live, Text: text})
	}
	for i := range before {
		a := &before[i]
		b := find(after, a.Name)
		if b == nil {
			add(a.Name, "removed")
			continue
		}
		d.section(fmt.Sprintf("%s[%s]", schema.NamespacesKey, a.Name), f.Sub, reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem(), live)
	}
	for i := range after {
		if find(before, after[i].Name) == nil {
			add(after[i].Name, "added")
		}
	}
}

// equal compares two values of the option; a list or map that is nil equals an empty one.
func equal(f *schema.Field, a, b reflect.Value) bool {
	switch f.Kind {
	case schema.KindStrings, schema.KindStringMap, schema.KindObjects:
		if a.Len() == 0 && b.Len() == 0 {
			return true
		}
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

// changed says how a value changed.
func changed(f *schema.Field, before, after reflect.Value) string {
	if f.Secret != schema.SecretNone || f.Kind == schema.KindObjects || f.Kind == schema.KindStringMap {
		return "changed"
	}
	const most = 80
	text := f.Plain(before).JSON() + " -> " + f.Plain(after).JSON()
	if len(text) > most {
		return "changed"
	}
	return text
}
