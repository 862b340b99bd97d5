package strict

import "github.com/valyala/fasthttp"

// Conn is what the rules tell the connection of a request. Those of package front are
// such; other connections are let be. All is called by the goroutine that reads it.
type Conn interface {
	// Linger says that an answer comes before the client knows that it is the last, or
	// before its request was read: closing must not lose it.
	Linger()
	// Taken says that the connection will be no other request's.
	Taken()
	// TakenOver reports whether the handler made the connection go on without the HTTP
	// server, other than by fasthttp's Hijack.
	TakenOver() bool
	// Stay reports whether the connection may be idle behind the answer that is about
	// to be written.
	Stay() bool
}

// other is a connection that is let be.
type other struct{}

func (other) Linger()         {}
func (other) Taken()          {}
func (other) TakenOver() bool { return false }
func (other) Stay() bool      { return true }

func connOf(ctx *fasthttp.RequestCtx) Conn {
	if c, ok := ctx.Conn().(Conn); ok {
		return c
	}
	return other{}
}

// fault is why a request is refused.
type fault struct {
	status  int
	message string // one line, says what was expected
}

// Refuse writes the answer to a refused request. It must not write any of the
// request's own text. The connection is closed behind it, whatever it does.
type Refuse func(ctx *fasthttp.RequestCtx, status int, message string)

// Handler wraps the handler of a server so that only requests reach it that
// everybody reads alike. The danger is a front that takes the bytes of one
// request for two, or of two for one, and so lets something past its rules, or
// gives one client the answer of another. The HTTP server below refuses most
// such shapes; Handler refuses what it still takes, and checks those again that
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
// (see [Conn]).
//
// CONNECT is refused: this is no proxy. Upgrade is ignored, as RFC 9110 section
// 7.8 allows.
func Handler(next fasthttp.RequestHandler, refuse Refuse) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		h := &ctx.Request.Header
		conn := connOf(ctx)
		v := examine(h)
		if v.fault == nil && v.chunked && hasTrailer(h) {
			v.fault = faultTrailer
		}
		if v.fault != nil {
			refuse(ctx, v.fault.status, v.fault.message)
			conn.Linger()
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
		case ctx.Hijacked() || conn.TakenOver():
			conn.Taken()
		case last:
			conn.Linger() // the client may not know that this was the last
		case !v.close && !ctx.Response.ConnectionClose() && !conn.Stay():
			ctx.SetConnectionClose()
		}
	}
}

// Prepare is for fasthttp.Server.HeaderReceived, which is called between the
// head and the body: of a request that [Handler] refuses no body is waited for.
func Prepare(h *fasthttp.RequestHeader) {
	expect := h.PeekCanonical(expectRead)
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
// wants, and [Handler] close the connection behind it. For
// fasthttp.Server.HeaderReceived, after [Prepare].
func SkipBody(h *fasthttp.RequestHeader) {
	h.SetContentLength(0)
	h.Del(fasthttp.HeaderExpect) // the client is not asked for it
}

// noBody is what fasthttp says of a request without Content-Length and
// Transfer-Encoding.
const noBody = -2

const continueExpectation = "100-continue"

var expectRead = []byte(fasthttp.HeaderExpect) // as the HTTP server spells it

// LineEnds says what is wrong with a head whose lines end otherwise.
const LineEnds = "header lines end with CR LF"

// Faults. All end the connection.
var (
	faultVersion     = &fault{fasthttp.StatusHTTPVersionNotSupported, "HTTP/1.1 or HTTP/1.0 expected"}
	faultConnect     = &fault{fasthttp.StatusBadRequest, "CONNECT is for proxies"}
	faultTarget      = &fault{fasthttp.StatusBadRequest, "the request target is not one of an origin server (RFC 9112 section 3.2)"}
	faultFragment    = &fault{fasthttp.StatusBadRequest, `the request target has a fragment ("#" must be encoded)`}
	faultAuthority   = &fault{fasthttp.StatusBadRequest, "the request target names another host than the Host header"}
	faultHost        = &fault{fasthttp.StatusBadRequest, "exactly one valid Host header expected"}
	faultLineEnd     = &fault{fasthttp.StatusBadRequest, LineEnds}
	faultFold        = &fault{fasthttp.StatusBadRequest, "a header line begins with a blank"}
	faultName        = &fault{fasthttp.StatusBadRequest, "a header name is not a token, or has a blank before its colon"}
	faultLength      = &fault{fasthttp.StatusBadRequest, "at most one Content-Length expected, of digits only"}
	faultCoding      = &fault{fasthttp.StatusBadRequest, "the only Transfer-Encoding allowed is chunked, in HTTP/1.1 and without Content-Length"}
	faultBody        = &fault{fasthttp.StatusBadRequest, "the method of the request has no such body"}
	faultTrailer     = &fault{fasthttp.StatusBadRequest, "trailers are not accepted"}
	faultExpectation = &fault{fasthttp.StatusExpectationFailed, "the only expectation known is 100-continue"}
)
