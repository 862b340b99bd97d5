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

// Kind says how the value of an option is written and decoded.
type Kind uint8

// Kinds of fields; the last two hold others.
const (
	KindBool Kind = iota + 1
	KindInt
	KindDuration
	KindString
	KindPort
	KindRange
	KindStrings
	KindStringMap
	KindSection
	KindObjects
)

// KindNames is what the documentation calls each kind of option.
var KindNames = map[Kind]string{
	KindBool:      "bool",
	KindInt:       "int",
	KindDuration:  "duration",
	KindString:    "string",
	KindPort:      "port",
	KindRange:     "duration range",
	KindStrings:   "list of strings",
	KindStringMap: "map of strings",
	KindObjects:   "list of objects",
}

// Secrecy says what of a value may be shown.
type Secrecy uint8

// How much may be shown.
const (
	SecretNone Secrecy = iota
	SecretURL          // without user, password and query
	SecretAll
)

// Liveness says whether a reload takes effect at once: "true", "false", or "" = as the section says.
type Liveness string

// Within returns what holds inside a section that says section.
func (l Liveness) Within(section bool) bool {
	if l == "" {
		return section
	}
	return l == "true"
}

// Field is one key of a section: an option, or a section of its own.
type Field struct {
	Name    string
	Index   []int // of the struct's field, for reflect.Value.FieldByIndex
	Kind    Kind
	Default string // text form, as a variable would give it
	Doc     string
	Unit    string
	Enum    []string
	Secret  Secrecy

	Min, Max    int64 // of a number, or of a duration in nanoseconds
	ZeroDefault bool
	NegativeOff bool
	OneIsList   bool
	IsText      bool // held as a string in Config
	Live        Liveness
	Unserved    bool // a section of a part that does not exist yet

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
var Root = newSchema(reflect.TypeFor[Config]())

// newSchema reads the struct tags of t. An embedded struct adds its fields to the section.
func newSchema(t reflect.Type) *Section {
	s := &Section{Type: t, ByName: map[string]*Field{}}
	s.add(t, nil)
	return s
}

func (s *Section) add(t reflect.Type, index []int) {
	for i := range t.NumField() {
		sf := t.Field(i)
		at := append(slices.Clone(index), i)
		if sf.Anonymous {
			s.add(sf.Type, at)
			continue
		}
		f := newField(sf, at)
		s.Fields = append(s.Fields, f)
		s.ByName[f.Name] = f
		s.HasSecret = s.HasSecret || f.Secret != SecretNone || f.Sub != nil && f.Sub.HasSecret
	}
}

func newField(sf reflect.StructField, index []int) *Field {
	tag := sf.Tag
	f := &Field{
		Name:        tag.Get("json"),
		Index:       index,
		Kind:        kindOf(sf),
		Default:     tag.Get("default"),
		Doc:         tag.Get("doc"),
		Unit:        tag.Get("unit"),
		ZeroDefault: tag.Get("zero") == "default",
		NegativeOff: tag.Get("neg") == "off",
		OneIsList:   tag.Get("list") == "one",
		IsText:      sf.Type.Kind() == reflect.String,
		Live:        Liveness(tag.Get("live")),
		Unserved:    tag.Get("served") == "no",
		Max:         math.MaxInt64,
	}
	if e, ok := tag.Lookup("enum"); ok {
		f.Enum = strings.Split(e, ",")
	}
	switch tag.Get("secret") {
	case "true":
		f.Secret = SecretAll
	case "url":
		f.Secret = SecretURL
	}
	switch f.Kind {
	case KindPort:
		f.Max = math.MaxUint16
	case KindSection:
		f.Sub = newSchema(sf.Type)
	case KindObjects:
		f.Sub = newSchema(sf.Type.Elem())
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
	parse := func(s string) int64 {
		if f.Kind == KindDuration {
			d, err := time.ParseDuration(s)
			if err != nil {
				panic("BUG: config: bound of " + f.Name + ": " + s)
			}
			return int64(d)
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			panic("BUG: config: bound of " + f.Name + ": " + s)
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
