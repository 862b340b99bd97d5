package codec

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	json "github.com/goccy/go-json"
)

// FieldError says which field of a request is not what it has to be. Its text
// holds names of the protocol only, nothing that the sender chose: it is safe
// in logs and response headers.
type FieldError struct {
	Field string // path from the root, as in "commands.0.publish.tags.*"; "" is the request itself
	Want  string // what was expected
	Got   string // kind of JSON value that came, "" if that is not the point
	Cause error  // what is wrong with the value, may be nil
}

func (e *FieldError) Error() string { return "codec: bad request: " + e.detail() }

func (e *FieldError) Unwrap() error { return e.Cause }

func (e *FieldError) detail() string {
	text := e.Want + " expected"
	if e.Field != "" {
		text = e.Field + ": " + text
	}
	if e.Got != "" {
		text += ", got " + e.Got
	}
	var syntax *SyntaxError
	if errors.As(e.Cause, &syntax) {
		text += ": " + syntax.detail()
	}
	return text
}

func (e *SyntaxError) detail() string {
	return fmt.Sprintf("at byte %d: %s", e.Offset, e.Reason)
}

// maxDetail is the most that Detail returns, in bytes.
const maxDetail = 200

// Detail describes an error of this package's decoders, or of [Compact], in one
// line of at most 200 bytes of ASCII without anything that the sender wrote:
// fit for the header X-Sluice-Detail (PROTOCOL 12.42). Other errors give "".
func Detail(err error) string {
	var field *FieldError
	var syntax *SyntaxError
	text := ""
	switch {
	case errors.As(err, &field):
		text = field.detail()
	case errors.As(err, &syntax):
		text = "bad JSON " + syntax.detail()
	}
	if len(text) > maxDetail {
		text = text[:maxDetail]
	}
	return text
}

// requestError puts an error of the JSON library into the words of this
// package. Why not its own text: it quotes the request.
func requestError(src []byte, lim Limits, err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return &FieldError{Field: fieldPath(wrong.Field), Want: wantedKind(wrong.Type), Got: gotKind(wrong.Value)}
	}
	// Numbers are bounded where they are used, not here.
	lim.Number = max(len(src), 1)
	if _, bad := Compact(src, lim); bad != nil {
		return bad
	}
	return &FieldError{Want: "a valid request"}
}

// fieldPath returns the path of a field without the keys that the sender chose.
func fieldPath(path string) string {
	parts := strings.Split(path, ".")
	out := parts[:0]
	for i, p := range parts {
		if p == "" || p[0] >= 'A' && p[0] <= 'Z' { // an embedded struct of ours
			continue
		}
		out = append(out, p)
		if p != "tags" && p != "headers" && p != "subs" {
			continue
		}
		if rest := parts[i+1:]; len(rest) > 0 {
			out = append(out, "*")
			// A channel may hold dots, so only the last part can be told
			// from it.
			if last := rest[len(rest)-1]; len(rest) > 1 && subFields[last] {
				out = append(out, last)
			}
		}
		break
	}
	return strings.Join(out, ".")
}

// subFields are the names within an entry of subs.
var subFields = func() map[string]bool {
	names := make(map[string]bool)
	t := reflect.TypeFor[subWire]()
	for i := range t.NumField() {
		names[t.Field(i).Tag.Get("json")] = true
	}
	return names
}()

func wantedKind(t reflect.Type) string {
	if t == nil {
		return "another type"
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("a whole number of 0 or more within %d bits", t.Bits())
	case reflect.Int32, reflect.Int64:
		return fmt.Sprintf("a whole number within %d bits", t.Bits())
	case reflect.Slice:
		return "an array"
	}
	return "an object"
}

// gotKind returns the kind of the value: the library puts the text of a number
// behind it.
func gotKind(value string) string {
	kind, _, _ := strings.Cut(value, " ")
	switch kind {
	case "string", "number", "bool", "object", "array":
		return kind
	}
	return ""
}
