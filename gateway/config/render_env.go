package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"sluice/gateway/config/schema"
)

// RenderEnv returns c as lines NAME=value, sorted, those of parts that do not exist yet behind the others under a comment, in the form of a ".env" file: a value that needs quotes has them. prefix is
// "SLUICE_" or "CENTRIFUGO_". With nonZero, options that are false, 0 or empty are left out. Secrets of c are part of the
// text. The error says which prefixes there are.
//
// Namespaces are in the one variable of their list.
func RenderEnv(c *Config, prefix string, nonZero bool) ([]byte, error) {
	if !slices.Contains(schema.EnvPrefixes, prefix) {
		return nil, fmt.Errorf("config: %q is no prefix of environment variables: allowed %s", prefix, strings.Join(schema.EnvPrefixes, ", "))
	}
	var lines, unserved []string
	envLines(schema.Root, envSection{}, reflect.ValueOf(c).Elem(), func(name string, f *schema.Field, v reflect.Value, served bool) {
		if nonZero && (v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0) {
			return
		}
		line := prefix + name + "=" + quoteEnv(envText(plain(f, v))) + "\n"
		if served {
			lines = append(lines, line)
		} else {
			unserved = append(unserved, line)
		}
	})
	slices.Sort(lines)
	slices.Sort(unserved)
	if len(unserved) > 0 {
		lines = append(lines, "# Of parts that do not exist yet: accepted, and refused or named where it would matter.\n")
	}
	return []byte(strings.Join(append(lines, unserved...), "")), nil
}

// envSection is what the variables of a section have in common.
type envSection struct {
	name     string
	unserved bool
}

// envLines calls line for every option below v, a struct of s.
func envLines(s *schema.Section, in envSection, v reflect.Value, line func(name string, f *schema.Field, v reflect.Value, served bool)) {
	for _, f := range s.Fields {
		inner := envSection{schema.EnvName(in.name, f.Name), in.unserved || f.Unserved}
		value := v.FieldByIndex(f.Index)
		if f.Kind == schema.KindSection {
			envLines(f.Sub, inner, value, line)
			continue
		}
		line(inner.name, f, value, !inner.unserved)
	}
}

// envText renders a value as fromText reads it.
func envText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []string:
		return strings.Join(v, " ")
	case []*outline, map[string]string:
		return compactJSON(v)
	default:
		return scalarText(v)
	}
}

// bareEnv matches values that mean the same with and without quotes, to a shell too.
var bareEnv = regexp.MustCompile(`^([A-Za-z0-9_@%+=:,./#-]*|\$|\[\]|\{\})$`)

// quoteEnv quotes a value for a ".env" file where it needs that; see source.ParseDotEnv.
func quoteEnv(s string) string {
	switch {
	case bareEnv.MatchString(s):
		return s
	case !strings.ContainsAny(s, "'\r\n"):
		return "'" + s + "'"
	default:
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "$", `\$`).Replace(s) + `"`
	}
}
