package codec

import (
	"errors"
	"fmt"
	"unicode/utf8"
	"unsafe"
)

// JSON is one complete JSON value that may be put on a stream as it stands:
// valid UTF-8, compact, of bounded depth, without CR, LF, NUL or any other
// byte below 0x20. Only [Compact] makes it, so holding one is the proof; the zero
// value means "no value". A JSON is immutable and may be shared.
type JSON struct {
	text string
}

// String returns the text of the value, "" for the zero JSON.
func (j JSON) String() string { return j.text }

// Len returns the length of the text in bytes.
func (j JSON) Len() int { return len(j.text) }

// IsZero reports whether there is no value. JSON null is a value.
func (j JSON) IsZero() bool { return j.text == "" }

// IsObject reports whether the value is a JSON object.
func (j JSON) IsObject() bool { return j.text != "" && j.text[0] == '{' }

// Append appends the text of the value to dst.
func (j JSON) Append(dst []byte) []byte { return append(dst, j.text...) }

// MarshalJSON implements the interface of JSON encoders; the zero value is
// written as null.
func (j JSON) MarshalJSON() ([]byte, error) {
	if j.text == "" {
		return []byte("null"), nil
	}
	return []byte(j.text), nil
}

// Limits bounds what [Compact] accepts. A zero field means its default.
type Limits struct {
	Depth  int // nesting of arrays and objects, default DefaultDepth
	Number int // bytes of one number, default DefaultNumber
}

// Defaults of Limits.
const (
	DefaultDepth  = 128
	DefaultNumber = 1024
)

func (l Limits) withDefaults() Limits {
	if l.Depth <= 0 {
		l.Depth = DefaultDepth
	}
	if l.Number <= 0 {
		l.Number = DefaultNumber
	}
	return l
}

// SyntaxError says where and why a text is not one acceptable JSON value.
type SyntaxError struct {
	Offset int    // index in the text as given of the offending byte or token
	Reason string // what was expected there
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("codec: bad JSON at byte %d: %s", e.Offset, e.Reason)
}

// Compact checks that src is exactly one JSON value (RFC 8259), with nothing
// but white space around it, and returns it without insignificant white space.
// Bytes that are not UTF-8 become U+FFFD each. Numbers and string escapes are
// kept as written. src is copied.
func Compact(src []byte, lim Limits) (JSON, error) {
	if len(src) == 0 {
		return JSON{}, &SyntaxError{0, "a JSON value expected, got nothing"}
	}
	out, err := AppendCompact(make([]byte, 0, len(src)), src, lim)
	if err != nil {
		return JSON{}, err
	}
	return jsonOf(out), nil
}

// jsonOf makes a JSON of what a compactor wrote into memory of its own.
func jsonOf(out []byte) JSON {
	// Why: values stay in histories, which count their length only; white
	// space must not be kept in memory behind it.
	if cap(out)-len(out) > len(out)/2+compactSlack {
		out = append(make([]byte, 0, len(out)), out...)
	}
	return JSON{unsafe.String(unsafe.SliceData(out), len(out))}
}

// compactSlack is the memory that a short value may hold beyond its length.
const compactSlack = 64

// AppendCompact is [Compact] into memory of the caller's. After an error the
// bytes behind dst are of no use.
func AppendCompact(dst, src []byte, lim Limits) ([]byte, error) {
	given := src
	if !utf8.Valid(src) {
		src = replaceInvalid(src)
	}
	c := compactor{src: src, dst: dst, lim: lim.withDefaults()}
	out, err := c.run()
	if err != nil && len(src) != len(given) {
		var e *SyntaxError
		if errors.As(err, &e) {
			e.Offset = offsetBefore(given, e.Offset)
		}
	}
	return out, err
}

// QuoteJSON returns s as a JSON string value.
func QuoteJSON(s string) JSON {
	b := AppendString(make([]byte, 0, len(s)+2), s)
	return JSON{unsafe.String(unsafe.SliceData(b), len(b))}
}

// replaceInvalid returns src with every byte that is not part of UTF-8 text
// replaced by U+FFFD, one for each byte as encoding/json does.
func replaceInvalid(src []byte) []byte {
	out := make([]byte, 0, len(src)+16)
	for i := 0; i < len(src); {
		r, n := utf8.DecodeRune(src[i:])
		if r == utf8.RuneError && n == 1 {
			out = append(out, "\uFFFD"...)
		} else {
			out = append(out, src[i:i+n]...)
		}
		i += n
	}
	return out
}

// offsetBefore returns the index in given of what is at index i of
// replaceInvalid(given).
func offsetBefore(given []byte, i int) int {
	at := 0
	for j := 0; j < i && at < len(given); {
		r, n := utf8.DecodeRune(given[at:])
		if r == utf8.RuneError && n == 1 {
			j += len("\uFFFD")
		} else {
			j += n
		}
		at += n
	}
	return at
}
