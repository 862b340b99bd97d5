package codec

import (
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Framing is how the end of a response body is told (RFC 9112 section 6.3).
type Framing uint8

const (
	// FramingChunked is the chunked transfer coding, HTTP/1.1's default.
	FramingChunked Framing = iota
	// FramingClose ends the body with the connection: HTTP/1.0, or fronts
	// that hold chunks back.
	FramingClose
)

// Terminator returns the bytes that end a body of the framing, nil for
// FramingClose. They must not be written to.
func (f Framing) Terminator() []byte {
	if f == FramingChunked {
		return chunkTerminator
	}
	return nil
}

// StreamOpening is the blank line that a stream begins with, and ReferenceOpening the
// one of the reference (PROTOCOL 1.5): clients that take the first line end they see
// for the one of all lines never find the end of an event behind it. They must not be
// written to.
var StreamOpening, ReferenceOpening = []byte("\n"), []byte("\r\n")

// AppendRetry appends the line that tells an EventSource how long to wait before
// it comes back: "retry: 3000\n", in milliseconds, 1 at the least (HTML Standard,
// section 9.2.6). It is no event: what follows decides whether it goes out alone.
func AppendRetry(dst []byte, wait time.Duration) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, max(wait.Milliseconds(), 1), 10)
	return append(dst, '\n')
}

var chunkTerminator = []byte("0\r\n\r\n")

// maxChunkHead is the most that the size line of a chunk of this package takes:
// eight hexadecimal digits and CRLF.
const maxChunkHead = 10

// putChunkHead writes the size line of a chunk of n bytes so that it ends at
// buf[end], and returns where it begins.
func putChunkHead(buf []byte, end, n int) int {
	buf[end-1] = '\n'
	buf[end-2] = '\r'
	i := end - 2
	for {
		i--
		buf[i] = hexDigits[n&0xF]
		n >>= 4
		if n == 0 {
			return i
		}
	}
}

// AppendChunk appends body as one piece of a response body in the framing. An
// empty piece adds nothing: a chunk of length 0 would end the body (RFC 9112
// section 7.1).
func AppendChunk(dst []byte, f Framing, body []byte) []byte {
	if f == FramingClose || len(body) == 0 {
		return append(dst, body...)
	}
	dst = strconv.AppendUint(dst, uint64(len(body)), 16)
	dst = append(dst, "\r\n"...)
	dst = append(dst, body...)
	return append(dst, "\r\n"...)
}

// StreamHead is what varies in the response head of a stream (PROTOCOL 1.5).
type StreamHead struct {
	Framing Framing
	HTTP10  bool // needs FramingClose (RFC 9112 section 6.1)
	// Close asks for "Connection: close": streams that end by plan
	// (PROTOCOL 12.39).
	Close bool
	// Origin is the value of an allowed Origin header, "" without one. It
	// must hold no control bytes.
	Origin string
	// AllowHeaders is the value of Access-Control-Request-Headers to echo
	// to an allowed origin, or to a client that names none. It must hold no control bytes.
	AllowHeaders string
	// Coding is the content coding of the body, and VaryCoding says that with another
	// Accept-Encoding it could be another one.
	Coding     Coding
	VaryCoding bool
	// VaryDictionary says the same of Available-Dictionary.
	VaryDictionary bool
	// Incremental asks intermediaries that cannot pass events on one by one to refuse
	// rather than to hold them back (RFC 10036).
	Incremental bool
	Date        time.Time
	// Broadcast makes it the head of a stream of the broadcast route, to which Origin
	// and AllowHeaders mean nothing; nil for any other stream.
	Broadcast *BroadcastHead
}

const (
	headBeforeConnection = "Cache-Control: private, no-cache, no-store, no-transform, must-revalidate, max-age=0\r\n"
	headAfterConnection  = "Content-Type: text/event-stream; charset=utf-8\r\n" +
		"Expire: 0\r\n"
	headIncremental = "Incremental: ?1\r\n"
	headBeforeVary  = "Pragma: no-cache\r\n" +
		"Vary: Origin"
	headAfterVary = "\r\nX-Accel-Buffering: no\r\n" +
		"Date: "
	httpTimeFormat = "Mon, 02 Jan 2006 15:04:05 GMT" // RFC 9110 section 5.6.7
)

// StreamHeadSize is room enough for most response heads, in bytes: what a client asked for
// in Access-Control-Request-Headers can make one larger.
const StreamHeadSize = 512

// AppendStreamHead appends the response head of a stream up to and with its
// blank line.
func AppendStreamHead(dst []byte, h *StreamHead) []byte {
	if h.HTTP10 {
		dst = append(dst, "HTTP/1.0 200 OK\r\n"...)
	} else {
		dst = append(dst, "HTTP/1.1 200 OK\r\n"...)
	}
	if h.Broadcast != nil {
		return appendBroadcastHead(dst, h)
	}
	dst = AppendCORS(dst, h.Origin, h.AllowHeaders)
	dst = append(dst, headBeforeConnection...)
	if h.Close || h.Framing == FramingClose {
		dst = append(dst, "Connection: close\r\n"...)
	} else {
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	if h.Coding != CodingIdentity {
		dst = append(append(append(dst, "Content-Encoding: "...), h.Coding.String()...), "\r\n"...)
	}
	dst = append(dst, headAfterConnection...)
	if h.Incremental {
		dst = append(dst, headIncremental...)
	}
	dst = append(dst, headBeforeVary...)
	if h.VaryCoding {
		dst = append(dst, ", Accept-Encoding"...)
	}
	if h.VaryDictionary {
		dst = append(dst, ", Available-Dictionary"...)
	}
	dst = append(dst, headAfterVary...)
	dst = appendDate(dst, h.Date)
	if h.Framing == FramingChunked {
		dst = append(dst, "\r\nTransfer-Encoding: chunked"...)
	}
	return append(dst, "\r\n\r\n"...)
}

// dateText is a second as it is written in heads.
type dateText struct {
	second int64
	text   string
}

var lastDate atomic.Pointer[dateText]

// appendDate appends the value of a Date header. Streams open by the thousand in a second,
// whose text is made once.
func appendDate(dst []byte, t time.Time) []byte {
	d, second := lastDate.Load(), t.Unix()
	if d == nil || d.second != second {
		d = &dateText{second, t.UTC().Format(httpTimeFormat)}
		lastDate.Store(d)
	}
	return append(dst, d.text...)
}

// AppendCORS appends the header lines that let a browser page of an allowed
// origin read the answer (PROTOCOL 1.7): without an origin only the headers that
// were asked for.
func AppendCORS(dst []byte, origin, allowHeaders string) []byte {
	if origin != "" {
		dst = append(dst, "Access-Control-Allow-Credentials: true\r\n"...)
	}
	if allowHeaders != "" {
		dst = append(dst, "Access-Control-Allow-Headers: "...)
		dst = append(dst, allowHeaders...)
		dst = append(dst, "\r\n"...)
	}
	if origin == "" {
		return dst
	}
	dst = append(dst, "Access-Control-Allow-Origin: "...)
	dst = append(dst, origin...)
	return append(dst, "\r\n"...)
}

// PlainResponse is a whole answer with a text body, for connections that the
// HTTP server has given up already.
type PlainResponse struct {
	HTTP10       bool
	Status       int
	Text         string // the status in words
	Origin       string // as in StreamHead
	AllowHeaders string // as in StreamHead
	Body         string
	Date         time.Time
	RequestID    string // X-Request-Id, fit for a header; "" for none
	JSON         bool   // Body is JSON, and not text
}

// AppendPlainResponse appends the answer; the connection ends with it.
func AppendPlainResponse(dst []byte, r *PlainResponse) []byte {
	if r.HTTP10 {
		dst = append(dst, "HTTP/1.0 "...)
	} else {
		dst = append(dst, "HTTP/1.1 "...)
	}
	dst = strconv.AppendInt(dst, int64(r.Status), 10)
	dst = append(dst, ' ')
	dst = append(dst, r.Text...)
	dst = append(dst, "\r\n"...)
	dst = AppendCORS(dst, r.Origin, r.AllowHeaders)
	kind := "text/plain; charset=utf-8"
	if r.JSON {
		kind = "application/json"
	}
	dst = append(append(append(dst, "Connection: close\r\nContent-Type: "...), kind...), "\r\nVary: Origin\r\nDate: "...)
	dst = r.Date.UTC().AppendFormat(dst, httpTimeFormat)
	if r.RequestID != "" {
		dst = append(dst, "\r\nX-Request-Id: "...)
		dst = append(dst, r.RequestID...)
	}
	if r.Status != 204 { // which must not have one (RFC 9110 section 8.6)
		dst = append(dst, "\r\nContent-Length: "...)
		dst = strconv.AppendInt(dst, int64(len(r.Body)), 10)
	}
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, r.Body...)
}

// AppendHTTPError appends the body of an HTTP error: one line of JSON
// (PROTOCOL 12.40).
func AppendHTTPError(dst []byte, status int, message string) []byte {
	dst = append(dst, `{"error":{"code":`...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, `,"message":`...)
	dst = AppendString(dst, message)
	return append(dst, "}}\n"...)
}

// BroadcastHead is what varies in the response head of a stream of the broadcast route,
// which a front may hand to further viewers as long as it is fresh.
type BroadcastHead struct {
	// Private streams are for one client alone: no front may share them.
	Private bool
	// MaxAge is for how long a stream is fresh, in whole seconds.
	MaxAge time.Duration
	// VaryID says that the answer depends on Last-Event-ID.
	VaryID bool
	Epoch  string // of the channel's history, "" where nobody has looked; no control bytes
	// From and Top say, where there is an Epoch, that the stream begins behind offset From,
	// and that what is up to Top was published before: a relay knows by it what to wait for.
	From, Top uint64
}

// BroadcastFields calls f for the fields of the head of a stream of the broadcast route
// that say what the answer is and who may keep it, in the order in which they are sent.
func (s *StreamHead) BroadcastFields(f func(name, value string)) {
	h := s.Broadcast
	f("Access-Control-Allow-Origin", "*")
	if h.Private {
		f("Cache-Control", "private, no-store")
	} else {
		age := "max-age=" + strconv.FormatInt(int64(h.MaxAge/time.Second), 10)
		f("Cache-Control", "public, "+age+", no-transform")
		f("CDN-Cache-Control", "public, "+age)
		f("Surrogate-Control", age)
	}
	if s.Coding != CodingIdentity {
		f("Content-Encoding", s.Coding.String())
	}
	f("Content-Type", "text/event-stream; charset=utf-8")
	f("Incremental", "?1")
	if h.Epoch != "" {
		f("Sluice-Backlog", strconv.FormatUint(h.From, 10)+"-"+strconv.FormatUint(h.Top, 10))
		f("Sluice-Epoch", h.Epoch)
	}
	// A private one comes of who asks for it: a front that noted for the path, and not for
	// that request alone, that it cannot be shared would give each viewer a stream of its own.
	var vary []string
	for _, field := range []struct {
		on   bool
		name string
	}{
		{s.VaryCoding, "Accept-Encoding"}, {s.VaryDictionary, "Available-Dictionary"},
		{h.Private, "CDN-Loop"}, {h.Private || h.VaryID, "Last-Event-ID"},
	} {
		if field.on {
			vary = append(vary, field.name)
		}
	}
	if len(vary) > 0 {
		f("Vary", strings.Join(vary, ", "))
	}
	f("X-Accel-Buffering", "no")
}

// appendBroadcastHead is [AppendStreamHead] for a stream of the broadcast route. Its
// connection ends with it, which is said at once (PROTOCOL 12.39).
func appendBroadcastHead(dst []byte, h *StreamHead) []byte {
	h.BroadcastFields(func(name, value string) {
		dst = append(append(append(append(dst, name...), ": "...), value...), "\r\n"...)
	})
	dst = append(dst, "Connection: close\r\nDate: "...)
	dst = appendDate(dst, h.Date)
	if h.Framing == FramingChunked {
		dst = append(dst, "\r\nTransfer-Encoding: chunked"...)
	}
	return append(dst, "\r\n\r\n"...)
}
