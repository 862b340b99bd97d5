package source

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// ParseJSON reads one JSON text (RFC 8259) into a tree with line numbers. Errors give line and column and never quote
// the text, which may hold secrets.
//
// Why not the JSON library: neither it nor the standard one tells where a key stands, or that a key is there twice.
func ParseJSON(data []byte) (*Node, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("empty; write {} to have the defaults")
	}
	r := &jsonReader{data: data, line: 1}
	n, err := r.value(0)
	if err != nil {
		return nil, err
	}
	if r.space(); r.pos < len(r.data) {
		return nil, r.fail("the end of the text")
	}
	return n, nil
}

type jsonReader struct {
	data      []byte
	pos       int
	line      int
	lineStart int
}

// fail returns an error that says what was expected at the current place.
func (r *jsonReader) fail(want string) error {
	col := utf8.RuneCount(r.data[r.lineStart:r.pos]) + 1
	if rest := r.data[r.pos:]; bytes.HasPrefix(rest, []byte("//")) || bytes.HasPrefix(rest, []byte("/*")) || bytes.HasPrefix(rest, []byte("#")) {
		return fmt.Errorf("line %d, column %d: JSON has no comments: remove it, or write the file in YAML or TOML", r.line, col)
	}
	if r.pos >= len(r.data) {
		return fmt.Errorf("line %d, column %d: the text ends, expected %s", r.line, col, want)
	}
	return fmt.Errorf("line %d, column %d: expected %s", r.line, col, want)
}

func (r *jsonReader) space() {
	for ; r.pos < len(r.data); r.pos++ {
		switch r.data[r.pos] {
		case '\n':
			r.line++
			r.lineStart = r.pos + 1
		case ' ', '\t', '\r':
		default:
			return
		}
	}
}

// eat skips white space and takes c if it is next.
func (r *jsonReader) eat(c byte) bool {
	r.space()
	if r.pos < len(r.data) && r.data[r.pos] == c {
		r.pos++
		return true
	}
	return false
}

func (r *jsonReader) value(depth int) (*Node, error) {
	r.space()
	if depth > maxDepth {
		return nil, r.fail(fmt.Sprintf("at most %d levels", maxDepth))
	}
	if r.pos >= len(r.data) {
		return nil, r.fail("a value")
	}
	n := &Node{Line: r.line}
	var err error
	switch c := r.data[r.pos]; {
	case c == '{':
		n.Value, err = r.object(depth)
	case c == '[':
		n.Value, err = r.list(depth)
	case c == '"':
		n.Value, err = r.str()
	case c == '-' || c >= '0' && c <= '9':
		n.Value, err = r.Number()
	default:
		n.Value, err = r.word()
	}
	return n, err
}

func (r *jsonReader) object(depth int) (*Object, error) {
	r.pos++
	o := &Object{}
	if r.eat('}') {
		return o, nil
	}
	for {
		r.space()
		if r.pos >= len(r.data) || r.data[r.pos] != '"' {
			return nil, r.fail(`a key in double quotes`)
		}
		line := r.line
		key, err := r.str()
		if err != nil {
			return nil, err
		}
		if !r.eat(':') {
			return nil, r.fail(`":"`)
		}
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		v.Line = line
		o.Members = append(o.Members, Member{key, v})
		if r.eat('}') {
			return o, nil
		}
		if !r.eat(',') {
			return nil, r.fail(`"," or "}"`)
		}
	}
}

func (r *jsonReader) list(depth int) ([]*Node, error) {
	r.pos++
	l := []*Node{}
	if r.eat(']') {
		return l, nil
	}
	for {
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		l = append(l, v)
		if r.eat(']') {
			return l, nil
		}
		if !r.eat(',') {
			return nil, r.fail(`"," or "]"`)
		}
	}
}

func (r *jsonReader) word() (any, error) {
	for word, v := range map[string]any{"true": true, "false": false, "null": nil} {
		if bytes.HasPrefix(r.data[r.pos:], []byte(word)) {
			r.pos += len(word)
			return v, nil
		}
	}
	return nil, r.fail("a value: an object, a list, a string in double quotes, a number, true, false or null")
}

func (r *jsonReader) Number() (Number, error) {
	start := r.pos
	digits := func() bool {
		from := r.pos
		for r.pos < len(r.data) && r.data[r.pos] >= '0' && r.data[r.pos] <= '9' {
			r.pos++
		}
		return r.pos > from
	}
	at := func(chars string) bool {
		return r.pos < len(r.data) && bytes.IndexByte([]byte(chars), r.data[r.pos]) >= 0
	}
	if at("-") {
		r.pos++
	}
	zero := at("0")
	if from := r.pos; !digits() || zero && r.pos > from+1 {
		return "", r.fail("a number without leading zeros")
	}
	if at(".") {
		if r.pos++; !digits() {
			return "", r.fail("a digit")
		}
	}
	if at("eE") {
		if r.pos++; at("+-") {
			r.pos++
		}
		if !digits() {
			return "", r.fail("a digit")
		}
	}
	return Number(r.data[start:r.pos]), nil
}

// str reads a string; the opening quote is next.
func (r *jsonReader) str() (string, error) {
	r.pos++
	var out []byte
	for r.pos < len(r.data) {
		switch c := r.data[r.pos]; {
		case c == '"':
			r.pos++
			return string(out), nil
		case c < 0x20:
			return "", r.fail(`the end of the string (write line ends as \n)`)
		case c == '\\':
			var err error
			if out, err = r.escape(out); err != nil {
				return "", err
			}
		default:
			out = append(out, c)
			r.pos++
		}
	}
	return "", r.fail("the end of the string")
}

var jsonEscapes = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape appends the character of the escape sequence that is next.
func (r *jsonReader) escape(out []byte) ([]byte, error) {
	r.pos++
	if r.pos >= len(r.data) {
		return nil, r.fail("the end of the string")
	}
	if c, ok := jsonEscapes[r.data[r.pos]]; ok {
		r.pos++
		return append(out, c), nil
	}
	u, ok := r.hex4()
	if !ok {
		return nil, r.fail(`an escape sequence: \" \\ \/ \b \f \n \r \t or \u and four hex digits`)
	}
	if utf16.IsSurrogate(u) {
		save := r.pos
		low, ok := rune(0), false
		if r.pos+1 < len(r.data) && r.data[r.pos] == '\\' {
			r.pos++
			low, ok = r.hex4()
		}
		if u = utf16.DecodeRune(u, low); !ok || u == utf8.RuneError {
			r.pos = save
			u = utf8.RuneError
		}
	}
	return utf8.AppendRune(out, u), nil
}

// hex4 reads uXXXX.
func (r *jsonReader) hex4() (rune, bool) {
	if r.pos+5 > len(r.data) || r.data[r.pos] != 'u' {
		return 0, false
	}
	u, err := strconv.ParseUint(string(r.data[r.pos+1:r.pos+5]), 16, 16)
	if err != nil {
		return 0, false
	}
	r.pos += 5
	return rune(u), true
}
