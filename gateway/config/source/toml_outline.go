package source

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/BurntSushi/toml"
)

// tomlPlace says where the values of a TOML text stand: of a table by key, of an array by index.
type tomlPlace struct {
	line  int
	seq   int // its place among the keys of its table
	keys  map[string]*tomlPlace
	items []*tomlPlace
}

// order returns the place of a key among those of its table; keys that are not known come last.
func (p *tomlPlace) order(key string) int {
	if k := p.keys[key]; k != nil {
		return k.seq
	}
	return math.MaxInt32
}

func (p *tomlPlace) item(i int) *tomlPlace {
	if i < len(p.items) {
		return p.items[i]
	}
	return nil
}

// child returns the place of a key, which is made at the current line if it is new.
func (p *tomlPlace) child(key string, line int) *tomlPlace {
	if p.keys == nil {
		p.keys = map[string]*tomlPlace{}
	}
	if p.keys[key] == nil {
		p.keys[key] = &tomlPlace{line: line, seq: len(p.keys)}
	}
	return p.keys[key]
}

// newest returns the table that a header continues: the last one of an array of tables, or p itself.
func (p *tomlPlace) newest() *tomlPlace {
	if n := len(p.items); n > 0 {
		return p.items[n-1]
	}
	return p
}

var errTOMLDepth = errors.New("too deep")

// outlineTOML finds out where each key of a TOML text stands. It knows the shape of the language (TOML 1.1) and leaves
// the values to the library. If it cannot go on, stop is a little behind that place: the library, which gets the text up
// to there, then has the better error.
func outlineTOML(data []byte) (root *tomlPlace, stop int, err error) {
	r := &tomlOutline{data: data, line: 1}
	root = &tomlPlace{line: 1}
	if err := r.text(root); err != nil {
		const behind = 80
		return nil, min(r.pos+behind, len(data)), err
	}
	return root, len(data), nil
}

type tomlOutline struct {
	data []byte
	pos  int
	line int
}

func (r *tomlOutline) fail() error {
	return fmt.Errorf("line %d: not TOML that is understood", r.line)
}

func (r *tomlOutline) tooDeep() error {
	return fmt.Errorf("line %d: %w: allowed at most %d levels", r.line, errTOMLDepth, maxDepth)
}

func (r *tomlOutline) peek() byte {
	if r.pos < len(r.data) {
		return r.data[r.pos]
	}
	return 0
}

func (r *tomlOutline) next(s string) bool {
	if strings.HasPrefix(string(r.data[r.pos:min(r.pos+len(s), len(r.data))]), s) {
		r.pos += len(s)
		return true
	}
	return false
}

// blanks skips blanks, and line ends and comments too if lines is set.
func (r *tomlOutline) blanks(lines bool) {
	for ; r.pos < len(r.data); r.pos++ {
		switch c := r.data[r.pos]; {
		case c == ' ' || c == '\t' || c == '\r':
		case c == '\n' && lines:
			r.line++
		case c == '#' && lines:
			for r.pos+1 < len(r.data) && r.data[r.pos+1] != '\n' {
				r.pos++
			}
		default:
			return
		}
	}
}

// text reads headers and key = value lines.
func (r *tomlOutline) text(root *tomlPlace) error {
	table, depth := root, 0
	for {
		r.blanks(true)
		if r.pos >= len(r.data) {
			return nil
		}
		var err error
		if r.peek() == '[' {
			table, depth, err = r.header(root)
		} else {
			err = r.pair(table, depth)
		}
		if err != nil {
			return err
		}
	}
}

// header reads [a.b] or [[a.b]] and returns the table that it opens.
func (r *tomlOutline) header(root *tomlPlace) (*tomlPlace, int, error) {
	line, closing := r.line, "]"
	if r.next("[[") {
		closing = "]]"
	} else {
		r.pos++
	}
	path, err := r.key()
	if err != nil {
		return nil, 0, err
	}
	if len(path) > maxDepth {
		return nil, 0, r.tooDeep()
	}
	if r.blanks(false); !r.next(closing) {
		return nil, 0, r.fail()
	}
	at := root
	for _, name := range path[:len(path)-1] {
		at = at.child(name, line).newest()
	}
	at = at.child(path[len(path)-1], line)
	if closing == "]]" {
		at.items = append(at.items, &tomlPlace{line: line})
		at = at.items[len(at.items)-1]
	} else {
		at = at.newest()
	}
	return at, len(path), nil
}

// pair reads a key and its value into a table.
func (r *tomlOutline) pair(table *tomlPlace, depth int) error {
	line := r.line
	path, err := r.key()
	if err != nil {
		return err
	}
	if depth+len(path) > maxDepth {
		return r.tooDeep()
	}
	if r.blanks(false); !r.next("=") {
		return r.fail()
	}
	at := table
	for _, name := range path {
		at = at.child(name, line)
	}
	return r.value(at, depth+len(path))
}

// key reads a dotted key.
func (r *tomlOutline) key() ([]string, error) {
	var path []string
	for {
		r.blanks(false)
		start := r.pos
		switch c := r.peek(); {
		case c == '"' || c == '\'':
			if err := r.str(); err != nil {
				return nil, err
			}
			name, err := unquoteTOML(string(r.data[start:r.pos]))
			if err != nil {
				return nil, r.fail()
			}
			path = append(path, name)
		default:
			for r.pos < len(r.data) && strings.IndexByte(" \t\r\n.=]#\"'[{},", r.data[r.pos]) < 0 {
				r.pos++
			}
			if r.pos == start {
				return nil, r.fail()
			}
			path = append(path, string(r.data[start:r.pos]))
		}
		if len(path) > maxDepth {
			return nil, r.tooDeep()
		}
		if r.blanks(false); !r.next(".") {
			return path, nil
		}
	}
}

// unquoteTOML returns what a quoted key stands for, as the library says.
func unquoteTOML(quotedKey string) (string, error) {
	if inner := quotedKey[1 : len(quotedKey)-1]; strings.IndexByte(inner, '\\') < 0 {
		return inner, nil
	}
	var v struct{ K string }
	_, err := toml.Decode("K="+quotedKey, &v)
	return v.K, err
}

func (r *tomlOutline) value(at *tomlPlace, depth int) error {
	if depth > maxDepth {
		return r.tooDeep()
	}
	r.blanks(false)
	switch c := r.peek(); {
	case c == '[':
		return r.array(at, depth)
	case c == '{':
		return r.inline(at, depth)
	case c == '"' || c == '\'':
		return r.str()
	}
	start := r.pos
	for r.pos < len(r.data) && strings.IndexByte("\n#,]}", r.data[r.pos]) < 0 {
		r.pos++
	}
	if r.pos == start {
		return r.fail()
	}
	return nil
}

func (r *tomlOutline) array(at *tomlPlace, depth int) error {
	r.pos++
	for {
		if r.blanks(true); r.next("]") {
			return nil
		}
		item := &tomlPlace{line: r.line}
		at.items = append(at.items, item)
		if err := r.value(item, depth+1); err != nil {
			return err
		}
		if r.blanks(true); r.next("]") {
			return nil
		}
		if !r.next(",") {
			return r.fail()
		}
	}
}

func (r *tomlOutline) inline(at *tomlPlace, depth int) error {
	r.pos++
	for {
		if r.blanks(true); r.next("}") {
			return nil
		}
		if err := r.pair(at, depth); err != nil {
			return err
		}
		if r.blanks(true); r.next("}") {
			return nil
		}
		if !r.next(",") {
			return r.fail()
		}
	}
}

// str skips a string of any of the four kinds; its first quote is next.
func (r *tomlOutline) str() error {
	quote := string(r.data[r.pos])
	end := quote
	if r.next(quote + quote + quote) {
		end = quote + quote + quote
	} else {
		r.pos++
	}
	for r.pos < len(r.data) {
		if r.next(end) {
			// Up to two quotes may stand in front of the closing three.
			if len(end) == 3 && r.next(quote) {
				r.next(quote)
			}
			return nil
		}
		switch c := r.data[r.pos]; {
		case c == '\n' && len(end) == 1:
			return r.fail()
		case c == '\n':
			r.line++
		case c == '\\' && quote == `"` && r.pos+1 < len(r.data):
			if r.pos++; r.data[r.pos] == '\n' {
				r.line++
			}
		}
		r.pos++
	}
	return r.fail()
}
