package schema

import (
	"slices"
	"sync"
)

// Option describes one option for documentation and for examples.
type Option struct {
	Key      string   // dotted, "[]" after a list of objects: channel.namespaces[].history_size
	Env      string   // variable name with the prefix SLUICE_; "" where only the list's own variable exists
	Type     string   // "bool", "int", "duration", "string", "port", "duration range", "list of strings", ...
	Default  string   // as an environment variable would give it
	Doc      string   // one or two sentences
	Unit     string   // "bytes" and the like, or ""
	Enum     []string // allowed values, or nil
	Secret   bool     // never print its value
	ZeroIs   string   // what 0 stands for when that is the default, or ""
	InObject bool     // part of an element of a list of objects
	File     bool     // Key + "_file" (and Env + "_FILE") can name a file that holds the value
	Live     bool     // a reload takes effect at once; all others need a restart
	Unserved bool     // of a part that does not exist yet: accepted, and refused or named where it would matter
}

// Options returns the table of all options in the order of Config. Elements of lists of objects follow their list.
func Options() []Option { return slices.Clone(AllOptions()) }

// AllOptions is Options without a copy of its own.
var AllOptions = sync.OnceValue(func() []Option {
	var all []Option
	Root.options("", "", optionPart{}, &all)
	return all
})

// optionPart says what the options of a section have from the sections around it.
type optionPart struct{ inObject, live, unserved bool }

func (s *Section) options(path, env string, part optionPart, all *[]Option) {
	for _, f := range s.Fields {
		key, name := Join(path, f.Name), EnvName(env, f.Name)
		if part.inObject && env == "" {
			name = ""
		}
		inside := optionPart{inObject: part.inObject, live: f.Live.Within(part.live), unserved: part.unserved || f.Unserved}
		if f.Kind == KindSection {
			f.Sub.options(key, name, inside, all)
			continue
		}
		o := Option{
			Key: key, Type: KindNames[f.Kind], Default: f.Default, Doc: f.Doc, Unit: f.Unit, Enum: f.Enum,
			Secret: f.Secret == SecretAll, InObject: part.inObject, File: f.Secret != SecretNone, Live: inside.live, Unserved: inside.unserved,
		}
		if name != "" {
			o.Env = EnvPrefixes[0] + name
		}
		if f.ZeroDefault {
			o.ZeroIs = f.Default
		}
		*all = append(*all, o)
		if f.Kind == KindObjects {
			elem := ""
			if key == NamespacesKey {
				elem = name + "_<NAME>"
			}
			inside.inObject = true
			f.Sub.options(key+"[]", elem, inside, all)
		}
	}
}
