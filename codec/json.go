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
	// Why: values stay in histories, which count their length only; white
	// space must not be kept in memory behind it.
	if cap(out)-len(out) > len(out)/2+compactSlack {
		out = append(make([]byte, 0, len(out)), out...)
	}
	return JSON{unsafe.String(unsafe.SliceData(out), len(out))}, nil
}

// compactSlack is the memory that a short value may hold beyond its length.
const compactSlack = 64

// AppendCompact is [Compact] into memory of the caller's. After an error the
// bytes behind dst are of no use.
func AppendCompact(dst, src []byte, lim Limits) ([]byte, error) {
	if lim.Depth <= 0 {
		lim.Depth = DefaultDepth
	}
	if lim.Number <= 0 {
		lim.Number = DefaultNumber
	}
	given := src
	if !utf8.Valid(src) {
		src = replaceInvalid(src)
	}
	c := compactor{src: src, dst: dst, lim: lim}
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

// compactor is one pass over src: a loop with an explicit stack of open
// containers, so that depth costs memory of ours and never stack.
type compactor struct {
	src, dst []byte
	lim      Limits
	pos      int
	open     []byte // '{' or '[' for each open container
}

func (c *compactor) fail(reason string) error { return &SyntaxError{c.pos, reason} }

func (c *compactor) space() {
	for c.pos < len(c.src) {
		switch c.src[c.pos] {
		case ' ', '\t', '\n', '\r':
			c.pos++
		default:
			return
		}
	}
}

// peek returns the next byte that is not white space, 0 at the end.
func (c *compactor) peek() byte {
	c.space()
	if c.pos == len(c.src) {
		return 0
	}
	return c.src[c.pos]
}

func (c *compactor) run() ([]byte, error) {
	for {
		opened, err := c.value()
		if err != nil {
			return c.dst, err
		}
		if opened {
			continue
		}
		done, err := c.afterValue()
		if err != nil || done {
			return c.dst, err
		}
	}
}

// value copies one scalar, or the opening of a container up to the place of
// its first value; opened says that a value is due next.
func (c *compactor) value() (opened bool, err error) {
	switch b := c.peek(); {
	case b == '{' || b == '[':
		return c.openContainer(b)
	case b == '"':
		return false, c.str()
	case b == '-' || (b >= '0' && b <= '9'):
		return false, c.number()
	case b == 't':
		return false, c.literal("true")
	case b == 'f':
		return false, c.literal("false")
	case b == 'n':
		return false, c.literal("null")
	}
	return false, c.fail("a JSON value expected")
}

func (c *compactor) openContainer(b byte) (opened bool, err error) {
	if len(c.open) == c.lim.Depth {
		return false, c.fail(fmt.Sprintf("nested deeper than %d levels", c.lim.Depth))
	}
	c.pos++
	c.dst = append(c.dst, b)
	if next := c.peek(); next == b+2 { // '{'+2 == '}', '['+2 == ']'
		c.pos++
		c.dst = append(c.dst, next)
		return false, nil
	}
	c.open = append(c.open, b)
	if b == '{' {
		return true, c.key()
	}
	return true, nil
}

// afterValue handles what may follow a complete value: a comma, the end of the
// container, the end of the text.
func (c *compactor) afterValue() (done bool, err error) {
	for {
		b := c.peek()
		if len(c.open) == 0 {
			if c.pos != len(c.src) {
				return false, c.fail("nothing expected after the JSON value")
			}
			return true, nil
		}
		top := c.open[len(c.open)-1]
		switch {
		case b == ',':
			c.pos++
			c.dst = append(c.dst, ',')
			if top == '{' {
				c.peek()
				return false, c.key()
			}
			return false, nil
		case b == top+2:
			c.pos++
			c.dst = append(c.dst, b)
			c.open = c.open[:len(c.open)-1]
		default:
			return false, c.fail("',' or the end of the " + containerName(top) + " expected")
		}
	}
}

func containerName(b byte) string {
	if b == '{' {
		return "object"
	}
	return "array"
}

func (c *compactor) key() error {
	if c.peek() != '"' {
		return c.fail("a string expected as the key")
	}
	if err := c.str(); err != nil {
		return err
	}
	if c.peek() != ':' {
		return c.fail("':' expected after the key")
	}
	c.pos++
	c.dst = append(c.dst, ':')
	return nil
}

// str copies a string token as it stands. src is valid UTF-8 already.
func (c *compactor) str() error {
	start := c.pos
	i := c.pos + 1
	for i < len(c.src) {
		switch b := c.src[i]; {
		case b == '"':
			i++
			c.dst = append(c.dst, c.src[start:i]...)
			c.pos = i
			return nil
		case b == '\\':
			n := escapeLen(c.src[i:])
			if n == 0 {
				c.pos = i
				return c.fail("a valid escape expected")
			}
			i += n
		case b < 0x20:
			c.pos = i
			return c.fail("control characters in strings must be escaped")
		default:
			i++
		}
	}
	c.pos = i
	return c.fail("the string does not end")
}

// escapeLen returns the length of the escape that s starts with, 0 if it is
// not one.
func escapeLen(s []byte) int {
	if len(s) < 2 {
		return 0
	}
	switch s[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(s) >= 6 && isHex(s[2]) && isHex(s[3]) && isHex(s[4]) && isHex(s[5]) {
			return 6
		}
	}
	return 0
}

func isHex(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F'
}

func (c *compactor) number() error {
	i := c.pos
	if c.src[i] == '-' {
		i++
	}
	switch {
	case i < len(c.src) && c.src[i] == '0':
		i++
	case i < len(c.src) && c.src[i] >= '1' && c.src[i] <= '9':
		i = c.digits(i)
	default:
		c.pos = i
		return c.fail("a digit expected")
	}
	if i < len(c.src) && c.src[i] == '.' {
		j := c.digits(i + 1)
		if j == i+1 {
			c.pos = j
			return c.fail("a digit expected after '.'")
		}
		i = j
	}
	if i < len(c.src) && (c.src[i] == 'e' || c.src[i] == 'E') {
		j := i + 1
		if j < len(c.src) && (c.src[j] == '+' || c.src[j] == '-') {
			j++
		}
		k := c.digits(j)
		if k == j {
			c.pos = k
			return c.fail("a digit expected in the exponent")
		}
		i = k
	}
	if i-c.pos > c.lim.Number {
		return c.fail(fmt.Sprintf("a number longer than %d bytes", c.lim.Number))
	}
	c.dst = append(c.dst, c.src[c.pos:i]...)
	c.pos = i
	return nil
}

func (c *compactor) digits(i int) int {
	for i < len(c.src) && c.src[i] >= '0' && c.src[i] <= '9' {
		i++
	}
	return i
}

func (c *compactor) literal(word string) error {
	if len(c.src)-c.pos < len(word) || string(c.src[c.pos:c.pos+len(word)]) != word {
		return c.fail(word + " expected")
	}
	c.dst = append(c.dst, word...)
	c.pos += len(word)
	return nil
}

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string. As the reference does (PROTOCOL
// 1.9) it escapes control characters, <, >, &, U+2028 and U+2029, and writes
// each invalid byte as \ufffd.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		b := s[i]
		if b < utf8.RuneSelf {
			if b >= 0x20 && b != '"' && b != '\\' && b != '<' && b != '>' && b != '&' {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			dst = appendEscaped(dst, b)
			i++
			start = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			dst = append(dst, s[start:i]...)
			dst = append(dst, `\ufffd`...)
			start = i + n
		case r == '\u2028' || r == '\u2029':
			dst = append(dst, s[start:i]...)
			dst = append(dst, `\u202`...)
			dst = append(dst, hexDigits[r&0xF])
			start = i + n
		}
		i += n
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func appendEscaped(dst []byte, b byte) []byte {
	switch b {
	case '"', '\\':
		return append(dst, '\\', b)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&0xF])
}
