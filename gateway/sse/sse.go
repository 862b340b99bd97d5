// Package sse is the subscribe endpoint: it turns a request into an identity and
// a plan, takes the socket out of the HTTP server and hands both to a session.
// It owns what a client sees before the first event: methods, statuses, CORS,
// the response head, refusals (PROTOCOL 1). Nothing of a request outlives its
// handler but copies.
package sse

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/front"
	"sluice/gateway/hijack"
	"sluice/gateway/loop"
	"sluice/gateway/origin"
	"sluice/gateway/session"
)

// Options of a [Server]; the keys of configuration are named where they are not
// obvious.
type Options struct {
	Verifier func() *auth.Verifier
	Origins  *origin.List
	Live     // what is in force until Server.Set
	// Hook is asked who connects when there is no token; nil without one.
	Hook auth.Hook
	// HookWait is how long a connect may wait for the hook, whatever the
	// hook's own timeout (client.stale_close_delay).
	HookWait time.Duration
	// HookHeaders are the headers of the request that hooks need, of either
	// kind: names in lower case.
	HookHeaders []string
	// Hold is asked before the handler of a request waits for a hook or for keys, and
	// LetGo is told when it has: meanwhile the HTTP server holds what it read. Over
	// a bound of all, or of the client's own address, the request is turned away for
	// now. nil: there are no bounds.
	Hold  func(ctx *fasthttp.RequestCtx) front.Room
	LetGo func(ctx *fasthttp.RequestCtx)
	// TokenCookie is the name of a cookie that may hold the token; "" for
	// none.
	TokenCookie string
	// TerminalStatus stops browsers that come back after a terminal refusal.
	TerminalStatus bool
	Limits         codec.Limits
	// Framing is for HTTP/1.1; HTTP/1.0 always ends with the connection.
	Framing codec.Framing
	// Incremental is uni_sse.incremental.
	Incremental bool
	// Padding is how many bytes of it streams have (uni_sse.padding), PaddingMax up to how
	// many a client may ask for: 0 for none.
	Padding, PaddingMax int
	// Socket is what the kernel is told about each stream's socket.
	Socket loop.SocketOptions
	// RetryMin and RetryMax are between which reconnect delay each stream is
	// told in a retry line; 0 for no line.
	RetryMin, RetryMax time.Duration
	// ShedByStatus answers everybody over a passing limit with 503
	// (uni_sse.shed: status).
	ShedByStatus bool
	// ShedMax is the longest reconnect delay that a client turned away is
	// told; 1 min.
	ShedMax time.Duration
	// Address says where a request comes from, for logs and for the limits by
	// address of the sessions; nil if nobody knows.
	Address func(ctx *fasthttp.RequestCtx) netip.Addr
	// Front says how a request came here; nil: as its Host header says, and no
	// peer is trusted.
	Front func(ctx *fasthttp.RequestCtx) origin.Front
	// LastEventID reads where a client was from the id of its last event.
	LastEventID bool
	// BoundedStreams lets clients say when their stream is to end.
	BoundedStreams bool
	Responses      Responses
	Disconnects    Disconnects
	// TellOrigins makes the log say which origins are refused at any level: for
	// development, since strangers could fill it.
	TellOrigins bool
	// Log takes connects that are refused at level debug, if that is on when
	// the server is made.
	Log *slog.Logger
}

// Server answers the endpoint. Make it with [New].
type Server struct {
	// Immutable after New.
	opt      Options
	sessions *session.Manager
	taker    *hijack.Taker
	tickets  *tickets
	debug    bool // the log wants every connect that is refused

	// Atomic.
	live     atomic.Pointer[inForce]
	draining atomic.Bool
	admits   atomic.Uint64
	sheds    atomic.Uint64
	refused  [refusals]atomic.Uint64
}

// New makes the endpoint over the sessions of a node.
func New(m *session.Manager, opt Options) *Server {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.HookWait <= 0 {
		opt.HookWait = 10 * time.Second
	}
	if opt.ShedMax <= 0 {
		opt.ShedMax = time.Minute
	}
	s := &Server{
		opt: opt, sessions: m, tickets: &tickets{}, taker: hijack.New(m, opt.Socket, opt.Log),
		debug: opt.Log.Enabled(context.Background(), slog.LevelDebug),
	}
	s.Set(opt.Live)
	return s
}

// maxCursorEntries bounds the channels that a cursor may name.
const maxCursorEntries = 2048

// allowedMethods is the Allow header of a 405.
const allowedMethods = "GET, POST, OPTIONS"

// Handle answers one request to the endpoint. It is called by the HTTP server's
// workers.
func (s *Server) Handle(ctx *fasthttp.RequestCtx) {
	r := s.newRequest(ctx)
	defer r.echo(ctx)
	if ctx.IsOptions() {
		s.preflight(ctx, r, allowedMethods)
		return
	}
	connect := ctx.IsGet() || ctx.IsPost()
	if connect {
		// Before all else, as the reference does (PROTOCOL 1.4).
		defer s.giveBack(r)
		if v := s.admit(ctx, r); v != admitted {
			s.shed(ctx, r, v)
			return
		}
		s.admits.Add(1)
	}
	r.shared = true
	if !connect {
		s.noteRefused(r, refusedMethod, nil)
		ctx.Response.Header.Set(fasthttp.HeaderAllow, allowedMethods)
		WriteError(ctx, fasthttp.StatusMethodNotAllowed, "method not allowed: use GET or POST")
		return
	}
	if !r.page.Allowed {
		s.refuseOrigin(ctx, r)
		return
	}
	if s.turnBack(ctx, r) {
		return
	}
	err := r.decode(ctx, s.opt.Limits)
	r.padding = s.padding(r.args)
	if err == nil && s.opt.BoundedStreams && r.args != nil {
		r.bounds, err = readBounds(r.args)
	}
	if err != nil {
		s.noteRefused(r, refusedRequest, err)
		WriteError(ctx, fasthttp.StatusBadRequest, strings.TrimPrefix(err.Error(), "codec: "))
		return
	}
	r.args, r.wait = nil, wait{server: s, ctx: ctx} // nothing of ctx stays with the stream
	plan, err := s.plan(r, &r.wait)
	refused := r.wait.refused
	r.date = r.wait.now()
	if r.wait = (wait{}); refused != admitted {
		s.shed(ctx, r, refused)
		return
	}
	if errors.Is(err, session.ErrFull) { // since admit looked
		s.shed(ctx, r, overNode)
		return
	}
	if err == nil {
		r.offer = plan.Offer()
		s.hijack(ctx, r, plan, nil)
		return
	}
	var u *unfit
	if errors.As(err, &u) {
		s.refuseUnfit(ctx, r, u)
		return
	}
	s.explain(ctx, r, err)
	s.hijack(ctx, r, plan, err)
}

// echo adds what every answer of the HTTP server's has. That of a stream is ours.
func (r *request) echo(ctx *fasthttp.RequestCtx) {
	if r.taken {
		return
	}
	r.id.Echo(&ctx.Response.Header)
	if r.shared {
		r.writeCORS(ctx)
	}
}

// WriteCORS adds to an answer that was made before the request reached the
// endpoint what lets a page of an allowed origin read it.
func (s *Server) WriteCORS(ctx *fasthttp.RequestCtx) {
	if r := s.newRequest(ctx); r.page.Allowed {
		r.writeCORS(ctx)
	}
}

// WriteError answers with a status and one line of JSON that says what was
// wrong (PROTOCOL 12.40).
func WriteError(ctx *fasthttp.RequestCtx, status int, message string) {
	ctx.SetStatusCode(status)
	ctx.SetContentType("application/json")
	ctx.SetBody(codec.AppendHTTPError(nil, status, message))
}
