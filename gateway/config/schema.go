package config

import (
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// kind says how the value of an option is written and decoded.
type kind uint8

const (
	kindBool kind = iota + 1
	kindInt
	kindDuration
	kindString
	kindPort
	kindRange
	kindStrings
	kindStringMap
	kindSection
	kindObjects
)

var kindNames = map[kind]string{
	kindBool:      "bool",
	kindInt:       "int",
	kindDuration:  "duration",
	kindString:    "string",
	kindPort:      "port",
	kindRange:     "duration range",
	kindStrings:   "list of strings",
	kindStringMap: "map of strings",
	kindObjects:   "list of objects",
}

// secrecy says what of a value may be shown.
type secrecy uint8

const (
	secretNone secrecy = iota
	secretURL          // without user, password and query
	secretAll
)

// liveness says whether a reload takes effect at once: "true", "false", or "" = as the section says.
type liveness string

func (l liveness) within(section bool) bool {
	if l == "" {
		return section
	}
	return l == "true"
}

// field is one key of a section: an option, or a section of its own.
type field struct {
	name   string
	index  []int
	kind   kind
	def    string
	doc    string
	unit   string
	enum   []string
	secret secrecy

	min, max    int64 // of a number, or of a duration in nanoseconds
	zeroDefault bool
	negativeOff bool
	oneIsList   bool
	isText      bool // held as a string in Config
	live        liveness
	unserved    bool // a section of a part that does not exist yet

	sub *schema // of a section, or of the elements of a list of objects
}

// schema is a section: the fields of one struct in order.
type schema struct {
	typ       reflect.Type
	fields    []*field
	byName    map[string]*field
	hasSecret bool
}

// root is the schema of Config.
var root = newSchema(reflect.TypeFor[Config]())

// newSchema reads the struct tags of t. An embedded struct adds its fields to the section.
func newSchema(t reflect.Type) *schema {
	s := &schema{typ: t, byName: map[string]*field{}}
	s.add(t, nil)
	return s
}

func (s *schema) add(t reflect.Type, index []int) {
	for i := range t.NumField() {
		sf := t.Field(i)
		at := append(slices.Clone(index), i)
		if sf.Anonymous {
			s.add(sf.Type, at)
			continue
		}
		f := newField(sf, at)
		s.fields = append(s.fields, f)
		s.byName[f.name] = f
		s.hasSecret = s.hasSecret || f.secret != secretNone || f.sub != nil && f.sub.hasSecret
	}
}

func newField(sf reflect.StructField, index []int) *field {
	tag := sf.Tag
	f := &field{
		name:        tag.Get("json"),
		index:       index,
		kind:        kindOf(sf),
		def:         tag.Get("default"),
		doc:         tag.Get("doc"),
		unit:        tag.Get("unit"),
		zeroDefault: tag.Get("zero") == "default",
		negativeOff: tag.Get("neg") == "off",
		oneIsList:   tag.Get("list") == "one",
		isText:      sf.Type.Kind() == reflect.String,
		live:        liveness(tag.Get("live")),
		unserved:    tag.Get("served") == "no",
		max:         math.MaxInt64,
	}
	if e, ok := tag.Lookup("enum"); ok {
		f.enum = strings.Split(e, ",")
	}
	switch tag.Get("secret") {
	case "true":
		f.secret = secretAll
	case "url":
		f.secret = secretURL
	}
	switch f.kind {
	case kindPort:
		f.max = math.MaxUint16
	case kindSection:
		f.sub = newSchema(sf.Type)
	case kindObjects:
		f.sub = newSchema(sf.Type.Elem())
	}
	f.bounds(tag.Get("min"), tag.Get("max"))
	return f
}

func kindOf(sf reflect.StructField) kind {
	if sf.Tag.Get("kind") == "port" {
		return kindPort
	}
	switch sf.Type {
	case reflect.TypeFor[time.Duration]():
		return kindDuration
	case reflect.TypeFor[DurationRange]():
		return kindRange
	case reflect.TypeFor[[]string]():
		return kindStrings
	case reflect.TypeFor[map[string]string]():
		return kindStringMap
	}
	switch sf.Type.Kind() {
	case reflect.Bool:
		return kindBool
	case reflect.Int, reflect.Int64:
		return kindInt
	case reflect.String:
		return kindString
	case reflect.Struct:
		return kindSection
	case reflect.Slice:
		return kindObjects
	default:
		panic("BUG: config: no kind for " + sf.Name + " of type " + sf.Type.String())
	}
}

func (f *field) bounds(lo, hi string) {
	parse := func(s string) int64 {
		if f.kind == kindDuration {
			d, err := time.ParseDuration(s)
			if err != nil {
				panic("BUG: config: bound of " + f.name + ": " + s)
			}
			return int64(d)
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			panic("BUG: config: bound of " + f.name + ": " + s)
		}
		return n
	}
	switch {
	case lo == "any" || f.negativeOff:
		f.min = math.MinInt64
	case lo != "":
		f.min = parse(lo)
	}
	if hi != "" {
		f.max = parse(hi)
	}
}

// applyDefaults sets every field below v, an addressable struct of s.
func (s *schema) applyDefaults(v reflect.Value) {
	for _, f := range s.fields {
		dst := v.FieldByIndex(f.index)
		switch {
		case f.kind == kindSection:
			f.sub.applyDefaults(dst)
		case f.def != "":
			n, wrong := f.fromText(f.def)
			if wrong == "" {
				wrong = f.assign(dst, n)
			}
			if wrong != "" {
				panic("BUG: config: default of " + f.name + ": " + wrong)
			}
		}
	}
}

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
	Flat     []string // keys of versions 4 and 5 that set it, in the order of their table
}

// Options returns the table of all options in the order of Config. Elements of lists of objects follow their list.
func Options() []Option { return slices.Clone(allOptions()) }

var allOptions = sync.OnceValue(func() []Option {
	var all []Option
	root.options("", "", optionPart{}, &all)
	flat := map[string][]string{}
	for _, k := range flatTable {
		for _, to := range k.to {
			flat[to] = append(flat[to], k.name)
		}
	}
	for i, o := range all {
		all[i].Flat = flat[o.Key]
		if name, ok := strings.CutPrefix(o.Key, withoutNamespace); ok {
			all[i].Flat = []string{flatChannelName(name)}
		}
	}
	return all
})

// optionPart says what the options of a section have from the sections around it.
type optionPart struct{ inObject, live, unserved bool }

func (s *schema) options(path, env string, part optionPart, all *[]Option) {
	for _, f := range s.fields {
		key, name := join(path, f.name), envName(env, f.name)
		if part.inObject && env == "" {
			name = ""
		}
		inside := optionPart{inObject: part.inObject, live: f.live.within(part.live), unserved: part.unserved || f.unserved}
		if f.kind == kindSection {
			f.sub.options(key, name, inside, all)
			continue
		}
		o := Option{
			Key: key, Type: kindNames[f.kind], Default: f.def, Doc: f.doc, Unit: f.unit, Enum: f.enum,
			Secret: f.secret == secretAll, InObject: part.inObject, File: f.secret != secretNone, Live: inside.live, Unserved: inside.unserved,
		}
		if name != "" {
			o.Env = envPrefixes[0] + name
		}
		if f.zeroDefault {
			o.ZeroIs = f.def
		}
		*all = append(*all, o)
		if f.kind == kindObjects {
			elem := ""
			if key == namespacesKey {
				elem = name + "_<NAME>"
			}
			inside.inObject = true
			f.sub.options(key+"[]", elem, inside, all)
		}
	}
}

// namespacesKey names the list whose elements have environment variables of their own.
const namespacesKey = "channel.namespaces"

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// envName returns the variable name of key name below the section with variable name env, without the prefix.
func envName(env, name string) string {
	name = strings.ToUpper(name)
	if env == "" {
		return name
	}
	return env + "_" + name
}
