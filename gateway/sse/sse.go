// Package sse is the subscribe endpoint: it turns a request into an identity and
// a plan, takes the socket out of the HTTP server and hands both to a session.
// It owns what a client sees before the first event: methods, statuses, CORS,
// the response head, refusals (PROTOCOL 1). Nothing of a request outlives its
// handler but copies.
package sse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/front"
	"sluice/gateway/loop"
	"sluice/gateway/origin"
	"sluice/gateway/session"
	"sluice/gateway/tally"
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
	tickets  *tickets
	debug    bool // the log wants every connect that is refused

	// Atomic.
	live       atomic.Pointer[inForce]
	draining   atomic.Bool
	admits     atomic.Uint64
	sheds      atomic.Uint64
	undetached atomic.Uint64 // connections whose socket could not be taken
	refused    [refusals]atomic.Uint64
	took       tally.Shared // see Stats
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
		opt: opt, sessions: m, tickets: &tickets{},
		debug: opt.Log.Enabled(context.Background(), slog.LevelDebug),
	}
	s.Set(opt.Live)
	return s
}

// maxCursorEntries bounds the channels that a cursor may name.
const maxCursorEntries = 2048

// retryLine returns the line that tells an EventSource how long to wait before
// it comes back: another time for each stream, so that those which were cut
// together do not come back together.
func (s *Server) retryLine() []byte {
	lo, hi := s.opt.RetryMin.Milliseconds(), s.opt.RetryMax.Milliseconds()
	if hi <= 0 {
		return nil
	}
	if hi > lo {
		lo += rand.Int64N(hi - lo + 1)
	}
	b := append(make([]byte, 0, 20), "retry: "...)
	return append(strconv.AppendInt(b, lo, 10), '\n')
}

// opening returns the blank line that a body begins with: where nothing is added to
// what the reference sends, the reference's.
func (s *Server) opening() []byte {
	if !s.opt.LastEventID && s.opt.RetryMax <= 0 {
		return codec.ReferenceOpening
	}
	return codec.StreamOpening
}

// allowedMethods is the Allow header of a 405.
const allowedMethods = "GET, POST, OPTIONS"

// Handle answers one request to the endpoint. It is called by the HTTP server's
// workers.
func (s *Server) Handle(ctx *fasthttp.RequestCtx) {
	r := s.newRequest(ctx)
	defer r.id.Echo(&ctx.Response.Header)
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
	r.writeCORS(ctx)
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
	if err == nil && s.opt.BoundedStreams {
		r.bounds, err = readBounds(ctx.QueryArgs())
	}
	if err != nil {
		s.noteRefused(r, refusedRequest, err)
		WriteError(ctx, fasthttp.StatusBadRequest, strings.TrimPrefix(err.Error(), "codec: "))
		return
	}
	w := &wait{server: s, ctx: ctx}
	plan, err := s.plan(r, w)
	if w.refused != admitted {
		s.shed(ctx, r, w.refused)
		return
	}
	if errors.Is(err, session.ErrFull) { // since admit looked
		s.shed(ctx, r, overNode)
		return
	}
	var u *unfit
	if errors.As(err, &u) {
		s.refuseUnfit(ctx, r, u)
		return
	}
	if err != nil {
		s.explain(ctx, r, err)
	}
	s.hijack(ctx, r, plan, err)
}

// plan works out who connects and what they get. The error wraps a
// *codec.Error or a *codec.Disconnect, or is a failure of ours.
func (s *Server) plan(r *request, w *wait) (*session.Plan, error) {
	req := session.PlanRequest{
		Requested: r.connect.Subs, MayRequest: true, Personal: true, Headers: r.headers,
		Kind:    session.KindOf(r.connect.Name, r.connect.Version),
		Address: r.address,
	}
	if s.opt.LastEventID {
		req.Cursor, req.Lost = r.lastIDs.cursor()
	}
	if err := s.identify(r, w, &req); err != nil {
		return nil, err
	}
	p, err := s.sessions.Plan(&req)
	if err == nil {
		r.address = netip.Addr{} // the plan's from here on
	}
	return p, err
}

// identify finds out who connects, in the order of PROTOCOL 4.1.
func (s *Server) identify(r *request, w *wait, req *session.PlanRequest) (err error) {
	if r.ticket != "" {
		return s.tickets.redeem(r.ticket, req, time.Now())
	}
	if u := s.insecureOf(r); u != nil {
		return u
	}
	if token := s.token(r); token != "" {
		req.Identity, err = s.opt.Verifier().VerifyConnectWaits(token, time.Now(), w)
		return err
	}
	if r.withheld != "" {
		return r.fromElsewhere(r.withheld)
	}
	if s.opt.Hook != nil {
		if err := s.ask(r, w, req); err != nil || req.Identity != nil {
			return err
		}
	}
	switch live := s.live.Load(); {
	case live.AllowAnonymous || live.Insecure:
		req.Identity = &auth.Identity{}
	case r.userFault != nil:
		return r.userFault
	case r.userID != "":
		req.Identity = &auth.Identity{User: r.userID}
	default:
		return errNoCredentials
	}
	return nil
}

// token returns the connection token of a request, "" if it has none. Beyond
// the connect request it is looked for where it does not end up in logs: in
// Authorization and in a cookie. With a connect hook these are the backend's.
func (s *Server) token(r *request) string {
	switch {
	case r.connect.Token != "":
		return r.connect.Token
	case s.opt.Hook != nil:
		return ""
	case strings.Count(r.bearer, ".") == 2: // others are no JWT, and somebody else's
		return r.bearer
	}
	return r.cookie
}

// ask lets the connect hook decide. Without an answer the client is told of a
// failure of ours; the hook has logged it.
func (s *Server) ask(r *request, w *wait, req *session.PlanRequest) error {
	if !w.Begin() {
		return errNoRoom
	}
	defer w.End()
	req.Client = session.NewID()
	call := &auth.ConnectCall{
		Client: req.Client.String(), Data: r.connect.Data, Name: r.connect.Name, Version: r.connect.Version,
		Headers: r.headers,
	}
	for i := range r.connect.Subs {
		call.Channels = append(call.Channels, r.connect.Subs[i].Channel)
	}
	ctx, cancel := session.WithPatience(s.opt.HookWait)
	defer cancel()
	answer, err := s.opt.Hook.Connect(ctx, call)
	if err != nil && ctx.Err() != nil {
		return codec.DisconnectStale
	}
	if errors.Is(err, auth.ErrHook) {
		return codec.ErrInternal
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errHook, err)
	}
	if answer.Identity == nil {
		return nil
	}
	req.Identity, req.Data, req.MayRequest = answer.Identity, answer.Data, false
	return nil
}

// hijack takes the connection over: with a plan it becomes a stream, without
// one it is told why not.
func (s *Server) hijack(ctx *fasthttp.RequestCtx, r *request, plan *session.Plan, refused error) {
	// Without NoResponse fasthttp would skip the handler for HTTP/1.0 and
	// for "Connection: close", so the response head is ours.
	ctx.HijackSetNoResponse(true)
	s.sessions.Enter()
	r.began = ctx.Time()
	// Whoever comes first: see front.Conn.OnClose. Without it a client could
	// make us hold places for streams that never were.
	taken := new(atomic.Bool)
	if c, ok := ctx.Conn().(interface{ OnClose(f func()) }); ok {
		c.OnClose(func() {
			if taken.CompareAndSwap(false, true) {
				if plan != nil {
					s.sessions.Abandon(plan)
				}
				s.sessions.Leave()
			}
		})
	}
	ctx.Hijack(func(c net.Conn) {
		if taken.CompareAndSwap(false, true) {
			s.takeOver(c, r, plan, refused)
		}
	})
}

// takeOver runs on a goroutine of its own. The connection is the HTTP server's:
// it is closed when this returns, and only the duplicate of its socket lives on.
func (s *Server) takeOver(c net.Conn, r *request, plan *session.Plan, refused error) {
	defer s.sessions.Leave()
	defer func() { s.took.Add(time.Since(r.began)) }()
	var sock loop.Socket
	detached, owned := false, false // owned by the session once it is called
	defer func() {
		if v := recover(); v != nil {
			s.opt.Log.Error("panic while opening a stream", "request", &r.id, "panic", v, "stack", string(debug.Stack()))
		}
		if owned {
			return
		}
		if plan != nil {
			s.sessions.Abandon(plan)
		}
		if detached {
			sock.Discard()
		}
	}()
	more := sentMore(c)
	var err error
	if sock, err = loop.Detach(c, s.opt.Socket); err != nil {
		n := s.undetached.Add(1)
		if n&(n-1) == 0 && !errors.Is(err, net.ErrClosed) { // at powers of two: any client can cause it
			s.opt.Log.Error("a connection cannot be streamed to", "request", &r.id, "error", err, "failures", n)
		}
		return
	}
	conn := session.Conn{
		Socket: sock, Framing: r.framing(s.opt.Framing),
		Request: r,
	}
	switch {
	case more:
		if plan != nil {
			s.sessions.Abandon(plan)
		}
		owned = true
		s.sessions.Refuse(conn, loop.ReasonInput, errSentMore)
		return
	case refused != nil:
		owned = true
		s.sessions.Refuse(conn, loop.ReasonRefused, refused)
		return
	}
	conn.Head, conn.Opening, conn.Preamble = r.head(conn.Framing, r.bounds != bounds{}), s.opening(), s.retryLine()
	conn.MaxEvents, conn.MaxDuration = r.bounds.events, r.bounds.duration
	owned = true
	_ = s.sessions.Open(plan, conn) // the session told the client, and the log
}

// errSentMore refuses a connect that something follows: there is no answer to a
// second request on a connection that has become a stream.
var errSentMore = errors.New("nothing may follow the request for a stream on its connection")

// sentMore reports whether the client sent anything behind its request together
// with it. The HTTP server has read those bytes already, so epoll will never
// tell of them; what comes later is the loop's to judge.
func sentMore(c net.Conn) bool {
	// With a deadline in the past only what was read ahead is returned: the
	// socket is not touched (net.Conn; checked by a test).
	if c.SetReadDeadline(time.Unix(1, 0)) != nil {
		return false // closed: nobody will be disappointed
	}
	var ahead [loop.StrayInput + 1]byte
	n, _ := c.Read(ahead[:])
	_ = c.SetReadDeadline(time.Time{})
	return !loop.Stray(ahead[:n])
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
