package codec

import (
	"bytes"
	"io"
	"strconv"
	"strings"

	json "github.com/goccy/go-json"
)

// LegacyCommand is one command of the legacy endpoint (PROTOCOL 7.11).
type LegacyCommand struct {
	ID     uint32
	Name   string // of the method, in lower case; "" if it came as a number
	Number int64  // of the method if Name is ""
	Params []byte // the text of params, nil if absent
}

type legacyWire struct {
	ID     uint32          `json:"id"`
	Method json.RawMessage `json:"method"`
	Params json.RawMessage `json:"params"`
}

// LegacyDecoder reads the commands of one body of the legacy endpoint: JSON
// objects with nothing but optional white space between them.
type LegacyDecoder struct {
	src []byte
	pos int
	lim Limits
}

// NewLegacyDecoder returns a decoder of src, which must not change while the
// decoder is in use; its commands are copies.
func NewLegacyDecoder(src []byte, lim Limits) *LegacyDecoder {
	return &LegacyDecoder{src: src, lim: lim}
}

// Next returns the next command, or io.EOF at the end of the body. Other errors
// are described by [Detail]; behind one nothing can be read.
func (d *LegacyDecoder) Next() (*LegacyCommand, error) {
	text, err := d.value()
	if err != nil {
		return nil, err
	}
	var wire legacyWire
	if err := decode(text, d.lim, &wire); err != nil {
		return nil, err
	}
	cmd := &LegacyCommand{ID: wire.ID, Params: wire.Params}
	if err := cmd.setMethod(wire.Method); err != nil {
		return nil, err
	}
	return cmd, nil
}

// Count returns how many commands there are from here on, up to where the text is none,
// without decoding them.
func (d *LegacyDecoder) Count() (n int) {
	for rest := *d; ; n++ {
		if _, err := rest.value(); err != nil {
			return n
		}
	}
}

// Last reports whether no command follows: the body is not needed any more.
func (d *LegacyDecoder) Last() bool {
	for d.pos < len(d.src) && strings.IndexByte(" \t\r\n", d.src[d.pos]) >= 0 {
		d.pos++
	}
	return d.pos == len(d.src)
}

// value cuts off the text of the next value.
func (d *LegacyDecoder) value() ([]byte, error) {
	if d.Last() {
		return nil, io.EOF
	}
	rest := d.src[d.pos:]
	var end int
	switch {
	case rest[0] == '{':
		var err error
		if end, err = objectEnd(d.src, d.pos); err != nil {
			return nil, err
		}
	case bytes.HasPrefix(rest, []byte("null")):
		end = d.pos + len("null")
	default:
		return nil, &SyntaxError{d.pos, "an object expected for each command"}
	}
	text := d.src[d.pos:end]
	d.pos = end
	return text, nil
}

// setMethod takes the method from its text; absent is number 0. Escapes in a
// name are not looked at, as in the reference.
func (c *LegacyCommand) setMethod(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	if text[0] == '"' {
		c.Name = strings.ToLower(string(text[1 : len(text)-1]))
		if c.Name != "" {
			return nil
		}
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return &FieldError{Field: "method", Want: "the name or number of a method"}
	}
	c.Number = n
	return nil
}
