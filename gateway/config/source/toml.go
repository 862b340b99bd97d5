package source

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// ParseTOML reads a TOML text into a tree with line numbers. Errors give the line and never quote values, which may be
// secrets.
//
// The parser of the library gives what is written, in its order and with its place; whether keys and tables clash is what its
// decoder says. The tree comes first, because it also bounds the depth, which the decoder could not stand.
func ParseTOML(data []byte) (*Node, error) { return read(data, "TOML", parseTOML) }

func parseTOML(data []byte) (*Node, error) {
	r := &tomlReader{reader: reader{data: data, line: 1}, root: &Object{}, tables: map[*Object]map[string]*Node{}}
	r.Reset(data)
	table := r.root
	for r.err == nil && r.NextExpression() {
		if e := r.Expression(); e.Kind == unstable.KeyValue {
			r.pair(table, e)
		} else {
			table = r.header(e)
		}
	}
	tree := &Node{Value: r.root, Line: 1}
	if r.err == nil {
		r.err = tree.checkDepth(0)
	}
	if r.err != nil {
		return nil, r.err
	}
	var clash map[string]any
	if err := toml.Unmarshal(data, &clash); err != nil {
		return nil, tomlError(err)
	}
	return tree, nil
}

var tomlTwice = regexp.MustCompile(`^(?:key|table) (.*) (?:is already defined|already exists)`)

// maxTOMLKeys bounds the keys of one table: the library takes time with the square of them.
const maxTOMLKeys = 10_000

func tomlError(err error) error {
	var de *toml.DecodeError
	if !errors.As(err, &de) {
		return unreadable("TOML")
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

// tomlReader makes a tree of the expressions of a text: headers of tables, and keys with values. Its line is that of the last thing
// that has a place; lists have none.
type tomlReader struct {
	unstable.Parser
	reader
	root   *Object
	tables map[*Object]map[string]*Node // the last value of each key of each table
}

// lineOf remembers and returns the line of a node.
func (r *tomlReader) lineOf(n *unstable.Node) int {
	if n.Raw.Length > 0 {
		return r.to(int(n.Raw.Offset))
	}
	return r.line
}

// header returns the table that [a.b] or [[a.b]] opens.
func (r *tomlReader) header(e *unstable.Node) *Object {
	table, last := r.walk(r.root, e.Key())
	if e.Kind != unstable.ArrayTable {
		return r.inner(table, last)
	}
	n, opened := r.member(table, last, []*Node{}), &Object{}
	if list, ok := n.Value.([]*Node); ok {
		n.Value = append(list, &Node{Value: opened, Line: r.line})
	}
	return opened
}

// walk follows a dotted key from a table to the one that holds its last part.
func (r *tomlReader) walk(table *Object, key unstable.Iterator) (in *Object, last string) {
	for depth := 1; key.Next(); depth++ {
		part := key.Node()
		r.lineOf(part)
		switch {
		case depth > maxDepth:
			r.fail(r.line, "%s", tooDeep)
			return table, ""
		case len(r.tables[table]) > maxTOMLKeys:
			r.fail(r.line, "more than %d keys in one table", maxTOMLKeys)
		case key.IsLast():
			return table, string(part.Data)
		}
		table = r.inner(table, string(part.Data))
	}
	return table, ""
}

// inner returns the table with this key, the last one of a list of tables. It is made if it is not there. Keys that clash get
// one that nobody sees: the decoder refuses them.
func (r *tomlReader) inner(table *Object, key string) *Object {
	n := r.member(table, key, &Object{})
	if list, ok := n.Value.([]*Node); ok && len(list) > 0 {
		n = list[len(list)-1]
	}
	if o, ok := n.Value.(*Object); ok {
		return o
	}
	return &Object{}
}

// member returns the value of a key of a table; where there is none, it becomes this one.
func (r *tomlReader) member(table *Object, key string, value any) *Node {
	n := r.tables[table][key]
	if n == nil {
		n = &Node{Value: value, Line: r.line}
		r.add(table, key, n)
	}
	return n
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
func (r *tomlReader) pair(table *Object, e *unstable.Node) {
	table, key := r.walk(table, e.Key())
	line := r.line
	v := r.value(e.Value())
	v.Line = line
	r.add(table, key, v)
}

func (r *tomlReader) value(n *unstable.Node) *Node {
	out := &Node{Line: r.lineOf(n)}
	switch n.Kind {
	case unstable.Array:
		list := []*Node{}
		for items := n.Children(); items.Next(); {
			list = append(list, r.value(items.Node()))
		}
		out.Value = list
	case unstable.InlineTable:
		table := &Object{}
		for pairs := n.Children(); pairs.Next(); {
			r.pair(table, pairs.Node())
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
	return out
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
