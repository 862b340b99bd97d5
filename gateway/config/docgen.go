package config

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
)

// sectionTitles says in one line what each section of the root is about.
var sectionTitles = map[string]string{
	"uni_sse":          "The subscribe endpoint.",
	"http_server":      "Where Sluice listens, TLS, and what stands between it and the internet.",
	"client":           "Who may connect, hooks, times and limits of connections.",
	"channel":          "Channels: names, namespaces and their options.",
	"http_api":         "The server API.",
	"engine":           "Where publications, history and presence live.",
	"broker":           "Another place for publications and history than the engine's.",
	"presence_manager": "Another place for presence than the engine's.",
	"health":           "The health check.",
	"prometheus":       "Metrics.",
	"debug":            "Go's profiles.",
	"admin":            "The web pages.",
	"init":             "An endpoint that answers {}.",
	"log":              "The log.",
	"node":             "This process.",
	"shutdown":         "What happens between the signal and the exit.",
}

// meaning is the documentation of an option with what 0 stands for where that is not 0.
func meaning(f *schema.Field) string {
	if !f.ZeroDefault {
		return f.Doc
	}
	return f.Doc + " 0: the default, " + f.Default + "."
}

// comment documents an option in a config file.
func comment(f *schema.Field) string {
	text := meaning(f)
	if f.Unit != "" {
		text += " Unit: " + f.Unit + "."
	}
	if limits := limits(f); limits != "" {
		text += " Allowed: " + limits + "."
	}
	if f.Kind == schema.KindObjects {
		text += " An entry has " + strings.Join(keysBelow(f.Sub, ""), ", ") + "."
	}
	return text
}

// keysBelow returns the dotted keys of all options of s.
func keysBelow(s *schema.Section, path string) []string {
	var keys []string
	for _, f := range s.Fields {
		if f.Kind == schema.KindSection {
			keys = append(keys, keysBelow(f.Sub, schema.Join(path, f.Name))...)
			continue
		}
		keys = append(keys, schema.Join(path, f.Name))
	}
	return keys
}

// limits says what an option accepts as far as its type does not.
func limits(f *schema.Field) string {
	switch {
	case f.Enum != nil:
		allowed := make([]string, 0, len(f.Enum))
		for _, e := range f.Enum {
			if e == "" {
				e = "empty"
			}
			allowed = append(allowed, e)
		}
		return strings.Join(allowed, ", ")
	case f.Kind == schema.KindDuration && f.Min > 0:
		return "at least " + time.Duration(f.Min).String()
	case f.Kind == schema.KindInt && f.Min > 0 && f.Max == math.MaxInt64:
		return fmt.Sprintf("%d or more", f.Min)
	case f.Kind == schema.KindInt && f.Max != math.MaxInt64:
		return fmt.Sprintf("%d to %d", f.Min, f.Max)
	default:
		return ""
	}
}

// ErrUnknownKey is wrapped by the error of Describe for a key that is none.
var ErrUnknownKey = errors.New("no such option or section")

// Describe returns the documentation of an option, or of all options of a section, as text for a terminal. Elements of lists are
// named as in Options, the brackets may be left out. The error wraps ErrUnknownKey and suggests a key.
func Describe(key string) (string, error) {
	var out bytes.Buffer
	wanted := strings.ReplaceAll(strings.ToLower(key), "[]", "")
	for _, o := range allOptions() {
		if plain := strings.ReplaceAll(o.Key, "[]", ""); plain != wanted && !schema.Below(plain, wanted) {
			continue
		}
		if out.Len() > 0 {
			out.WriteByte('\n')
		}
		fmt.Fprintf(&out, "%s (%s", o.Key, o.Type)
		if o.Default != "" {
			fmt.Fprintf(&out, ", default %s", o.Default)
		}
		out.WriteString(")\n")
		writeLines(&out, "    ", comment(fieldAt(schema.Root, o.Key)))
		describe(&o, &out)
	}
	if out.Len() == 0 {
		if try := Suggest(wanted); try != "" {
			return "", fmt.Errorf("%w: %q%s", ErrUnknownKey, key, report.DidYouMean(try))
		}
		return "", fmt.Errorf("%w: %q; without a key all are explained", ErrUnknownKey, key)
	}
	return out.String(), nil
}

// describe writes how else the option can be set, and when a change takes effect.
func describe(o *Option, out *bytes.Buffer) {
	if o.Env != "" {
		fmt.Fprintf(out, "    Environment: %s\n", o.Env)
	}
	if o.File {
		fmt.Fprintf(out, "    From a file: %s_file\n", o.Key)
	}
	if len(o.Flat) > 0 {
		fmt.Fprintf(out, "    Versions 4 and 5: %s\n", strings.Join(o.Flat, ", "))
	}
	if o.Live {
		out.WriteString("    A change is taken over by SIGHUP.\n")
	}
	if o.Unserved {
		out.WriteString("    Not served yet: accepted, and refused or named at start where it would matter.\n")
	}
}

// fieldAt returns the option with a key of Options.
func fieldAt(s *schema.Section, key string) *schema.Field {
	name, rest, more := strings.Cut(key, ".")
	f := s.ByName[strings.TrimSuffix(name, "[]")]
	if more {
		return fieldAt(f.Sub, rest)
	}
	return f
}

const referenceLegend = "*Live*: SIGHUP takes a change over, all else needs a restart. *File*: the key with `_file` behind it names a file\n" +
	"that holds the value. *v5*: the key of versions 4 and 5, where it was another name than the last part of this one. *Not served\n" +
	"yet*: files of the reference that have these options load; what would matter is refused or named at start.\n\n"

// Reference returns the documentation of all options as Markdown: a table for each section, folded. An object that stands in
// several places (tls, redis) is written out at the first.
func Reference() string {
	d := &docWriter{options: map[string]Option{}, written: map[reflect.Type]string{}}
	for _, o := range allOptions() {
		d.options[o.Key] = o
	}
	d.out.WriteString(referenceLegend)
	d.head()
	for _, f := range schema.Root.Fields {
		switch {
		case f.Unserved:
			d.unserved(f.Name)
		case f.Kind != schema.KindSection:
			d.row(f, f.Name)
		}
	}
	for _, f := range schema.Root.Fields {
		if f.Kind == schema.KindSection && !f.Unserved {
			fmt.Fprintf(&d.out, "\n<details><summary><code>%s</code> – %s</summary>\n\n", f.Name, escapeMarkdown(sectionTitles[f.Name]))
			d.head()
			d.rows(f.Sub, f.Name)
			d.out.WriteString("\n</details>\n")
		}
	}
	return d.out.String()
}

// docWriter writes tables of options.
type docWriter struct {
	out     bytes.Buffer
	options map[string]Option
	written map[reflect.Type]string // object → key under which its options were written out
}

func (d *docWriter) head() {
	d.out.WriteString("| key | type | default | meaning |\n|---|---|---|---|\n")
}

// worthAReference is how many fields an object has that is written out only once.
const worthAReference = 5

// rows writes the options of a section or of an element.
func (d *docWriter) rows(s *schema.Section, path string) {
	said := false
	for _, f := range s.Fields {
		if other := d.written[embedded(s, f)]; other != "" {
			if !said {
				d.same(path, other)
			}
			said = true
			continue
		}
		key := schema.Join(path, f.Name)
		switch {
		case f.Unserved:
			d.unserved(key)
		case f.Kind != schema.KindSection:
			d.row(f, key)
			if f.Kind == schema.KindObjects {
				d.rows(f.Sub, key+"[]")
			}
		case d.written[f.Sub.Type] != "":
			d.same(key, d.written[f.Sub.Type])
		default:
			if len(f.Sub.Fields) >= worthAReference {
				d.written[f.Sub.Type] = key
			}
			d.rows(f.Sub, key)
		}
	}
}

// same says that the options below path are those below another key.
func (d *docWriter) same(path, other string) {
	fmt.Fprintf(&d.out, "| `%s.*` | | | The options of `%s`. |\n", path, other)
}

// unserved says that the part with the options below path does not exist yet.
func (d *docWriter) unserved(path string) {
	fmt.Fprintf(&d.out, "| `%s.*` | | | *Not served yet*. |\n", path)
}

// embedded returns the embedded struct that the field of s comes from, or nil.
func embedded(s *schema.Section, f *schema.Field) reflect.Type {
	if len(f.Index) < 2 {
		return nil
	}
	return s.Type.Field(f.Index[0]).Type
}

func (d *docWriter) row(f *schema.Field, key string) {
	def := ""
	if f.Default != "" {
		def = "`" + f.Default + "`"
	}
	typ := schema.KindNames[f.Kind]
	if f.Unit != "" {
		typ += ", " + f.Unit
	}
	text := escapeMarkdown(meaning(f))
	if limits := limits(f); limits != "" {
		text += " Allowed: " + escapeMarkdown(limits) + "."
	}
	o := d.options[key]
	if o.File {
		text += " *File*."
	}
	if o.Live {
		text += " *Live*."
	}
	if len(o.Flat) > 0 && !slices.Contains(o.Flat, f.Name) {
		text += " *v5*: `" + strings.Join(o.Flat, "`, `") + "`."
	}
	fmt.Fprintf(&d.out, "| `%s` | %s | %s | %s |\n", key, typ, def, text)
}

// escapeMarkdown makes plain text safe in a cell of a table: no column, no tag, no formula.
func escapeMarkdown(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "$", `\$`, "*", `\*`, "_", `\_`).Replace(text)
}

// Markers of the option reference in a text.
const (
	referenceBegin = "<!-- options:begin -->\n"
	referenceEnd   = "<!-- options:end -->\n"
)

// ErrNoMarkers is returned by UpdateReference for a text without the markers.
var ErrNoMarkers = errors.New("no lines <!-- options:begin --> and <!-- options:end --> in this order")

// UpdateReference returns text with the option reference between its two markers.
func UpdateReference(text []byte) ([]byte, error) {
	before, rest, begins := strings.Cut(string(text), referenceBegin)
	_, after, ends := strings.Cut(rest, referenceEnd)
	if !begins || !ends {
		return nil, ErrNoMarkers
	}
	return []byte(before + referenceBegin + "\n" + Reference() + "\n" + referenceEnd + after), nil
}
