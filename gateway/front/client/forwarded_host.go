package client

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// Headers in which a proxy names what the client asked it for.
const (
	forwardedHost  = "X-Forwarded-Host"
	forwardedProto = "X-Forwarded-Proto"
)

// maxHostLen is the longest authority: a name in the DNS and a port.
const maxHostLen = 253 + len(":65535")

// Target returns the authority and the scheme, "http" or "https", that the
// client of a trusted proxy used, as far as it tells of them; "" otherwise. They
// come from the header that is read of proxies: X-Forwarded-Host and -Proto
// beside X-Forwarded-For, or the parameters of Forwarded. The last element
// counts, which is the proxy's own. Call it for requests of trusted peers only,
// from the goroutine that owns h.
func (p *Proxies) Target(h *fasthttp.RequestHeader) (host, scheme string) {
	if p.read == nil {
		return "", ""
	}
	var buf [maxHostLen]byte
	if p.header == fasthttp.HeaderForwarded {
		element, _, ok := lastElement(lastLine(h, p.header))
		if !ok {
			return "", ""
		}
		return targetHost(parameter(buf[:0], element, "host")), targetScheme(parameter(buf[:0], element, "proto"))
	}
	return targetHost(lastOf(h, forwardedHost)), targetScheme(lastOf(h, forwardedProto))
}

// Look reports whether the proxies look into requests: with [NoForwarded] what
// stands there is the clients' own.
func (p *Proxies) Look() bool { return p.read != nil }

// lastLine returns the last line of a header.
func lastLine(h *fasthttp.RequestHeader, name string) []byte {
	if h.Peek(name) == nil {
		return nil
	}
	lines := h.PeekAll(name)
	return lines[len(lines)-1]
}

// lastOf returns the last element of a header that is a list.
func lastOf(h *fasthttp.RequestHeader, name string) []byte {
	line := lastLine(h, name)
	return bytes.TrimSpace(line[bytes.LastIndexByte(line, ',')+1:])
}

func targetHost(b []byte) string {
	if len(b) > maxHostLen || bytes.ContainsAny(b, " \t/?#@") {
		return ""
	}
	return string(b)
}

func targetScheme(b []byte) string {
	switch {
	case bytes.EqualFold(b, []byte("https")):
		return "https"
	case bytes.EqualFold(b, []byte("http")):
		return "http"
	}
	return ""
}
