package source

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// ParseTOML reads a TOML text into a tree with line numbers. Errors give the line and never quote values, which may be
// secrets.
//
// The library gives the values but not where they stand; that is what the outline is for. It is made first, because it
// also bounds the depth, which the library could not stand.
func ParseTOML(data []byte) (tree *Node, err error) {
	defer func() {
		if v := recover(); v != nil { // Why: see ParseYAML
			tree, err = nil, errors.New("not TOML that can be read")
		}
	}()
	data = []byte(strings.TrimPrefix(string(data), "\ufeff"))
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	outline, stop, err := outlineTOML(data)
	if err != nil && errors.Is(err, errTOMLDepth) {
		return nil, err
	}
	values := map[string]any{}
	if _, libErr := toml.Decode(string(data[:stop]), &values); libErr != nil {
		return nil, tomlError(libErr)
	}
	if err != nil {
		return nil, err
	}
	return tomlNode(values, outline), nil
}

var tomlNumber = regexp.MustCompile(`^\S+ is out of`)

func tomlError(err error) error {
	var pe toml.ParseError
	if !errors.As(err, &pe) {
		return errors.New("not TOML that can be read")
	}
	text := pe.Message
	if !strings.HasPrefix(text, "Key '") {
		text = tomlNumber.ReplaceAllString(withoutQuotes(text), "a number is out of")
	}
	return fmt.Errorf("line %d: %s", max(pe.Position.Line, 1), text)
}

// tomlNode makes a node of a value of the library and of its place in the outline, which may be missing.
func tomlNode(v any, at *tomlPlace) *Node {
	if at == nil {
		at = &tomlPlace{}
	}
	n := &Node{Line: at.line}
	switch v := v.(type) {
	case map[string]any:
		o := &Object{}
		keys := slices.SortedFunc(maps.Keys(v), func(a, b string) int {
			return at.order(a) - at.order(b)
		})
		for _, key := range keys {
			o.Members = append(o.Members, Member{key, tomlNode(v[key], at.keys[key])})
		}
		n.Value = o
	case []map[string]any:
		l := make([]*Node, 0, len(v))
		for i, e := range v {
			l = append(l, tomlNode(e, at.item(i)))
		}
		n.Value = l
	case []any:
		l := make([]*Node, 0, len(v))
		for i, e := range v {
			l = append(l, tomlNode(e, at.item(i)))
		}
		n.Value = l
	case int64:
		n.Value = Number(strconv.FormatInt(v, 10))
	case float64:
		n.Value = Number(strconv.FormatFloat(v, 'g', -1, 64))
	case time.Time:
		n.Value = Date(v.Format(time.RFC3339Nano))
	default: // string, bool
		n.Value = v
	}
	return n
}
