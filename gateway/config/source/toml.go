package source

import (
	"errors"
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// ParseTOML reads a TOML text into a tree with line numbers. Errors give the line and never quote values, which may be
// secrets.
//
// The parser of the library gives what is written, in its order and with its place; whether keys and tables clash is what its
// decoder says. The tree comes first, because it also bounds the depth, which the decoder could not stand.
func ParseTOML(data []byte) (tree *Node, err error) {
	defer func() {
		if v := recover(); v != nil { // Why: see ParseYAML
			tree, err = nil, errNotTOML
		}
	}()
	data = []byte(strings.TrimPrefix(string(data), "\ufeff"))
	if !utf8.Valid(data) {
		return nil, errNotUTF8
	}
	r := &tomlReader{root: &Object{}, tables: map[*Object]map[string]*Node{}, line: 1}
	r.Reset(data)
	for i, c := range data {
		if c == '\n' {
			r.lineEnds = append(r.lineEnds, i)
		}
	}
	table, depth := r.root, 0
	for r.NextExpression() {
		e := r.Expression()
		if e.Kind == unstable.KeyValue {
			err = r.pair(table, e, depth)
		} else {
			table, depth, err = r.header(e)
		}
		if err != nil {
			return nil, err
		}
	}
	var clash map[string]any
	if err := toml.Unmarshal(data, &clash); err != nil {
		return nil, tomlError(err)
	}
	return &Node{Value: r.root, Line: 1}, nil
}

var (
	tomlTwice = regexp.MustCompile(`^(?:key|table) (.*) (?:is already defined|already exists)`)
	tooDeep   = fmt.Sprintf("too deep: allowed at most %d levels", maxDepth)
)

// maxTOMLKeys bounds the keys of one table: the library takes time with the square of them.
const maxTOMLKeys = 10_000

var errNotTOML = errors.New("not TOML that can be read")

func tomlError(err error) error {
	var de *toml.DecodeError
	if !errors.As(err, &de) {
		return errNotTOML
	}
	line, _ := de.Position()
	problem := strings.TrimPrefix(de.Error(), "toml: ")
	if key := tomlTwice.FindStringSubmatch(problem); key != nil {
		return fmt.Errorf("line %d: Key '%s' has already been defined.", line, key[1])
	}
	if strings.Contains(problem, "too large to fit") {
		problem = "a number is out of range"
	} else if strings.Contains(problem, "maximum of") {
		problem = tooDeep
	}
	return fmt.Errorf("line %d: %s", max(line, 1), withoutQuotes(problem))
}

// tomlReader makes a tree of the expressions of a text: headers of tables, and keys with values.
type tomlReader struct {
	unstable.Parser
	root     *Object
	tables   map[*Object]map[string]*Node // the last value of each key of each table
	lineEnds []int                        // offsets
	line     int                          // of the last thing that has a place; lists have none
}

// at remembers and returns the line of a node.
func (r *tomlReader) at(n *unstable.Node) int {
	if n.Raw.Length > 0 {
		r.line = sort.SearchInts(r.lineEnds, int(n.Raw.Offset)) + 1
	}
	return r.line
}

// deep returns an error for what is nested too deeply.
func (r *tomlReader) deep(depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("line %d: %s", r.line, tooDeep)
	}
	return nil
}

// header returns the table that [a.b] or [[a.b]] opens, and how deep it is.
func (r *tomlReader) header(e *unstable.Node) (*Object, int, error) {
	table, last, depth, err := r.walk(r.root, e.Key(), 0)
	if err != nil || e.Kind != unstable.ArrayTable {
		return r.inner(table, last), depth, err
	}
	n := r.tables[table][last]
	if n == nil {
		n = &Node{Value: []*Node{}, Line: r.line}
		r.add(table, last, n)
	}
	opened := &Object{}
	if list, ok := n.Value.([]*Node); ok {
		n.Value = append(list, &Node{Value: opened, Line: r.line})
	}
	return opened, depth, nil
}

// walk follows a dotted key from a table, which is so deep, up to the table that holds its last part.
func (r *tomlReader) walk(table *Object, key unstable.Iterator, depth int) (*Object, string, int, error) {
	for key.Next() {
		part := key.Node()
		r.at(part)
		if depth++; r.deep(depth) != nil {
			return table, "", depth, r.deep(depth)
		}
		if len(r.tables[table]) > maxTOMLKeys {
			return table, "", depth, fmt.Errorf("line %d: more than %d keys in one table", r.line, maxTOMLKeys)
		}
		if key.IsLast() {
			return table, string(part.Data), depth, nil
		}
		table = r.inner(table, string(part.Data))
	}
	return table, "", depth, errNotTOML
}

// inner returns the table with this key, the last one of a list of tables. It is made if it is not there. Keys that clash get
// one that nobody sees: the decoder refuses them.
func (r *tomlReader) inner(table *Object, key string) *Object {
	n := r.tables[table][key]
	if n == nil {
		n = &Node{Value: &Object{}, Line: r.line}
		r.add(table, key, n)
	}
	if list, ok := n.Value.([]*Node); ok && len(list) > 0 {
		n = list[len(list)-1]
	}
	if o, ok := n.Value.(*Object); ok {
		return o
	}
	return &Object{}
}

// add gives a table a key.
func (r *tomlReader) add(table *Object, key string, n *Node) {
	table.Members = append(table.Members, Member{Key: key, Value: n})
	if r.tables[table] == nil {
		r.tables[table] = map[string]*Node{}
	}
	r.tables[table][key] = n
}

// pair reads a key and its value into a table.
func (r *tomlReader) pair(table *Object, e *unstable.Node, depth int) error {
	table, key, depth, err := r.walk(table, e.Key(), depth)
	if err != nil {
		return err
	}
	line := r.line
	v, err := r.value(e.Value(), depth)
	if err != nil {
		return err
	}
	v.Line = line
	r.add(table, key, v)
	return nil
}

func (r *tomlReader) value(n *unstable.Node, depth int) (*Node, error) {
	out := &Node{Line: r.at(n)}
	if err := r.deep(depth); err != nil {
		return nil, err
	}
	switch n.Kind {
	case unstable.Array:
		list := []*Node{}
		for items := n.Children(); items.Next(); {
			item, err := r.value(items.Node(), depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		out.Value = list
	case unstable.InlineTable:
		table := &Object{}
		for pairs := n.Children(); pairs.Next(); {
			if err := r.pair(table, pairs.Node(), depth); err != nil {
				return nil, err
			}
		}
		out.Value = table
	case unstable.String:
		out.Value = string(n.Data)
	case unstable.Bool:
		out.Value = string(n.Data) == "true"
	case unstable.Integer, unstable.Float:
		out.Value = tomlNumber(string(n.Data))
	default:
		out.Value = Date(n.Data)
	}
	return out, nil
}

// tomlNumber writes a number as JSON does.
func tomlNumber(text string) Number {
	text = strings.TrimPrefix(strings.ReplaceAll(text, "_", ""), "+")
	if i, err := strconv.ParseInt(text, 0, 64); err == nil {
		return Number(strconv.FormatInt(i, 10))
	}
	f, _ := strconv.ParseFloat(text, 64)
	return Number(strconv.FormatFloat(f, 'g', -1, 64))
}
