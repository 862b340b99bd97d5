package docs

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"sluice/gateway/config/legacy"
	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
)

// meaning is the documentation of an option with what 0 stands for where that is not 0.
func meaning(f *schema.Field) string {
	if !f.ZeroDefault {
		return f.Doc
	}
	return f.Doc + " 0: the default, " + f.Default + "."
}

// comment is the documentation of an option or section with what it accepts.
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
	return strings.TrimSpace(text)
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
		allowed := slices.Clone(f.Enum)
		if i := slices.Index(allowed, ""); i >= 0 {
			allowed[i] = "empty"
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
// named as in schema.Options, the brackets may be left out. The error wraps ErrUnknownKey and suggests a key.
func Describe(key string) (string, error) {
	var out bytes.Buffer
	wanted := strings.ReplaceAll(strings.ToLower(key), "[]", "")
	for _, o := range schema.Options() {
		if plain := strings.ReplaceAll(o.Key, "[]", ""); plain == wanted || schema.Below(plain, wanted) {
			if out.Len() > 0 {
				out.WriteByte('\n')
			}
			describe(&out, o)
		}
	}
	switch try := legacy.Suggest(wanted); {
	case out.Len() > 0:
		return out.String(), nil
	case try != "":
		return "", fmt.Errorf("%w: %q%s", ErrUnknownKey, key, report.DidYouMean(try))
	default:
		return "", fmt.Errorf("%w: %q; without a key all are explained", ErrUnknownKey, key)
	}
}

// describe writes what an option is, how else it can be set, and when a change takes effect.
func describe(out *bytes.Buffer, o *schema.Field) {
	def := ""
	if o.Default != "" {
		def = ", default " + o.Default
	}
	fmt.Fprintf(out, "%s (%s%s)\n", o.Key, o.Kind, def)
	writeLines(out, "    ", comment(o))
	line := func(applies bool, text string) {
		if applies {
			out.WriteString("    " + text + "\n")
		}
	}
	old := legacy.FlatNames(o.Key)
	line(o.Env != "", "Environment: "+o.Env)
	line(o.File, "From a file: "+o.Key+schema.FileSuffix)
	line(len(old) > 0, "Versions 4 and 5: "+strings.Join(old, ", "))
	line(o.Live, "A change is taken over by SIGHUP.")
}
