package docs

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"sluice/gateway/config/schema"
)

// RenderEnv returns c as lines NAME=value, sorted, those of parts that do not exist yet behind the others under a comment, in the
// form of a ".env" file: a value that needs quotes has them. prefix is "SLUICE_" or "CENTRIFUGO_". With nonZero, options that are
// false, 0 or empty are left out. Secrets of c are part of the text. The error says which prefixes there are.
//
// Namespaces are in the one variable of their list.
func RenderEnv(c *schema.Config, prefix string, nonZero bool) ([]byte, error) {
	if !slices.Contains(schema.EnvPrefixes, prefix) {
		return nil, fmt.Errorf("config: %q is no prefix of environment variables: allowed %s", prefix, strings.Join(schema.EnvPrefixes, ", "))
	}
	var lines []string
	for _, o := range schema.Options() {
		if o.InObject {
			continue
		}
		v := reflect.ValueOf(c).Elem().FieldByIndex(o.Path)
		if nonZero && (v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0) {
			continue
		}
		lines = append(lines, prefix+strings.TrimPrefix(o.Env, schema.EnvPrefixes[0])+"="+quoteEnv(envText(o, v))+"\n")
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, "")), nil
}

// envText renders a value as it is written in a variable.
func envText(f *schema.Field, v reflect.Value) string {
	if f.Kind == schema.KindStrings {
		return strings.Join(v.Interface().([]string), " ")
	}
	n := f.Plain(v)
	if text, ok := n.Value.(string); ok {
		return text
	}
	return n.JSON()
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
