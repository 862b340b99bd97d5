package strict

import (
	"bytes"
	"net/netip"

	"github.com/valyala/fasthttp"
)

// target checks the form of the request target (RFC 9112 section 3.2). Servers
// must take the absolute form; since fronts differ in which of the two hosts
// they go by, it must be the same one.
func target(h *fasthttp.RequestHeader, host []byte) *fault {
	t := h.RequestURI()
	switch {
	case bytes.IndexByte(t, '#') >= 0:
		return faultFragment
	case len(t) == 0:
		return faultTarget
	case t[0] == '/':
		return nil
	case len(t) == 1 && t[0] == '*' && h.IsOptions():
		return nil
	}
	scheme, rest, ok := bytes.Cut(t, []byte("://"))
	if !ok || !foldedEqual(scheme, "http") && !foldedEqual(scheme, "https") {
		return faultTarget
	}
	if end := bytes.IndexAny(rest, "/?"); end >= 0 {
		rest = rest[:end]
	}
	if !validAuthority(rest) {
		return faultTarget
	}
	if host != nil && !bytes.EqualFold(rest, host) {
		return faultAuthority
	}
	return nil
}

// maxLiteral is longer than any IPv6 address with a zone that has a use.
const maxLiteral = 80

// validAuthority reports whether b is a host, and a port or none: what a URI
// has there (RFC 3986 section 3.2) without user information, and without the
// comma, with which some join two headers into one.
func validAuthority(b []byte) bool {
	host, port := b, []byte(nil)
	if len(b) > 0 && b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 0 || end > maxLiteral || bytes.IndexByte(b[:end], ':') < 0 {
			return false
		}
		if _, err := netip.ParseAddr(string(b[1:end])); err != nil {
			return false
		}
		host, port = b[1:end], b[end+1:]
		if len(port) > 0 && port[0] != ':' {
			return false
		}
	} else if colon := bytes.IndexByte(b, ':'); colon >= 0 {
		host, port = b[:colon], b[colon:]
	}
	if len(host) == 0 || len(port) > len(":65535") {
		return false
	}
	for _, c := range host {
		if !hostBytes[c] {
			return false
		}
	}
	for _, c := range port[min(1, len(port)):] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
