package docs

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"sluice/gateway/config/legacy"
	"sluice/gateway/config/schema"
)

const referenceLegend = "*Live*: SIGHUP takes a change over, all else needs a restart. *File*: the key with `_file` behind it names a file\n" +
	"that holds the value. *v5*: the key of versions 4 and 5, where it was another name than the last part of this one.\n\n"

// Reference returns the documentation of all options as Markdown: a chapter with a table for each section, behind a list of
// links to them. An object that stands in several places (tls, redis) is written out at the first.
func Reference() string {
	d := &reference{written: map[reflect.Type]string{}}
	var chapters, others []*schema.Field // others: of no section
	var links []string
	for _, f := range schema.Root.Fields {
		if f.Kind == schema.KindSection {
			chapters = append(chapters, f)
			links = append(links, "["+f.Name+"](#"+f.Name+")")
		} else {
			others = append(others, f)
		}
	}
	d.out.WriteString(strings.Join(links, " ·\n") + "\n\n" + referenceLegend + tableHead)
	for _, f := range others {
		d.field(f)
	}
	for _, f := range chapters {
		fmt.Fprintf(&d.out, "\n## %s\n\n%s\n\n"+tableHead, f.Name, escapeMarkdown(f.Doc))
		d.section(f.Sub, f.Key)
	}
	return d.out.String()
}

const tableHead = "| key | type | default | meaning |\n|---|---|---|---|\n"

// reference is a Reference that is being written.
type reference struct {
	out     bytes.Buffer
	written map[reflect.Type]string // object → key under which its options were written out
}

// section writes the options of a section or of an element.
func (d *reference) section(s *schema.Section, path string) {
	said := false
	for _, f := range s.Fields {
		if other := d.written[embedded(s, f)]; other != "" {
			if !said {
				d.all(path, "The options of `"+other+"`.")
			}
			said = true
			continue
		}
		d.field(f)
	}
}

// worthAReference is how many fields an object has that is written out only once.
const worthAReference = 5

// field writes an option, or a section inside of another.
func (d *reference) field(f *schema.Field) {
	switch {
	case f.Kind != schema.KindSection:
		d.option(f)
		if f.Kind == schema.KindObjects {
			d.section(f.Sub, f.Key+"[]")
		}
	case d.written[f.Sub.Type] != "":
		d.all(f.Key, "The options of `"+d.written[f.Sub.Type]+"`.")
	default:
		if len(f.Sub.Fields) >= worthAReference {
			d.written[f.Sub.Type] = f.Key
		}
		d.section(f.Sub, f.Key)
	}
}

// all writes one row for all options below path.
func (d *reference) all(path, text string) {
	fmt.Fprintf(&d.out, "| `%s.*` | | | %s |\n", path, text)
}

// embedded returns the embedded struct that the field of s comes from, or nil.
func embedded(s *schema.Section, f *schema.Field) reflect.Type {
	if len(f.Index) < 2 {
		return nil
	}
	return s.Type.Field(f.Index[0]).Type
}

func (d *reference) option(f *schema.Field) {
	def, typ, text := "", string(f.Kind), escapeMarkdown(meaning(f))
	if f.Default != "" {
		def = "`" + f.Default + "`"
	}
	if f.Unit != "" {
		typ += ", " + f.Unit
	}
	if limits := limits(f); limits != "" {
		text += " Allowed: " + escapeMarkdown(limits) + "."
	}
	if f.File {
		text += " *File*."
	}
	if f.Live {
		text += " *Live*."
	}
	if old := legacy.FlatNames(f.Key); len(old) > 0 && !slices.Contains(old, f.Name) {
		text += " *v5*: `" + strings.Join(old, "`, `") + "`."
	}
	fmt.Fprintf(&d.out, "| `%s` | %s | %s | %s |\n", f.Key, typ, def, text)
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
