package sse

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/origin"
	"sluice/gateway/reqid"
	"sluice/gateway/session"
)

// request is what the endpoint keeps of a request: copies only.
type request struct {
	server  *Server
	id      reqid.ID
	peer    netip.Addr // for logs and sessions; the zero Addr if they do not want it
	http10  bool
	close   bool // the client asked for the end of the connection
	connect codec.ConnectRequest
	lastIDs lastIDs
	ticket  string
	bearer  string        // token of the Authorization header
	cookie  string        // token of Options.TokenCookie
	headers []auth.Header // for hooks
	userID  string        // of client.user_id_http_header
	page    origin.Page   // that it comes from
	origin  string        // what the answer names, "" for nothing
	// withheld names a credential that the page behind the request may not
	// use; "" for none. userFault is why userID is empty although there is
	// such a header.
	withheld     string
	userFault    *unfit
	askedHeaders string // Access-Control-Request-Headers
	bounds       bounds
	offer        codec.Offer // of codings for the stream
	padding      uint8       // lines, see session.Conn
	// address is reserved for this connect and nobody else's yet.
	address netip.Addr
	shared  bool      // the answer says who may read it, see writeCORS
	taken   bool      // the connection is about to leave the HTTP server
	date    time.Time // of the answer, if it is a stream

	// args are the parameters of the query, nil where there are none but the connect
	// request. They belong to the handler.
	args *fasthttp.Args

	// What is made of it, here so that a connect allocates once.
	sub    [1]codec.SubRequest // the memory of connect.Subs, where that is enough
	conn   session.Conn
	wait   wait
	memory session.Memory
	text   []byte           // memory in which the connect request is decoded, which is copied out of it
	start  codec.StreamHead // of the answer
	retry  [20]byte         // see Server.retryLine
}

// requests is the memory of those whose streams are open.
var requests = sync.Pool{New: func() any { return new(request) }}

// Free implements session.Request.
func (r *request) Free() {
	*r = request{text: r.text}
	requests.Put(r)
}

// textMost is up to how many bytes of request.text are kept.
const textMost = 4 << 10

func (s *Server) newRequest(ctx *fasthttp.RequestCtx) *request {
	h := &ctx.Request.Header
	r := requests.Get().(*request)
	r.server, r.http10, r.close = s, !h.IsHTTP11(), h.ConnectionClose()
	r.id.Take(h)
	if (s.debug || s.sessions.KeepsSources()) && s.opt.Address != nil {
		r.peer = s.opt.Address(ctx)
	}
	from := s.from(ctx)
	r.page = s.opt.Origins.Judge(h, from)
	if r.page.CORS {
		r.origin = string(h.Peek(fasthttp.HeaderOrigin))
	}
	if !onlyConnect(ctx.URI().QueryString()) {
		r.args = ctx.QueryArgs()
		r.ticket = string(r.args.Peek("ticket"))
	}
	r.lastIDs = readLastIDs(h, r.args)
	s.credentials(r, h, from.Trusted)
	asked := string(h.Peek(fasthttp.HeaderAccessControlRequestHeaders))
	if (r.page.CORS || len(h.Peek(fasthttp.HeaderOrigin)) == 0) && asked != "null" && origin.Printable(asked) {
		r.askedHeaders = asked
	}
	return r
}

// Refusal implements session.Request.
func (r *request) Refusal(err error) []byte { return r.server.refusal(r, err) }

// RefusalAttrs implements session.Request.
func (r *request) RefusalAttrs(err error) []slog.Attr { return r.server.refusalAttrs(err) }

// ID implements session.Request.
func (r *request) ID() string { return r.id.String() }

// Peer implements session.Request.
func (r *request) Peer() netip.Addr { return r.peer }

// decode reads the connect request: the body of a POST, the parameter of a GET
// (PROTOCOL 1.2, 1.3).
func (r *request) decode(ctx *fasthttp.RequestCtx, lim codec.Limits) (err error) {
	var text []byte
	if ctx.IsPost() {
		text = ctx.Request.Body()
	} else {
		text, err = connectParameter(r.text[:0], ctx.URI().QueryString())
		if err != nil {
			return err
		}
		if n := cap(text); n > 0 && n <= textMost {
			r.text = text
		}
		if len(text) == 0 {
			return nil
		}
	}
	r.connect.Subs = r.sub[:0]
	if err = r.connect.Decode(text, lim); err != nil {
		return err
	}
	for _, t := range r.connect.Headers {
		r.headers = append(r.headers, auth.Header{Name: t.Key, Value: t.Value, Emulated: true})
	}
	return nil
}

const connectName = "cf_connect"

// onlyConnect reports whether a query has the connect request and nothing else, as most
// have: then nobody has to take all of it apart once more.
func onlyConnect(query []byte) bool {
	return len(query) > len(connectName) && query[len(connectName)] == '=' && string(query[:len(connectName)]) == connectName &&
		bytes.IndexByte(query, '&') < 0
}

var errConnectEscape = errors.New(`cf_connect: a correctly percent-encoded value expected ("%" and ";" must be encoded)`)

// connectParameter appends to dst the value of the first cf_connect in a query string.
// One that cannot be decoded is an error: to go on without it would make the
// client anonymous (PROTOCOL 12.9).
func connectParameter(dst, query []byte) ([]byte, error) {
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte("&"))
		name, value, _ := bytes.Cut(pair, []byte("="))
		if string(name) != connectName {
			if decoded, err := url.QueryUnescape(string(name)); err != nil || decoded != connectName {
				continue
			}
		}
		text, ok := appendUnescaped(dst, value)
		if !ok {
			return nil, errConnectEscape
		}
		return text, nil
	}
	return nil, nil
}

// appendUnescaped appends a value of a query as it is meant. A bare semicolon is wrong, as is
// a percent sign without two digits.
func appendUnescaped(dst, value []byte) (text []byte, ok bool) {
	for i := 0; i < len(value); i++ {
		switch c := value[i]; c {
		case '%':
			if i+2 >= len(value) {
				return nil, false
			}
			hi, lo := hexDigit(value[i+1]), hexDigit(value[i+2])
			if hi < 0 || lo < 0 {
				return nil, false
			}
			dst, i = append(dst, byte(hi<<4|lo)), i+2
		case '+':
			dst = append(dst, ' ')
		case ';':
			return nil, false
		default:
			dst = append(dst, c)
		}
	}
	return dst, true
}

// hexDigit returns what a digit stands for, below 0 if it is none.
func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// framing is how the body of the answer is framed.
func (r *request) framing(configured codec.Framing) codec.Framing {
	if r.http10 {
		return codec.FramingClose
	}
	return configured
}

// head returns the response head of a stream; closing ones end by plan.
func (r *request) head(f codec.Framing, closing bool, date time.Time) codec.StreamHead {
	return codec.StreamHead{
		Framing: f, HTTP10: r.http10, Close: closing || r.close,
		Origin: r.origin, AllowHeaders: r.askedHeaders, Incremental: r.server.opt.Incremental, Date: date,
	}
}

// writeCORS adds the header lines for an allowed origin to an answer of the
// HTTP server's.
func (r *request) writeCORS(ctx *fasthttp.RequestCtx) {
	h := &ctx.Response.Header
	h.Set(fasthttp.HeaderVary, fasthttp.HeaderOrigin)
	if r.origin != "" {
		h.Set(fasthttp.HeaderAccessControlAllowOrigin, r.origin)
		h.Set(fasthttp.HeaderAccessControlAllowCredentials, "true")
	}
	if r.askedHeaders != "" {
		h.Set(fasthttp.HeaderAccessControlAllowHeaders, r.askedHeaders)
	}
}

// preflightAge is how long a browser may remember a preflight.
const preflightAge = "86400"

// preflight answers OPTIONS of a path with the methods (PROTOCOL 12.4).
func (s *Server) preflight(ctx *fasthttp.RequestCtx, r *request, methods string) {
	r.writeCORS(ctx)
	if !r.page.Allowed {
		s.refuseOrigin(ctx, r)
		return
	}
	h := &ctx.Response.Header
	if r.origin != "" {
		h.Set(fasthttp.HeaderAccessControlAllowMethods, methods)
		h.Set(fasthttp.HeaderAccessControlMaxAge, preflightAge)
	}
	h.Set(fasthttp.HeaderAllow, methods)
	ctx.SetStatusCode(fasthttp.StatusNoContent)
}
