package schema

import (
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/gateway/config/source"
)

// Kind says how the value of an option is written and decoded. Its text is what the documentation calls it.
type Kind string

// Kinds of fields; the last two hold others.
const (
	KindBool      Kind = "bool"
	KindInt       Kind = "int"
	KindDuration  Kind = "duration"
	KindString    Kind = "string"
	KindPort      Kind = "port"
	KindRange     Kind = "duration range"
	KindStrings   Kind = "list of strings"
	KindStringMap Kind = "map of strings"
	KindSection   Kind = "section"
	KindObjects   Kind = "list of objects"
)

// Secrecy says what of a value may be shown.
type Secrecy uint8

// How much may be shown.
const (
	SecretNone Secrecy = iota
	SecretURL          // without user, password and query
	SecretAll
)

// Field is one key of a section: an option, or a section of its own.
type Field struct {
	Name    string
	Key     string // dotted, "[]" after a list of objects: channel.namespaces[].history_size
	Env     string // variable name with the prefix SLUICE_; "" where only the variable of a list around it exists
	Index   []int  // of the struct's field, for reflect.Value.FieldByIndex
	Path    []int  // the same, as seen from Config, or from the element of the list around it
	Kind    Kind
	Default string   // text form, as a variable would give it
	Doc     string   // one or two sentences
	Unit    string   // "bytes" and the like, or ""
	Enum    []string // allowed values, or nil
	Secret  Secrecy

	Min, Max    int64 // of a number, or of a duration in nanoseconds
	ZeroDefault bool  // 0 stands for the default
	NegativeOff bool
	OneIsList   bool
	IsText      bool // held as a string in Config
	InObject    bool // part of an element of a list of objects
	File        bool // Key + "_file" (and Env + "_FILE") can name a file that holds the value
	Live        bool // a reload takes effect at once; all others need a restart

	Sub *Section // of a section, or of the elements of a list of objects
}

// Section is the table of one struct: its fields in order.
type Section struct {
	Type      reflect.Type
	Fields    []*Field
	ByName    map[string]*Field
	HasSecret bool // in it, or in a section below
}

// Root is the schema of Config.
var Root = newSection(reflect.TypeFor[Config](), &Field{})

// Options returns all options in the order of Config. Elements of lists of objects follow their list.
func Options() []*Field { return Root.options(nil) }

func (s *Section) options(all []*Field) []*Field {
	for _, f := range s.Fields {
		if f.Kind != KindSection {
			all = append(all, f)
		}
		if f.Sub != nil {
			all = f.Sub.options(all)
		}
	}
	return all
}

// newSection reads the struct tags of t, the type of a section or of an element that the field around it holds.
func newSection(t reflect.Type, around *Field) *Section {
	s := &Section{Type: t, ByName: map[string]*Field{}}
	for _, sf := range reflect.VisibleFields(t) {
		if sf.Anonymous {
			continue
		}
		f := newField(sf, around)
		s.Fields = append(s.Fields, f)
		s.ByName[f.Name] = f
		s.HasSecret = s.HasSecret || f.Secret != SecretNone || f.Sub != nil && f.Sub.HasSecret
	}
	return s
}

func newField(sf reflect.StructField, around *Field) *Field {
	tag := sf.Tag
	f := &Field{
		Name:        tag.Get("json"),
		Index:       sf.Index,
		Kind:        kindOf(sf),
		Default:     tag.Get("default"),
		Doc:         tag.Get("doc"),
		Unit:        tag.Get("unit"),
		ZeroDefault: tag.Get("zero") == "default",
		NegativeOff: tag.Get("neg") == "off",
		OneIsList:   tag.Get("list") == "one",
		IsText:      sf.Type.Kind() == reflect.String,
		InObject:    around.InObject || around.Kind == KindObjects,
		Live:        around.Live,
		Max:         math.MaxInt64,
	}
	f.Key, f.Path = Join(around.Key, f.Name), slices.Concat(around.Path, f.Index)
	if around.Kind == KindObjects {
		f.Key, f.Path = Join(around.Key+"[]", f.Name), f.Index
	}
	f.Env = envOf(f.Key)
	if e, ok := tag.Lookup("enum"); ok {
		f.Enum = strings.Split(e, ",")
	}
	if live, ok := tag.Lookup("live"); ok {
		f.Live = live == "true"
	}
	switch tag.Get("secret") {
	case "true":
		f.Secret = SecretAll
	case "url":
		f.Secret = SecretURL
	}
	f.File = f.Secret != SecretNone
	switch f.Kind {
	case KindPort:
		f.Max = math.MaxUint16
	case KindSection:
		f.Sub = newSection(sf.Type, f)
	case KindObjects:
		f.Sub = newSection(sf.Type.Elem(), f)
	}
	f.bounds(tag.Get("min"), tag.Get("max"))
	return f
}

func kindOf(sf reflect.StructField) Kind {
	if sf.Tag.Get("kind") == "port" {
		return KindPort
	}
	switch sf.Type {
	case reflect.TypeFor[time.Duration]():
		return KindDuration
	case reflect.TypeFor[DurationRange]():
		return KindRange
	case reflect.TypeFor[[]string]():
		return KindStrings
	case reflect.TypeFor[map[string]string]():
		return KindStringMap
	}
	switch sf.Type.Kind() {
	case reflect.Bool:
		return KindBool
	case reflect.Int, reflect.Int64:
		return KindInt
	case reflect.String:
		return KindString
	case reflect.Struct:
		return KindSection
	case reflect.Slice:
		return KindObjects
	default:
		panic("BUG: config: no kind for " + sf.Name + " of type " + sf.Type.String())
	}
}

func (f *Field) bounds(lo, hi string) {
	parse := func(text string) int64 {
		n, err := strconv.ParseInt(text, 10, 64)
		if f.Kind == KindDuration {
			var d time.Duration
			d, err = time.ParseDuration(text)
			n = int64(d)
		}
		if err != nil {
			panic("BUG: config: bound of " + f.Name + ": " + text)
		}
		return n
	}
	switch {
	case lo == "any" || f.NegativeOff:
		f.Min = math.MinInt64
	case lo != "":
		f.Min = parse(lo)
	}
	if hi != "" {
		f.Max = parse(hi)
	}
}

// ApplyDefaults sets every field below v, an addressable struct of s.
func (s *Section) ApplyDefaults(v reflect.Value) {
	for _, f := range s.Fields {
		dst := v.FieldByIndex(f.Index)
		switch {
		case f.Kind == KindSection:
			f.Sub.ApplyDefaults(dst)
		case f.Default != "":
			if wrong := f.Decode(dst, &source.Node{Value: source.Text(f.Default)}); wrong != "" {
				panic("BUG: config: default of " + f.Name + ": " + wrong)
			}
		}
	}
}
