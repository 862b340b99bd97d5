package nats

import "strings"

// Subject writes a text so that it can stand in a subject, as one token or more: dots stay
// where they part tokens that are not empty, and what NATS or its tools cannot take there (white
// space, control bytes, * and >), dots that would leave an empty token, and %, become %XX. Two
// texts never become the same; upper and lower case stay what they are. [Text] reads it.
func Subject(text string) string {
	if plain(text) {
		return text
	}
	return string(escape(make([]byte, 0, len(text)+16), text, true))
}

// Shared is Subject for subjects that are shared with nodes of the reference: % stays as it is,
// as they write it. Two texts can become the same so, where a message has to say whose it is.
func Shared(text string) string {
	if plain(text) {
		return text
	}
	return string(escape(make([]byte, 0, len(text)+16), text, false))
}

// plain reports whether a text is its own subject.
func plain(text string) bool {
	for i := range len(text) {
		c := text[i]
		if special(c) || c == '%' || c == '.' && (i == 0 || text[i-1] == '.' || i == len(text)-1) {
			return false
		}
	}
	return text != ""
}

// special reports whether a byte cannot stand in a subject that is published to.
func special(c byte) bool { return c <= ' ' || c == 0x7f || c == '*' || c == '>' }

const hexDigits = "0123456789ABCDEF"

// empty is what a text without bytes is written as; no other is.
const empty = "%"

func escape(dst []byte, text string, percent bool) []byte {
	if text == "" {
		return append(dst, empty...)
	}
	started := false // a token that is not empty
	for i := range len(text) {
		c := text[i]
		switch {
		case c == '.' && started && i < len(text)-1:
			dst, started = append(dst, c), false
			continue
		case c == '.', special(c), c == '%' && percent:
			dst = append(dst, '%', hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = append(dst, c)
		}
		started = true
	}
	return dst
}

// Text reads what Subject wrote; false for what it never writes.
func Text(subject string) (text string, ok bool) {
	if subject == empty {
		return "", true
	}
	if strings.IndexByte(subject, '%') < 0 {
		return subject, plain(subject)
	}
	b := make([]byte, 0, len(subject))
	for i := 0; i < len(subject); i++ {
		c := subject[i]
		if c == '%' {
			hi, lo := digit(subject, i+1), digit(subject, i+2)
			if hi < 0 || lo < 0 {
				return "", false
			}
			c = byte(hi<<4 | lo)
			i += 2
		}
		b = append(b, c)
	}
	text = string(b)
	return text, Subject(text) == subject
}

func digit(s string, i int) int {
	if i >= len(s) {
		return -1
	}
	return strings.IndexByte(hexDigits, s[i])
}

// Key writes a text as one token that keys of key-value buckets may have
// ([-_a-zA-Z0-9]; any other byte becomes =XX, and no byte at all "="). Two texts never
// become the same. [KeyText] reads it.
func Key(text string) string {
	if text == "" {
		return "="
	}
	b := make([]byte, 0, len(text)+16)
	for i := range len(text) {
		if c := text[i]; keyByte(c) {
			b = append(b, c)
		} else {
			b = append(b, '=', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return string(b)
}

func keyByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// KeyText reads what Key wrote; false for what it never writes.
func KeyText(key string) (text string, ok bool) {
	if key == "=" {
		return "", true
	}
	b := make([]byte, 0, len(key))
	for i := 0; i < len(key); i++ {
		c := key[i]
		switch {
		case keyByte(c):
		case c == '=':
			hi, lo := digit(key, i+1), digit(key, i+2)
			if hi < 0 || lo < 0 || keyByte(byte(hi<<4|lo)) {
				return "", false
			}
			c = byte(hi<<4 | lo)
			i += 2
		default:
			return "", false
		}
		b = append(b, c)
	}
	return string(b), len(b) > 0
}
