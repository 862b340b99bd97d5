package api

import (
	"bytes"
	"cmp"
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/broker"
	"sluice/gateway/channel"
	"sluice/gateway/origin"
	"sluice/gateway/presence"
)

// ErrorModeTransport makes API errors HTTP statuses (PROTOCOL 7.2).
const ErrorModeTransport = "transport"

// Defaults of Options.
const (
	DefaultPrefix      = "/api"
	DefaultMaxBody     = 32 << 20
	DefaultCallTimeout = 10 * time.Second
	DefaultMaxCommands = 50_000
	DefaultMaxNames    = 100_000
	DefaultMaxWork     = 64 << 20
)

// Options of a [Server]. Rules, Broker, Credit, Presence, Sessions and Keys
// must be set; the zero value of the others means the default named.
type Options struct {
	Prefix string // path of the API, DefaultPrefix; "/" puts the methods at the top
	// Rules and Keys are asked for at every call, so they may change.
	Rules    func() *channel.Rules
	Keys     func() *auth.APIKeys
	Broker   broker.Broker
	Credit   Credit
	Presence presence.Manager
	Sessions Sessions

	Limits  codec.Limits // of JSON
	MaxBody int          // bytes, DefaultMaxBody; above it 413
	// MaxPublication is the most bytes of data that a publication may have, above
	// it error 107; not above 0: whatever a body holds.
	MaxPublication int
	// MaxCommands and MaxNames are the most commands of a batch, and the most channels
	// of a broadcast (in a batch of all), tags, and clients of a whitelist; above them
	// error 107. The defaults are DefaultMaxCommands and DefaultMaxNames.
	MaxCommands, MaxNames int
	// MaxWork bounds what calls hold beside their bodies, DefaultMaxWork bytes: decoded
	// batches and broadcasts, and answers until they are written.
	MaxWork int
	// ErrorMode is ErrorModeTransport, or "" for errors with status 200.
	ErrorMode string
	// CallTimeout ends calls that wait for an engine, DefaultCallTimeout.
	CallTimeout time.Duration
	// Unread reports whether the body of a call was not read because there was no room
	// for it in time; the call is refused then. Asked of calls without a body; nil: of none.
	Unread func(head *fasthttp.RequestHeader) bool
	// Front says how a request came here; nil: as its Host header says.
	Front func(ctx *fasthttp.RequestCtx) origin.Front
	// Fronts says what Front may say by and by of a request whose head alone is known; the
	// second has no host if there is only one. nil: as its Host header says.
	Fronts func(head *fasthttp.RequestHeader) [2]origin.Front
	// Decoded is called when the body of a call was decoded; nil for nobody. copied: nothing
	// refers to the body any more. The legacy endpoint, which decodes one command after the
	// other, calls it with the first, and with the last.
	Decoded func(r *fasthttp.Request, copied bool)
	// Waits is called when the call with that head begins to wait for room for what it
	// holds, and when it waits no longer; nil for nobody. It must not wait, nor call the
	// server.
	Waits func(head *fasthttp.RequestHeader, body int, waits bool)
	// TellKeys makes the log say at any level that a call had no key, or a wrong one: for
	// development.
	TellKeys bool
	Log      *slog.Logger // nothing is logged without it
}

// Server answers the calls of the API. Make it with [New]; all methods may be
// called from any goroutine.
type Server struct {
	// Immutable after New.
	opt     Options
	prefix  []byte // without a slash at its end; empty at the top
	methods map[string]*method
	numbers map[int64]*method // of the legacy endpoint
	local   bool              // see broker.Abilities
	bounded bool              // the same
	work    *work

	// Atomic.
	draining atomic.Bool
	accepted atomic.Uint64 // publications that the engine took
	failures throttle
	refused  [refusals]atomic.Uint64 // calls that reached no method
}

// New returns a server over o.
func New(o Options) *Server {
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if o.MaxBody <= 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.CallTimeout <= 0 {
		o.CallTimeout = DefaultCallTimeout
	}
	if o.MaxCommands <= 0 {
		o.MaxCommands = DefaultMaxCommands
	}
	if o.MaxNames <= 0 {
		o.MaxNames = DefaultMaxNames
	}
	if o.MaxWork <= 0 {
		o.MaxWork = DefaultMaxWork
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		opt:     o,
		prefix:  []byte(strings.TrimRight(o.Prefix, "/")),
		methods: make(map[string]*method),
		numbers: make(map[int64]*method),
		work:    newWork(o.MaxWork, o.CallTimeout),
	}
	s.work.waits = o.Waits
	can := o.Broker.Abilities()
	s.local, s.bounded = can.Local, can.Bounded
	for _, m := range methodTable() {
		s.methods[m.name] = m
		if m.number != noNumber {
			s.numbers[m.number] = m
		}
	}
	return s
}

// Paths returns the paths of an API with that prefix: those of its methods, and
// of the legacy endpoint.
func Paths(prefix string) []string {
	prefix = strings.TrimRight(prefix, "/")
	paths := []string{cmp.Or(prefix, "/")}
	for _, m := range methodTable() {
		paths = append(paths, prefix+"/"+m.name)
	}
	return paths
}

// Handle answers the request if its path is the prefix or lies below it, and
// reports whether it did. With the prefix "/" only the paths of methods, and
// "/" itself, are answered.
func (s *Server) Handle(ctx *fasthttp.RequestCtx) bool {
	rest, below := bytes.CutPrefix(ctx.Path(), s.prefix)
	if !below {
		return false
	}
	top := len(s.prefix) == 0
	switch {
	case len(rest) == 0 || top && len(rest) == 1:
		s.serve(ctx, nil)
		return true
	case rest[0] != '/':
		return false
	}
	m := s.methods[string(rest[1:])]
	switch {
	case m != nil:
		s.serve(ctx, m)
	case top:
		return false
	default:
		text(ctx, fasthttp.StatusNotFound, "404 page not found\n", "")
	}
	return true
}

// serve answers a call of m, or of the legacy endpoint if m is nil. The order
// of the checks is the protocol's (PROTOCOL 7.1).
func (s *Server) serve(ctx *fasthttp.RequestCtx, m *method) {
	r := s.begin(ctx)
	defer r.end(ctx)
	if !ctx.IsPost() {
		s.noteRefused(&r.id, refusedMethod)
		ctx.Response.Header.Set("Allow", "POST")
		refuseHTTP(ctx, fasthttp.StatusMethodNotAllowed, "method not allowed: POST expected")
		return
	}
	if f := s.foreign(ctx); f != "" {
		s.refuseForeign(ctx, &r.id, f)
		return
	}
	if keys := s.opt.Keys(); !keys.Insecure() && !presented(keys, &ctx.Request.Header) {
		s.refuseKey(ctx, &r.id)
		return
	}
	s.answerCall(ctx, r, m)
}

// Call answers a request of somebody who needs no key, because the caller knows who it is,
// with the reply of a method to its body; "" is the legacy endpoint. It reports whether
// there is a method of that name. All else is as for calls of the API, but for the error
// mode: errors are in the reply, with status 200. Not from a turn.
func (s *Server) Call(ctx *fasthttp.RequestCtx, name string) bool {
	var m *method
	if name != "" {
		if m = s.methods[name]; m == nil {
			return false
		}
	}
	r := s.begin(ctx)
	defer r.end(ctx)
	r.inReply = true
	s.answerCall(ctx, r, m)
	return true
}

// begin takes a request that is about to be answered in hand; its end gives it back.
func (s *Server) begin(ctx *fasthttp.RequestCtx) *request {
	r := requests.Get().(*request)
	r.call.id, r.call.hold, r.hold.w = &r.id, &r.hold, s.work
	r.id.Take(&ctx.Request.Header)
	return r
}

func (r *request) end(ctx *fasthttp.RequestCtx) {
	r.id.Echo(&ctx.Response.Header)
	r.hold.keep(0) // what did not go with the answer
	r.release()
}

// answerCall answers a call that may be made.
func (s *Server) answerCall(ctx *fasthttp.RequestCtx, r *request, m *method) {
	if s.draining.Load() {
		s.noteRefused(&r.id, refusedDraining)
		ctx.SetConnectionClose()
		refuseHTTP(ctx, fasthttp.StatusServiceUnavailable, "shutting down: try another node")
		return
	}
	body := ctx.PostBody()
	if len(body) == 0 && s.opt.Unread != nil && s.opt.Unread(&ctx.Request.Header) {
		s.answerUnread(ctx, &r.call)
		return
	}
	if len(body) > s.opt.MaxBody {
		s.noteRefused(&r.id, refusedSize)
		refuseHTTP(ctx, fasthttp.StatusRequestEntityTooLarge, "request body too large")
		return
	}
	w, _ := ctx.Conn().(broker.Waiter)
	switch {
	case w == nil:
	case m != nil && m.quick && len(body) < LargeBody:
		r.call.waiter = w // it says for itself if it waits
	case w.BeginWait(): // for others of its commands, or of this node
		defer w.EndWait()
	}
	r.hold.head, r.hold.body = &ctx.Request.Header, len(body)
	if m == nil {
		s.serveLegacy(ctx, &r.call, body)
		return
	}
	s.serveMethod(ctx, r, m, body)
}

// LargeBody is from which length on the body of a call takes long whatever it is, and waits for
// room: bytes.
const LargeBody = 64 << 10

func (s *Server) serveMethod(ctx *fasthttp.RequestCtx, r *request, m *method, body []byte) {
	c := &r.call
	within, cancel := s.deadline(m)
	defer cancel()
	c.ctx = within
	if fail := s.admit(c, m, body); fail != nil {
		s.answerError(ctx, c, fail)
		return
	}
	req, err := r.decode(m, body, s.opt.Limits)
	if err != nil {
		s.badRequest(ctx, c.id, m.name, err)
		return
	}
	s.decoded(ctx, true)
	c.dst = ctx.Response.SwapBody(nil)[:0]
	if !m.bare {
		c.dst = append(c.dst, `{"result":`...)
	}
	if fail := s.run(m, c, req); fail != nil {
		s.answerError(ctx, c, fail)
		return
	}
	if !m.bare {
		c.dst = append(c.dst, '}')
	}
	answer(ctx, c)
}

func (s *Server) decoded(ctx *fasthttp.RequestCtx, copied bool) {
	if s.opt.Decoded != nil {
		s.opt.Decoded(&ctx.Request, copied)
	}
}

// deadline returns the context of a call of m, or of the legacy endpoint. Why
// not always one that ends: that is 4 of the 11 allocations of a publish
// (BenchmarkPublish), and engines bound it themselves, as the credit and the room for
// work do.
func (s *Server) deadline(m *method) (context.Context, context.CancelFunc) {
	if m != nil && m.quick && s.bounded {
		return context.Background(), func() {}
	}
	return context.WithTimeout(context.Background(), s.opt.CallTimeout)
}

// Drain makes every call from now on answer 503. Calls in hand go on: the
// shutdown of the HTTP server waits for them. Those that wait for room are refused.
func (s *Server) Drain() {
	s.draining.Store(true)
	s.work.stop()
}
