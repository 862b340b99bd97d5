package strict

import "bytes"

// hasElement reports whether a list has an element, in any case.
func hasElement(list []byte, element string) bool {
	for len(list) > 0 {
		var one []byte
		one, list, _ = bytes.Cut(list, []byte{','})
		if foldedEqual(trimBlanks(one), element) {
			return true
		}
	}
	return false
}

// foldedEqual reports whether b is s, which is in lower case, in any case.
func foldedEqual(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range b {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != s[i] {
			return false
		}
	}
	return true
}

func trimBlanks(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// TokenLen returns how many bytes b begins with that a token may have.
func TokenLen(b []byte) int {
	n := 0
	for n < len(b) && tokenBytes[b[n]] {
		n++
	}
	return n
}

const alphanumerics = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// Bytes of a token (RFC 9110 section 5.6.2), and of a host.
var (
	tokenBytes = bytesOf(alphanumerics + "!#$%&'*+-.^_`|~")
	hostBytes  = bytesOf(alphanumerics + "-._~%!$&'()*+;=:")
)

func bytesOf(s string) (t [256]bool) {
	for i := range len(s) {
		t[s[i]] = true
	}
	return t
}
