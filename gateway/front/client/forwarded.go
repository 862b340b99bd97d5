package client

import (
	"bytes"
	"net/netip"

	"sluice/gateway/front/strict"
)

// This file reads the two headers in which proxies name clients. Both are lists
// to whose end each proxy appends, and all but the end may be the client's own
// writing. So elements are taken from the end: quotes and commas further left
// cannot change where the last one begins.

// maxNodeLen is longer than any address with a port: "[8*4 hex digits%zone]:65535".
const maxNodeLen = 80

// lastForwardedFor reads the last element of X-Forwarded-For: an address, also
// with a port or in brackets, as some load balancers write it.
func lastForwardedFor(line []byte) (addr netip.Addr, rest []byte, empty bool) {
	element := line
	if comma := bytes.LastIndexByte(line, ','); comma >= 0 {
		rest, element = line[:comma], line[comma+1:]
	}
	element = bytes.Trim(element, " \t")
	if len(element) == 0 {
		return addr, rest, true
	}
	if addr = parseAddr(element); !addr.IsValid() {
		addr = parseNode(element)
	}
	return addr, rest, false
}

// lastForwarded reads the last element of Forwarded (RFC 7239 section 4) and
// returns the address that its "for" names.
func lastForwarded(line []byte) (addr netip.Addr, rest []byte, empty bool) {
	element, rest, ok := lastElement(line)
	if len(element) == 0 {
		return addr, rest, true
	}
	if !ok {
		return addr, rest, false
	}
	var buf [maxNodeLen]byte
	return parseNode(parameter(buf[:0], element, "for")), rest, false
}

// lastElement returns the last element of a Forwarded line without the blanks
// around it, and the line before it; ok is false where a quoted text in it does
// not end.
func lastElement(line []byte) (element, rest []byte, ok bool) {
	start, quoted := len(line), false
	for start > 0 {
		c := line[start-1]
		if c == ',' && !quoted {
			break
		}
		if c == '"' && !escaped(line[:start-1]) {
			quoted = !quoted
		}
		start--
	}
	return bytes.Trim(line[start:], " \t"), line[:max(start-1, 0)], !quoted
}

// escaped reports whether the byte behind b is escaped by a backslash at its
// end.
func escaped(b []byte) bool {
	n := 0
	for n < len(b) && b[len(b)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// parameter returns the value of a parameter of one element, unquoted into dst:
// nil where there is none, there are two (section 4), or the element is broken.
func parameter(dst, element []byte, wanted string) (found []byte) {
	for len(element) > 0 {
		name, after, ok := bytes.Cut(element, []byte{'='})
		if !ok || !isToken(name) {
			return nil
		}
		var into []byte
		isWanted := len(name) == len(wanted) && bytes.EqualFold(name, []byte(wanted))
		if isWanted {
			into = dst
		}
		value, after, ok := parameterValue(into, after)
		if !ok || isWanted && found != nil {
			return nil
		}
		if isWanted {
			found = value
		}
		after = bytes.TrimLeft(after, " \t")
		if len(after) > 0 && after[0] != ';' {
			return nil
		}
		if len(after) > 0 {
			after = bytes.TrimLeft(after[1:], " \t")
		}
		element = after
	}
	return found
}

// parameterValue reads a token or a quoted string off b, unquoted into dst. A
// value longer than any address is cut, which makes it none.
func parameterValue(dst, b []byte) (value, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		n := strict.TokenLen(b)
		return b[:n], b[n:], n > 0
	}
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return dst, b[i+1:], true
		case c == '\\' && i+1 < len(b):
			i++
		}
		if len(dst) < cap(dst) {
			dst = append(dst, b[i])
		}
	}
	return nil, nil, false
}

// parseNode reads IPv4 or IPv6 in brackets, with or without a port (RFC 7239
// section 6). "unknown" and names that hide an address are none.
func parseNode(b []byte) netip.Addr {
	if len(b) == 0 || len(b) >= maxNodeLen {
		return netip.Addr{}
	}
	if b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 0 || !isNodePort(b[end+1:]) {
			return netip.Addr{}
		}
		if addr := parseAddr(b[1:end]); bytes.IndexByte(b[1:end], ':') >= 0 {
			return addr
		}
		return netip.Addr{}
	}
	host := b
	if colon := bytes.IndexByte(b, ':'); colon >= 0 {
		if !isNodePort(b[colon:]) {
			return netip.Addr{}
		}
		host = b[:colon]
	}
	return parseAddr(host)
}

// isNodePort reports whether b is empty or a colon and a port: digits, or a
// name that hides them.
func isNodePort(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	if b[0] != ':' || len(b) == 1 {
		return false
	}
	if b = b[1:]; b[0] == '_' {
		return isToken(b)
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) <= 5
}

// parseAddr reads an address; junk is the zero one, without the cost of an
// error where it is seen at once.
func parseAddr(b []byte) netip.Addr {
	if len(b) < len("::") || len(b) >= maxNodeLen || b[0] != ':' && !isHex(b[0]) {
		return netip.Addr{}
	}
	if bytes.IndexByte(b, ':') < 0 && bytes.IndexByte(b, '.') < 0 {
		return netip.Addr{}
	}
	addr, err := netip.ParseAddr(string(b))
	if err != nil {
		return netip.Addr{}
	}
	return Plain(addr)
}

func isToken(b []byte) bool { return len(b) > 0 && strict.TokenLen(b) == len(b) }

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}
