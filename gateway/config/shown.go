package config

import (
	"reflect"
	"strings"

	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
	"sluice/gateway/problem"
)

// Shown is an option with its value as far as it may be seen.
type Shown struct {
	*schema.Field
	Value   string // JSON; what is secret in it is problem.Hidden
	Default string // the same
	Changed bool   // the value is not the default
}

// Show returns all options of a configuration in the order of [Options], but for those within
// lists, which stand in the value of the list. No text in it shows a secret.
func Show(c *Config) []Shown {
	return show(nil, schema.Root, reflect.ValueOf(c).Elem(), reflect.ValueOf(Default()).Elem())
}

func show(all []Shown, s *schema.Section, v, def reflect.Value) []Shown {
	for _, f := range s.Fields {
		is, was := v.FieldByIndex(f.Index), def.FieldByIndex(f.Index)
		if f.Kind == schema.KindSection {
			all = show(all, f.Sub, is, was)
			continue
		}
		value, usual := f.Plain(is), f.Plain(was)
		all = append(all, Shown{f, masked(f, value).JSON(), masked(f, usual).JSON(), value.JSON() != usual.JSON()})
	}
	return all
}

// masked returns a value of an option without what must not be shown.
func masked(f *schema.Field, n *source.Node) *source.Node {
	switch v := n.Value.(type) {
	case string:
		return &source.Node{Value: maskedText(f.Secret, v)}
	case []*source.Node:
		items := make([]*source.Node, len(v))
		for i, item := range v {
			items[i] = masked(f, item)
		}
		return &source.Node{Value: items}
	case *source.Object:
		o := &source.Object{}
		for _, m := range v.Members {
			inner := f
			if f.Sub != nil {
				inner = f.Sub.ByName[m.Key]
			}
			o.Members = append(o.Members, source.Member{Key: m.Key, Value: masked(inner, m.Value)})
		}
		return &source.Node{Value: o}
	}
	return n
}

// mostShown is how much of a text is shown, in bytes: a certificate is longer.
const mostShown = 2000

// maskedText returns as much of a text as may be seen. Why addresses in any option: one may
// stand where none is expected, with a password in it.
func maskedText(secrecy schema.Secrecy, text string) string {
	switch {
	case text == "":
		return ""
	case secrecy == schema.SecretAll, strings.Contains(text, "PRIVATE KEY"):
		return problem.Hidden
	case secrecy == schema.SecretURL, strings.Contains(text, "://"):
		if stripped := problem.StripURL(text); stripped != problem.Hidden || strings.ContainsAny(text, "@?&=") {
			return stripped
		}
	}
	if text = problem.MaskUserinfo(text); len(text) > mostShown {
		text = strings.ToValidUTF8(text[:mostShown], "") + "… (shortened)"
	}
	return text
}
