package strict

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// verdict is what the head of a request says.
type verdict struct {
	fault   *fault
	close   bool // Connection asks for the end of the connection
	chunked bool
	length  int    // Content-Length headers
	body    bool   // the body is not empty
	hosts   int    // Host headers
	host    []byte // the last one
}

// examine looks at the head of a request. It allocates nothing.
func examine(h *fasthttp.RequestHeader) (v verdict) {
	http11 := h.IsHTTP11()
	if !http11 && string(h.Protocol()) != "HTTP/1.0" {
		v.fault = faultVersion
		return v
	}
	for raw := h.RawHeaders(); len(raw) > 0; {
		end := bytes.IndexByte(raw, '\n')
		if end < 1 || raw[end-1] != '\r' {
			v.fault = faultLineEnd
			return v
		}
		if end == 1 {
			break
		}
		if v.field(raw[:end-1], http11); v.fault != nil {
			return v
		}
		raw = raw[end+1:]
	}
	switch {
	case v.hosts > 1 || http11 && v.hosts == 0 || v.hosts > 0 && !validAuthority(v.host):
		v.fault = faultHost
	case v.chunked && (v.length > 0 || !http11):
		v.fault = faultCoding
	case v.chunked && (h.IsGet() || h.IsHead()) || (v.chunked || v.body) && h.IsTrace():
		v.fault = faultBody
	case h.IsConnect():
		v.fault = faultConnect
	default:
		v.fault = target(h, v.host)
	}
	return v
}

// field looks at one header line.
func (v *verdict) field(line []byte, http11 bool) {
	n := TokenLen(line)
	if n == 0 || n == len(line) || line[n] != ':' {
		v.fault = faultName
		if line[0] == ' ' || line[0] == '\t' {
			v.fault = faultFold
		}
		return
	}
	switch first := line[0] | 0x20; { // most lines go no further
	case n == 4 && first == 'h' && foldedEqual(line[:n], "host"):
		v.hosts, v.host = v.hosts+1, trimBlanks(line[n+1:])
	case n == 6 && first == 'e' && http11 && foldedEqual(line[:n], "expect"):
		if !foldedEqual(trimBlanks(line[n+1:]), continueExpectation) {
			v.fault = faultExpectation
		}
	case n == 10 && first == 'c' && foldedEqual(line[:n], "connection"):
		v.close = v.close || hasElement(line[n+1:], "close")
	case n == 14 && first == 'c' && foldedEqual(line[:n], "content-length"):
		v.contentLength(trimBlanks(line[n+1:]))
	case n == 17 && first == 't' && foldedEqual(line[:n], "transfer-encoding"):
		if v.chunked || !foldedEqual(trimBlanks(line[n+1:]), "chunked") {
			v.fault = faultCoding
		}
		v.chunked = true
	}
}

// maxLengthDigits is what fits into an int64.
const maxLengthDigits = 18

func (v *verdict) contentLength(value []byte) {
	if v.length++; v.length > 1 || len(value) == 0 || len(value) > maxLengthDigits {
		v.fault = faultLength
		return
	}
	for _, c := range value {
		if c < '0' || c > '9' {
			v.fault = faultLength
			return
		}
		v.body = v.body || c != '0'
	}
}

// hasTrailer reports whether there are headers that the head does not have: the
// HTTP server adds those behind a chunked body to it.
func hasTrailer(h *fasthttp.RequestHeader) bool {
	n := 0
	for raw := h.RawHeaders(); len(raw) > 2; {
		name, _, _ := bytes.Cut(raw, []byte{':'})
		if !kept(name) {
			n++
		}
		raw = raw[bytes.IndexByte(raw, '\n')+1:]
	}
	for name := range h.All() {
		if !kept(name) {
			n--
		}
	}
	return n != 0
}

// kept reports whether the HTTP server keeps a header elsewhere than in its
// list, where a trailer cannot get to.
func kept(name []byte) bool {
	for _, s := range [...]string{
		"host", "user-agent", "content-type", "content-length", "transfer-encoding", "connection", "trailer", "cookie", "expect",
	} {
		if foldedEqual(name, s) {
			return true
		}
	}
	return false
}
