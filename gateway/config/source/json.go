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
	tree := r.value()
	return tree, tree.checkDepth(0)
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

// checkJSON says where a text is no JSON, and what was expected there.
func checkJSON(data []byte) error {
	var raw json.RawMessage
	var syntax *json.SyntaxError
	if err := json.Unmarshal(data, &raw); !errors.As(err, &syntax) {
		return err
	}
	at := int(syntax.Offset) - 1
	if at+1 == len(data) && strings.HasPrefix(syntax.Error(), "unexpected end") {
		// What no JSON has tells what was expected there.
		err := json.Unmarshal(append(bytes.Clone(data), 0x7f), &raw)
		if at = len(data); !errors.As(err, &syntax) {
			return err
		}
	}
	problem := syntax.Error()
	if strings.Contains(problem, " in literal ") {
		for at > 0 && data[at-1] >= 'a' && data[at-1] <= 'z' { // to the start of the word
			at--
		}
	}
	for _, e := range jsonExpected {
		if strings.Contains(problem, e.problem) {
			return jsonError(data, at, e.want)
		}
	}
	return jsonError(data, at, "a value")
}

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
	{"in string literal", `the end of the string (write line ends as \n)`},
	{"after decimal point", "a digit"},
	{"in exponent", "a digit"},
	{"in numeric literal", "a number without leading zeros"},
	{"max depth", fmt.Sprintf("at most %d levels", maxDepth)},
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
		problem = "the text ends, " + problem
	}
	return fmt.Errorf("line %d, column %d: %s", line, column, problem)
}
