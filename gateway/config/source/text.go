package source

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// JSON returns n on one line of JSON, which is YAML too and, but for objects, TOML.
func (n *Node) JSON() string {
	switch v := n.Value.(type) {
	case []*Node:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = item.JSON()
		}
		return "[" + strings.Join(items, ", ") + "]"
	case *Object:
		members := make([]string, len(v.Members))
		for i, m := range v.Members {
			members[i] = Quote(m.Key) + ":" + m.Value.JSON()
		}
		return "{" + strings.Join(members, ",") + "}"
	case nil:
		return "null"
	case string:
		return Quote(v)
	default:
		return fmt.Sprint(v)
	}
}

// escaped are characters that JSON leaves as they are, and YAML or TOML does not.
var escaped = regexp.MustCompile(`[\x{7f}-\x{9f}\x{feff}]`)

// Quote returns s in double quotes, for JSON, YAML and TOML alike.
func Quote(s string) string {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic("BUG: config: a string that is no JSON: " + err.Error())
	}
	text := strings.TrimSuffix(out.String(), "\n")
	return escaped.ReplaceAllStringFunc(text, func(c string) string { return fmt.Sprintf(`\u%04x`, []rune(c)[0]) })
}
