package config

import (
	"bytes"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/gateway/config/schema"
)

// Render returns c as the text of a config file that Load reads back as it is. path gives the format by its extension, as
// for Load. YAML and TOML carry the documentation of every option as comments. Secrets of c are part of the text. The error
// says that the extension is not known.
func Render(c *Config, path string) ([]byte, error) {
	return render(path, outlineOf(schema.Root, "", reflect.ValueOf(c).Elem(), allOfIt))
}

// Secrets are what a new configuration needs; the caller makes them, at random.
type Secrets struct {
	Token  string // signs tokens
	APIKey string
}

// RenderMinimal returns a config file to start from (PROTOCOL 9.3, genconfig): the endpoint switched on, what must not have a
// default, and channels without a namespace for whoever has a token, one without a user too. path and the error are as for
// Render.
func RenderMinimal(s Secrets, path string) ([]byte, error) {
	c := Default()
	c.UniSSE.Enabled = true
	c.Client.Token.HMACSecretKey = s.Token
	c.HTTPAPI.Key = s.APIKey
	o := &c.Channel.WithoutNamespace
	o.AllowSubscribeForClient, o.AllowSubscribeForAnonymous = true, true
	keys := []string{
		"uni_sse.enabled", "client.token.hmac_secret_key", "client.allowed_origins", "http_api.key",
		schema.WithoutNamespace + "allow_subscribe_for_client", schema.WithoutNamespace + "allow_subscribe_for_anonymous",
	}
	return render(path, outlineOf(schema.Root, "", reflect.ValueOf(c).Elem(), func(key string, _ *schema.Field, _ reflect.Value) bool {
		return slices.ContainsFunc(keys, func(k string) bool { return k == key || schema.Below(k, key) })
	}))
}

// writers maps extensions of config files to what writes them.
var writers = map[string]func(*outline) []byte{
	".json": writeJSON,
	".yaml": writeYAML,
	".yml":  writeYAML,
	".toml": writeTOML,
}

func render(path string, o *outline) ([]byte, error) {
	write := writers[strings.ToLower(filepath.Ext(path))]
	if write == nil {
		return nil, fmt.Errorf("config: %q is not the extension of a known format: allowed .json, .yaml, .yml, .toml", filepath.Ext(path))
	}
	return write(o), nil
}

// outline is a section to be written, in the order of Config.
type outline struct {
	entries []entry
}

// entry is one key of an outline. v is one of bool, int64, string, []string, map[string]string, *outline, []*outline.
type entry struct {
	key string
	doc string // "" = no comment
	v   any
}

// allOfIt keeps every option.
func allOfIt(string, *schema.Field, reflect.Value) bool { return true }

// outlineOf returns what keep wants of v, a struct of s. path is the dotted key of the section.
func outlineOf(s *schema.Section, path string, v reflect.Value, keep func(key string, f *schema.Field, v reflect.Value) bool) *outline {
	o := &outline{}
	for _, f := range s.Fields {
		key, value := schema.Join(path, f.Name), v.FieldByIndex(f.Index)
		if !keep(key, f, value) {
			continue
		}
		e := entry{key: f.Name, doc: comment(f), v: plain(f, value)}
		if f.Kind == schema.KindSection {
			e.v = outlineOf(f.Sub, key, value, keep)
			if path == "" {
				e.doc = sectionTitles[f.Name]
			}
			if f.Unserved {
				e.doc = strings.TrimSpace(e.doc + " Not served yet.")
			}
		}
		o.entries = append(o.entries, e)
	}
	return o
}

// plain returns the value of an option as an entry holds it; a section has none.
func plain(f *schema.Field, v reflect.Value) any {
	switch f.Kind {
	case schema.KindBool:
		return v.Bool()
	case schema.KindDuration:
		return showDuration(f, time.Duration(v.Int()))
	case schema.KindInt:
		return v.Int()
	case schema.KindRange:
		return v.Interface().(DurationRange).String()
	case schema.KindStrings:
		return v.Interface().([]string)
	case schema.KindStringMap:
		return v.Interface().(map[string]string)
	case schema.KindObjects:
		items := []*outline{}
		for i := range v.Len() {
			items = append(items, outlineOf(f.Sub, "", v.Index(i), allOfIt).withoutDocs())
		}
		return items
	case schema.KindPort:
		if v.Kind() == reflect.Int {
			return v.Int()
		}
		if port, err := strconv.ParseUint(v.String(), 10, 16); err == nil && strconv.FormatUint(port, 10) == v.String() {
			return int64(port)
		}
	}
	if v.Kind() == reflect.String {
		return v.String()
	}
	return nil
}

// withoutDocs drops the comments, which the list of an element has already.
func (o *outline) withoutDocs() *outline {
	for i := range o.entries {
		e := &o.entries[i]
		e.doc = ""
		if sub, ok := e.v.(*outline); ok {
			sub.withoutDocs()
		}
	}
	return o
}

// showDuration renders d as the default does if it is that, else without zero parts: 720h instead of 720h0m0s.
func showDuration(f *schema.Field, d time.Duration) string {
	if def, err := time.ParseDuration(f.Default); err == nil && def == d {
		return f.Default
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// quoteText renders a string for JSON, YAML and TOML alike: in double quotes, control characters as \u escapes.
func quoteText(s string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"', r == '\\':
			out.WriteByte('\\')
			out.WriteRune(r)
		case r == '\n':
			out.WriteString(`\n`)
		case r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			out.WriteRune(r)
		}
	}
	out.WriteByte('"')
	return out.String()
}

// quoteTexts renders a list of strings for JSON, YAML and TOML alike.
func quoteTexts(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = quoteText(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// scalarText renders a bool, a number, a string or a list of strings for JSON, YAML and TOML alike.
func scalarText(v any) string {
	switch v := v.(type) {
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case string:
		return quoteText(v)
	case []string:
		return quoteTexts(v)
	default:
		panic(fmt.Sprintf("BUG: config: %T is no scalar", v))
	}
}

// writeComment writes text as comment lines.
func writeComment(out *bytes.Buffer, indent, text string) { writeLines(out, indent+"# ", text) }

// writeLines breaks text into lines of a width that fits a terminal; each begins with prefix.
func writeLines(out *bytes.Buffer, prefix, text string) {
	const width = 100
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(prefix)+len(line)+len(" ")+len(word) > width {
			out.WriteString(prefix + line + "\n")
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		out.WriteString(prefix + line + "\n")
	}
}
