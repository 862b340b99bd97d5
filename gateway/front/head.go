package front

import (
	"bytes"
	"errors"
	"math"

	"sluice/gateway/front/strict"
	"sluice/gateway/gate"
)

// headBounds is where the head of a request ends that waited at the gate until it was
// whole, and how much of what came was read.
type headBounds struct {
	skip  int32 // bytes of a PROXY header before it
	end   int32 // behind skip; 0: not known
	have  int32 // behind skip: what had come when that was looked for last
	given int32 // behind skip: what the HTTP server has; it may have more than fits
	midst bool  // it began with what the HTTP server had read of the one before
	plain bool  // its first line is there, and is one of a request
	bare  bool  // the HTTP server sees no end there, and would wait for one
}

// give notes that the HTTP server has so many bytes more.
func (h *headBounds) give(n int) { h.given = int32(min(int64(h.given)+int64(n), math.MaxInt32)) }

// whole looks for the end of a head in b, which is what has come behind skip.
func (h *headBounds) whole(b []byte) bool {
	h.end, h.have = int32(gate.HeadEnd(b, int(h.have))), int32(len(b))
	h.bare = bareEnd(b[:h.end])
	return h.end > 0
}

// bareEnd reports whether the HTTP server sees no end where a head ends: to it that is CR LF
// CR LF, or CR LF behind the first line. It would wait for one, until the time of the
// request is over, and refuse it then (strict): a line in it has no CR. Of empty lines alone,
// behind which a request may come, nothing is said.
func bareEnd(head []byte) bool {
	if bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		return false
	}
	lines := bytes.TrimLeft(head, "\r\n")
	_, rest, _ := bytes.Cut(lines, []byte("\n"))
	return len(lines) > 0 && string(rest) != "\r\n"
}

// ErrBareLineEnd ends a request whose head ends with lines that have no CR before their LF.
var ErrBareLineEnd = errors.New("front: " + strict.LineEnds)

// only reports whether nothing came behind the head and a body of so many bytes, and the
// HTTP server has read both.
func (h *headBounds) only(body int) bool {
	return h.end > 0 && int64(h.given) == int64(h.end)+int64(body) && h.given >= h.have
}

// odd reports whether the first line of b, which is what has come behind skip, may be none
// of a request, if it is there: the HTTP server says so at once, and does not wait for the
// end of the head. It is looked at once, for what comes byte by byte.
func (h *headBounds) odd(b []byte) bool {
	if h.plain {
		return false
	}
	b = bytes.TrimLeft(b, "\r\n")
	line, _, whole := bytes.Cut(b, []byte("\n"))
	if !whole {
		return false
	}
	line = bytes.TrimSuffix(line, []byte("\r"))
	method, rest, _ := bytes.Cut(line, []byte(" "))
	target, version, _ := bytes.Cut(rest, []byte(" "))
	if len(method) == 0 || string(version) != "HTTP/1.1" && string(version) != "HTTP/1.0" || !begins(target, "/") || len(target) == 0 {
		return true
	}
	for _, c := range method {
		if c < 'A' || c > 'Z' {
			return true
		}
	}
	h.plain = bytes.IndexFunc(target, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0
	return !h.plain
}

const (
	// recordHead is what a record of TLS begins with: type, version, length (RFC 8446
	// section 5.1).
	recordHead = 5
	// recordMost is the longest that may follow (RFC 5246 section 6.2.3).
	recordMost = 16<<10 + 2<<10
	// recordHandshake is the type of the first one.
	recordHandshake = 22
)

// wholeRecord reports whether b begins with a record of TLS, or with what will never be
// one.
func wholeRecord(b []byte) bool {
	if len(b) < recordHead {
		return false
	}
	n := int(b[3])<<8 | int(b[4])
	return n > recordMost || len(b) >= recordHead+n
}

// records follows where records of TLS end.
type records struct {
	left int    // bytes of the record
	head uint8  // bytes of its head that have come, if all of them have: 0
	last uint16 // the two that came last
}

func (r *records) pass(b []byte) {
	for len(b) > 0 {
		if r.left > 0 {
			n := min(r.left, len(b))
			r.left -= n
			b = b[n:]
			continue
		}
		r.last = r.last<<8 | uint16(b[0])
		if r.head++; r.head == recordHead {
			r.head, r.left = 0, int(r.last)
		}
		b = b[1:]
	}
}

// within reports whether a record has begun that has not ended.
func (r *records) within() bool { return r.left > 0 || r.head > 0 }
