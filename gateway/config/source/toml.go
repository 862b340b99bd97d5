package source

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// ParseTOML reads a TOML text into a tree with line numbers. Errors give the line and never quote values, which may be
// secrets.
//
// The parser of the library gives what is written, in its order and with its place, and its decoder says what is wrong with a
// number or a date. Keys that clash are found here: the decoder refuses files that dotted keys and headers continue in turn,
// which have always loaded.
func ParseTOML(data []byte) (*Node, error) { return read(data, "TOML", parseTOML) }

func parseTOML(data []byte) (*Node, error) {
	r := &tomlReader{reader: reader{data: data, line: 1}, tables: map[*Object]*tomlTable{}, lists: map[*Node]bool{}}
	r.root = r.newTable("")
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
		r.err = r.syntax()
	}
	if r.err == nil {
		r.err = tree.checkDepth(0)
	}
	return tree, r.err
}

// tomlReader makes a tree of the expressions of a text: headers of tables, and keys with values. Its line is that of the last thing
// that has a place; lists have none.
type tomlReader struct {
	unstable.Parser
	reader
	root   *Object
	tables map[*Object]*tomlTable
	lists  map[*Node]bool // those that headers make
}

// tomlTable is what is known of a table.
type tomlTable struct {
	within string // what stands before its keys in a dotted key: "a.b."
	keys   map[string]*Node
	made   bool // by a header or in braces: another header cannot do so again
}

func (r *tomlReader) newTable(within string) *Object {
	o := &Object{}
	r.tables[o] = &tomlTable{within: within, keys: map[string]*Node{}}
	return o
}

// syntax returns why the parser does not go on, nil at the end of the text.
func (r *tomlReader) syntax() error {
	var wrong *unstable.ParserError
	if err := r.Error(); err == nil {
		return nil
	} else if !errors.As(err, &wrong) {
		return unreadable("TOML")
	}
	problem := wrong.Message
	if strings.Contains(problem, "maximum of") {
		problem = tooDeep
	}
	line := bytes.Count(r.data[:r.Range(wrong.Highlight).Offset], []byte("\n")) + 1
	return fmt.Errorf("line %d: %s", line, withoutQuotes(problem))
}

// dotted returns the whole name of a key of a table.
func (r *tomlReader) dotted(table *Object, key string) string { return r.tables[table].within + key }

// clash says that a key of a table is there already.
func (r *tomlReader) clash(table *Object, key string) {
	r.fail(r.line, "Key '%s' has already been defined.", r.dotted(table, key))
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
	table, key := r.walk(r.root, e.Key())
	n := r.tables[table].keys[key]
	var opened *Object
	switch {
	case e.Kind != unstable.ArrayTable:
		if opened = r.inner(table, key); r.lists[n] || r.tables[opened].made {
			r.clash(table, key)
		}
	case n != nil && !r.lists[n]:
		r.fail(r.line, "Key '%s' was already created and cannot be used as an array.", r.dotted(table, key))
		return table
	default:
		if n == nil {
			n = r.add(table, key, []*Node{})
			r.lists[n] = true
		}
		opened = r.newTable(r.dotted(table, key) + ".")
		n.Value = append(n.Value.([]*Node), &Node{Value: opened, Line: r.line})
	}
	r.tables[opened].made = true
	return opened
}

// walk follows a dotted key from a table to the one that holds its last part.
func (r *tomlReader) walk(table *Object, key unstable.Iterator) (in *Object, last string) {
	for depth := 1; key.Next(); depth++ {
		part := key.Node()
		r.lineOf(part)
		if last = string(part.Data); depth > maxDepth {
			r.fail(r.line, "%s", tooDeep)
			break
		}
		if !key.IsLast() {
			table = r.inner(table, last)
		}
	}
	return table, last
}

// inner returns the table with this key: of a list that headers make the last one. It is made if it is not there. Keys that clash
// get one that nobody sees.
func (r *tomlReader) inner(table *Object, key string) *Object {
	n := r.tables[table].keys[key]
	if n == nil {
		n = r.add(table, key, r.newTable(r.dotted(table, key)+"."))
	}
	if r.lists[n] {
		list := n.Value.([]*Node)
		n = list[len(list)-1]
	}
	if o, ok := n.Value.(*Object); ok {
		return o
	}
	r.clash(table, key)
	return r.newTable("")
}

// add gives a table a key.
func (r *tomlReader) add(table *Object, key string, value any) *Node {
	n := &Node{Value: value, Line: r.line}
	table.Members = append(table.Members, Member{Key: key, Value: n})
	r.tables[table].keys[key] = n
	return n
}

// pair reads a key and its value into a table.
func (r *tomlReader) pair(table *Object, e *unstable.Node) {
	table, key := r.walk(table, e.Key())
	if r.tables[table].keys[key] != nil {
		r.clash(table, key)
	}
	n := r.add(table, key, nil)
	n.Value = r.value(e.Value(), r.dotted(table, key)+".").Value
}

// value reads a value; within is what stands before its keys.
func (r *tomlReader) value(n *unstable.Node, within string) *Node {
	out := &Node{Line: r.lineOf(n)}
	switch n.Kind {
	case unstable.Array:
		list := []*Node{}
		for items := n.Children(); items.Next(); {
			list = append(list, r.value(items.Node(), within))
		}
		out.Value = list
	case unstable.InlineTable:
		table := r.newTable(within)
		r.tables[table].made = true
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
		r.check(n)
	default:
		out.Value = Date(n.Data)
		r.check(n)
	}
	return out
}

// check notes what is wrong with a number or a date.
func (r *tomlReader) check(n *unstable.Node) {
	var v map[string]any
	if err := toml.Unmarshal(append([]byte("v="), n.Data...), &v); err == nil {
		return
	} else if problem := strings.TrimPrefix(err.Error(), "toml: "); strings.Contains(problem, "too large to fit") || strings.Contains(problem, "out of range") {
		r.fail(r.line, "a number is out of range")
	} else {
		r.fail(r.line, "%s", withoutQuotes(problem))
	}
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
