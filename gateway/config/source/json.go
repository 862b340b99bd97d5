package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ParseJSON reads one JSON text (RFC 8259) into a tree with line numbers. Errors give line and column and never quote
// the text, which may hold secrets.
func ParseJSON(data []byte) (*Node, error) { return read(data, "JSON", parseJSON) }

func parseJSON(data []byte) (*Node, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errEmpty
	}
	if err := checkJSON(data); err != nil {
		return nil, err
	}
	r := &jsonReader{json.NewDecoder(bytes.NewReader(data)), reader{data: data, line: 1}}
	r.UseNumber()
	return r.value(), nil
}

// jsonReader makes a tree of the tokens of a text that is right.
type jsonReader struct {
	*json.Decoder
	reader
}

// token returns the next token with the line of its end, which is that of its start as well.
func (r *jsonReader) token() (json.Token, int) {
	t, err := r.Token()
	if err != nil {
		panic("BUG: config: no token in JSON that was checked: " + err.Error())
	}
	return t, r.to(int(r.InputOffset()))
}

func (r *jsonReader) value() *Node {
	t, line := r.token()
	n := &Node{Value: t, Line: line}
	switch t {
	case json.Delim('{'):
		o := &Object{}
		for r.More() {
			key, line := r.token()
			v := r.value()
			v.Line = line
			o.Members = append(o.Members, Member{Key: key.(string), Value: v})
		}
		r.token()
		n.Value = o
	case json.Delim('['):
		l := []*Node{}
		for r.More() {
			l = append(l, r.value())
		}
		r.token()
		n.Value = l
	}
	return n
}

// checkJSON says where a text is no JSON, or too deep, and what was expected there.
func checkJSON(data []byte) error {
	at, want := jsonProblem(data)
	if deep := tooDeepAt(data); deep >= 0 && (want == "" || deep <= at) {
		at, want = deep, fmt.Sprintf("at most %d levels", maxDepth)
	}
	if want == "" {
		return nil
	}
	return jsonError(data, at, want)
}

// jsonProblem returns where a text is no JSON and what was expected there, "" if it is right.
func jsonProblem(data []byte) (at int, want string) {
	var raw json.RawMessage
	var syntax *json.SyntaxError
	// Why one byte more, which no JSON has, not even in a string: where a text ends too early, the library says only so.
	if !errors.As(json.Unmarshal(append(bytes.Clone(data), 0x01), &raw), &syntax) {
		return 0, ""
	}
	at, problem := int(syntax.Offset)-1, syntax.Error()
	if at == len(data) && strings.Contains(problem, "after top-level value") {
		return 0, ""
	}
	digit := func(i int) bool { return i < len(data) && data[i] >= '0' && data[i] <= '9' }
	if at > 0 && data[at-1] == '0' && digit(at) { // where the library has one number and then another
		for digit(at) {
			at++
		}
		return at, wantNumber
	}
	if strings.Contains(problem, " in literal ") {
		for at > 0 && data[at-1] >= 'a' && data[at-1] <= 'z' { // to the start of the word
			at--
		}
	}
	for _, e := range jsonExpected {
		if strings.Contains(problem, e.problem) {
			return at, e.want
		}
	}
	return at, "a value"
}

// tooDeepAt returns the offset of the first value that is nested too deeply, -1 if there is none. What it says of a text that is
// wrong holds up to that place.
func tooDeepAt(data []byte) int {
	levels, last := 0, byte(0) // how many objects and lists are open, and the last byte that is no blank
	for at := 0; at < len(data); at++ {
		c := data[at]
		if c == ' ' || c == '\t' || c == '\r' || c == '\n' {
			continue
		}
		if levels > maxDepth && (last == ':' || last == '[' && c != ']') {
			return at
		}
		switch last = c; c {
		case '{', '[':
			levels++
		case '}', ']':
			levels--
		case '"':
			for at++; at < len(data) && data[at] != '"'; at++ {
				if data[at] == '\\' {
					at++
				}
			}
		}
	}
	if levels > maxDepth && (last == ':' || last == '[') {
		return len(data)
	}
	return -1
}

const (
	wantNumber  = "a number without leading zeros"
	wantString  = "the end of the string"
	lineEndHint = ` (write line ends as \n)`
)

// jsonExpected is what was expected where the library has a problem.
var jsonExpected = []struct{ problem, want string }{
	{"looking for beginning of value", "a value: an object, a list, a string in double quotes, a number, true, false or null"},
	{"in literal", "a value: an object, a list, a string in double quotes, a number, true, false or null"},
	{"looking for beginning of object key", "a key in double quotes"},
	{"after object key:value", `"," or "}"`},
	{"after object key", `":"`},
	{"after array element", `"," or "]"`},
	{"after top-level value", "the end of the text"},
	{"in string escape", `an escape sequence: \" \\ \/ \b \f \n \r \t or \u and four hex digits`},
	{"hexadecimal", `an escape sequence: \" \\ \/ \b \f \n \r \t or \u and four hex digits`},
	{"in string literal", wantString + lineEndHint},
	{"after decimal point", "a digit"},
	{"in exponent", "a digit"},
	{"in numeric literal", wantNumber},
}

// jsonError says what was expected at an offset.
func jsonError(data []byte, at int, want string) error {
	line := bytes.Count(data[:at], []byte("\n")) + 1
	column := utf8.RuneCount(data[bytes.LastIndexByte(data[:at], '\n')+1:at]) + 1
	rest, problem := string(data[at:]), "expected "+want
	switch {
	case strings.HasPrefix(rest, "//"), strings.HasPrefix(rest, "/*"), strings.HasPrefix(rest, "#"):
		problem = "JSON has no comments: remove it, or write the file in YAML or TOML"
	case rest == "":
		problem = "the text ends, " + strings.TrimSuffix(problem, lineEndHint)
	}
	return fmt.Errorf("line %d, column %d: %s", line, column, problem)
}
