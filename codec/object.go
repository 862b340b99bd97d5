package codec

import (
	"strconv"
	"unicode/utf8"
)

// object appends the members of one JSON object and keeps track of commas.
// The zero value with dst set is ready after begin.
type object struct {
	dst   []byte
	comma bool
	// cuts are those of a connect push, which cutting says it is, see ConnectResult.
	cutting bool
	cuts    []Cut
}

func (o *object) begin() { o.dst = append(o.dst, '{'); o.comma = false }
func (o *object) end()   { o.dst = append(o.dst, '}'); o.comma = true }

// key appends `"name":`; name must need no escaping.
func (o *object) key(name string) {
	if o.comma {
		o.dst = append(o.dst, ',')
	}
	o.comma = true
	o.dst = append(o.dst, '"')
	o.dst = append(o.dst, name...)
	o.dst = append(o.dst, '"', ':')
}

// The following append a member unless the value is the zero value.

func (o *object) str(name, v string) {
	if v != "" {
		o.strAlways(name, v)
	}
}

func (o *object) strAlways(name, v string) {
	o.key(name)
	o.dst = AppendString(o.dst, v)
}

func (o *object) json(name string, v JSON) {
	if !v.IsZero() {
		o.key(name)
		o.dst = v.Append(o.dst)
	}
}

func (o *object) uint(name string, v uint64) {
	if v != 0 {
		o.uintAlways(name, v)
	}
}

func (o *object) uintAlways(name string, v uint64) {
	o.key(name)
	o.dst = strconv.AppendUint(o.dst, v, 10)
}

func (o *object) int(name string, v int64) {
	if v != 0 {
		o.key(name)
		o.dst = strconv.AppendInt(o.dst, v, 10)
	}
}

func (o *object) bool(name string, v bool) {
	if v {
		o.key(name)
		o.dst = append(o.dst, "true"...)
	}
}

func (o *object) info(c *ClientInfo) {
	if c != nil {
		o.key("info")
		o.dst = AppendClientInfo(o.dst, c)
	}
}

// pushOpen begins `{"channel":C,"kind":{`; pushClose ends both objects.
func pushOpen(dst []byte, channel, kind string) object {
	o := object{dst: dst}
	o.begin()
	o.str("channel", channel)
	o.key(kind)
	o.begin()
	return o
}

func pushClose(o *object) []byte {
	o.end()
	o.end()
	return o.dst
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
