package front

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// fault is why a request is refused.
type fault struct {
	status  int
	message string // one line, says what was expected
}

// Refuse writes the answer to a refused request. It must not write any of the
// request's own text. The connection is closed behind it, whatever it does.
type Refuse func(ctx *fasthttp.RequestCtx, status int, message string)

// Strict wraps the handler of a server so that only requests reach it that
// everybody reads alike. The danger is a front that takes the bytes of one
// request for two, or of two for one, and so lets something past its rules, or
// gives one client the answer of another. The HTTP server below refuses most
// such shapes; Strict refuses what it still takes, and checks those again that
// would be fatal:
//
//   - lines that end with a bare LF, folded lines, names that are no tokens;
//   - more than one, or no plain, Content-Length; any Transfer-Encoding but
//     "chunked", one beside Content-Length, or one in HTTP/1.0;
//   - no Host or one that is none; an absolute target that names another host;
//     a target with a fragment, or in the form of another method;
//   - versions other than 1.0 and 1.1, the preface of HTTP/2 among them (505);
//   - a chunked body where a method has no use for one (GET, HEAD), which no
//     browser sends and not every front forwards, and any body of TRACE;
//   - trailers: the HTTP server takes them for headers, which a front may
//     neither have looked at nor have overwritten;
//   - expectations other than 100-continue (417).
//
// What cannot be seen here is harmless: empty lines before the request line,
// and a bare LF at its end (RFC 9112 section 2.2 allows both). Whoever does not
// take that LF for an end sees a version that no one speaks.
//
// The connection is closed after every refusal, after chunked bodies (of their
// framing the handler sees nothing, so nothing behind one is read), after a
// body of GET or HEAD (a front may have seen none) and one that [SkipBody] left
// unread, where Connection asks for it in any spelling, and where it may not be idle
// (see [Waiting]).
//
// CONNECT is refused: this is no proxy. Upgrade is ignored, as RFC 9110 section
// 7.8 allows.
func Strict(next fasthttp.RequestHandler, refuse Refuse) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		h := &ctx.Request.Header
		v := examine(h)
		if v.fault == nil && v.chunked && hasTrailer(h) {
			v.fault = faultTrailer
		}
		if v.fault != nil {
			refuse(ctx, v.fault.status, v.fault.message)
			Linger(ctx.Conn())
			ctx.SetConnectionClose()
			return
		}
		if v.close {
			h.SetConnectionClose()
		}
		last := v.chunked || v.body && (h.IsGet() || h.IsHead() || h.ContentLength() == 0)
		next(ctx)
		if v.close || last {
			ctx.SetConnectionClose() // behind next, which may reset the answer
		}
		switch {
		case ctx.Hijacked():
			taken(ctx.Conn())
		case last:
			Linger(ctx.Conn()) // the client may not know that this was the last
		case !v.close && !ctx.Response.ConnectionClose() && !stay(ctx.Conn()):
			ctx.SetConnectionClose()
		}
	}
}

// Prepare is for fasthttp.Server.HeaderReceived, which is called between the
// head and the body: of a request that [Strict] refuses no body is waited for.
func Prepare(h *fasthttp.RequestHeader) {
	expect := h.Peek(fasthttp.HeaderExpect)
	if h.ContentLength() != 0 && h.ContentLength() != noBody || len(expect) > 0 {
		switch {
		case examine(h).fault != nil:
			SkipBody(h)
		case len(expect) > 0 && !h.IsHTTP11():
			h.Del(fasthttp.HeaderExpect) // RFC 9110 section 10.1.1
		case len(expect) > 0:
			h.Set(fasthttp.HeaderExpect, continueExpectation) // the server below knows this spelling only
		}
	}
}

// SkipBody makes the server answer a request without its body, which nobody
// wants, and [Strict] close the connection behind it. For
// fasthttp.Server.HeaderReceived, after [Prepare].
func SkipBody(h *fasthttp.RequestHeader) {
	h.SetContentLength(0)
	h.Del(fasthttp.HeaderExpect) // the client is not asked for it
}

// noBody is what fasthttp says of a request without Content-Length and
// Transfer-Encoding.
const noBody = -2

const continueExpectation = "100-continue"

// Faults. All end the connection.
var (
	faultVersion     = &fault{fasthttp.StatusHTTPVersionNotSupported, "HTTP/1.1 or HTTP/1.0 expected"}
	faultConnect     = &fault{fasthttp.StatusBadRequest, "CONNECT is for proxies"}
	faultTarget      = &fault{fasthttp.StatusBadRequest, "the request target is not one of an origin server (RFC 9112 section 3.2)"}
	faultFragment    = &fault{fasthttp.StatusBadRequest, `the request target has a fragment ("#" must be encoded)`}
	faultAuthority   = &fault{fasthttp.StatusBadRequest, "the request target names another host than the Host header"}
	faultHost        = &fault{fasthttp.StatusBadRequest, "exactly one valid Host header expected"}
	faultLineEnd     = &fault{fasthttp.StatusBadRequest, "header lines end with CR LF"}
	faultFold        = &fault{fasthttp.StatusBadRequest, "a header line begins with a blank"}
	faultName        = &fault{fasthttp.StatusBadRequest, "a header name is not a token, or has a blank before its colon"}
	faultLength      = &fault{fasthttp.StatusBadRequest, "at most one Content-Length expected, of digits only"}
	faultCoding      = &fault{fasthttp.StatusBadRequest, "the only Transfer-Encoding allowed is chunked, in HTTP/1.1 and without Content-Length"}
	faultBody        = &fault{fasthttp.StatusBadRequest, "the method of the request has no such body"}
	faultTrailer     = &fault{fasthttp.StatusBadRequest, "trailers are not accepted"}
	faultExpectation = &fault{fasthttp.StatusExpectationFailed, "the only expectation known is 100-continue"}
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
	n := 0
	for n < len(line) && tokenBytes[line[n]] {
		n++
	}
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

// validAuthority reports whether b is a host, and a port or none: what a URI
// has there (RFC 3986 section 3.2) without user information, and without the
// comma, with which some join two headers into one.
func validAuthority(b []byte) bool {
	host, port := b, []byte(nil)
	if len(b) > 0 && b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 0 || bytes.IndexByte(b[:end], ':') < 0 || !parseAddr(b[1:end]).IsValid() {
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

func isToken(b []byte) bool {
	for _, c := range b {
		if !tokenBytes[c] {
			return false
		}
	}
	return len(b) > 0
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
