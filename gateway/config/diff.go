package config

import (
	"fmt"
	"reflect"
	"slices"

	"sluice/gateway/config/schema"
)

// Change is one option in which two configurations differ.
type Change struct {
	Key  string // dotted; entries of channel.namespaces are named: channel.namespaces[news].history_size
	Live bool   // a reload takes effect at once; otherwise a restart is needed
	Text string // what changed, for the log: "25s -> 30s", "added", "removed", or "changed" where the values are secret or long
	// From and To are the values as JSON, without what must not be shown; "" where there is none, as of an entry that was added.
	From, To string
}

// String returns "<key>: <text>".
func (c Change) String() string { return c.Key + ": " + c.Text }

// Diff compares two configurations and returns what takes effect when the second replaces the first in a running
// gateway (PROTOCOL 9.4), and what needs a restart, both in the order of Options. No text shows a secret.
func Diff(before, after *Config) (live, restart []Change) {
	d := &differ{}
	d.section("", schema.Root, reflect.ValueOf(before).Elem(), reflect.ValueOf(after).Elem())
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

func (d *differ) section(path string, s *schema.Section, before, after reflect.Value) {
	for _, f := range s.Fields {
		key, a, b := schema.Join(path, f.Name), before.FieldByIndex(f.Index), after.FieldByIndex(f.Index)
		was, is := f.Plain(a), f.Plain(b)
		switch {
		case reflect.DeepEqual(was, is):
		case f.Kind == schema.KindSection:
			d.section(key, f.Sub, a, b)
		case f.Key == schema.NamespacesKey:
			d.namespaces(f, a.Interface().([]Namespace), b.Interface().([]Namespace))
		default:
			d.changes = append(d.changes, Change{
				Key: key, Live: f.Live, Text: changed(f, was.JSON(), is.JSON()), From: masked(f, was).JSON(), To: masked(f, is).JSON(),
			})
		}
	}
}

// namespaces compares lists of namespaces by name: their order means nothing.
func (d *differ) namespaces(f *schema.Field, before, after []Namespace) {
	named := func(name string) func(Namespace) bool { return func(ns Namespace) bool { return ns.Name == name } }
	key := func(name string) string { return fmt.Sprintf("%s[%s]", f.Key, name) }
	for i, a := range before {
		if j := slices.IndexFunc(after, named(a.Name)); j >= 0 {
			d.section(key(a.Name), f.Sub, reflect.ValueOf(&before[i]).Elem(), reflect.ValueOf(&after[j]).Elem())
		} else {
			d.changes = append(d.changes, Change{Key: key(a.Name), Live: f.Live, Text: "removed"})
		}
	}
	for _, b := range after {
		if !slices.ContainsFunc(before, named(b.Name)) {
			d.changes = append(d.changes, Change{Key: key(b.Name), Live: f.Live, Text: "added"})
		}
	}
}

// changed says how a value changed.
func changed(f *schema.Field, was, is string) string {
	const most = 80
	text := was + " -> " + is
	if f.File || f.Kind == schema.KindObjects || f.Kind == schema.KindStringMap || len(text) > most {
		return "changed"
	}
	return text
}
