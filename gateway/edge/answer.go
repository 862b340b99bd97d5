package edge

import (
	"bytes"
	"context"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/channel"
	"sluice/gateway/hub"
	"sluice/gateway/session"
)

// allowedMethods is the Allow header of a 405.
const allowedMethods = "GET, HEAD, OPTIONS"

// preflightAge is how long a browser may remember a preflight, in seconds.
const preflightAge = "86400"

// Handle answers one request whose target, from its path on, is one that the route owns
// ([Owns]). It is called by the HTTP server's workers.
func (s *Server) Handle(ctx *fasthttp.RequestCtx, target []byte) {
	r := &request{server: s, http10: !ctx.Request.Header.IsHTTP11()}
	r.id.Take(&ctx.Request.Header)
	defer r.id.Echo(&ctx.Response.Header)
	resp := &ctx.Response
	switch {
	case ctx.IsOptions():
		preflight(resp)
		return
	case !ctx.IsGet() && !ctx.IsHead():
		s.refused[refusedMethod].Add(1)
		resp.Header.Set(fasthttp.HeaderAllow, allowedMethods)
		fail(resp, fasthttp.StatusMethodNotAllowed, "method not allowed: use GET")
		return
	}
	way, n, own := via(ctx, s.opt.Node)
	if own || n >= maxHops || len(way) > viaMax {
		s.inLoop(resp)
		return
	}
	if err := r.read(target); err != nil {
		s.refused[refusedRequest].Add(1)
		fail(resp, fasthttp.StatusBadRequest, err.Error())
		return
	}
	ok := false
	if r.options, ok = s.opt.Rules().Broadcast(r.channel); !ok {
		s.notFound(resp, r.options)
		return
	}
	if path := codec.ChannelPath(r.channel); path != r.raw {
		s.respell(resp, r, path)
		return
	}
	r.relay, r.way = n > 0, way
	s.stream(ctx, r)
}

// stream answers a request for a channel that there is.
func (s *Server) stream(ctx *fasthttp.RequestCtx, r *request) {
	resp := &ctx.Response
	at, brought, readable := r.position(ctx)
	kind := streamShared
	switch {
	case r.relay && brought:
		kind, r.private = streamPrivate, true
		r.backlog.Exact = true
		if readable {
			r.backlog.Offset, r.backlog.Epoch = at.Offset, at.Epoch
		}
	case r.varies() && brought:
		if !readable || !s.channels.live(r.channel, at) || !s.covered(r, at) {
			s.redirect(resp, r)
			return
		}
		kind = streamResumed
		r.backlog = session.Backlog{Offset: at.Offset, Epoch: at.Epoch, Exact: true}
	}
	conn, offer := &session.Conn{Head: r.head(), Request: r}, r.options.Offer()
	conn.Framing = conn.Head.Framing
	conn.Coding, conn.Dictionary = offer.Choose(conn.Head, ctx.Request.Header.PeekAll)
	if ctx.IsHead() {
		headAlone(resp, conn.Head)
		return
	}
	if s.draining.Load() {
		s.refused[refusedNode].Add(1)
		r.comeBack(resp)
		return
	}
	here, ok := s.channels.enter(r.channel, r.options)
	if !ok {
		s.refused[s.channels.refusal()].Add(1)
		r.comeBack(resp)
		return
	}
	if kind == streamShared {
		r.backlog = here.backlog
	}
	plan, err := s.sessions.PlanBroadcast(&session.BroadcastRequest{
		Channel: r.channel, Rules: r.options, Retry: s.opt.Retry, Backlog: r.backlog, Unsettled: here.unsettled, Lifetime: here.lifetime,
		Via: string(r.way),
	})
	if err != nil {
		s.channels.leave(r.channel)
		s.refused[refusedNode].Add(1)
		r.comeBack(resp)
		return
	}
	s.opened[kind].Add(1)
	sources := s.sessions.KeepsSources()
	if (s.debug || sources) && s.opt.Address != nil {
		r.peer = s.opt.Address(ctx)
	}
	if sources {
		conn.Agent = session.NewUserAgent(ctx.Request.Header.UserAgent())
	}
	s.taker.Take(ctx, conn, plan, nil)
}

// covered reports whether the history still has all that lies behind a position. An engine
// that does not answer is the opening's to tell.
func (s *Server) covered(r *request, at hub.Mark) bool {
	ctx, cancel := context.WithTimeout(context.Background(), s.opt.CallTimeout)
	defer cancel()
	pubs, top, err := broker.Read(ctx, s.broker, broker.HistoryQuery{
		Channel: r.channel, Since: at.Offset, Set: true, Limit: 1, MetaTTL: r.options.HistoryMetaTTL,
	})
	switch {
	case err != nil:
		return true
	case hub.EpochTag(top.Epoch) != at.Epoch || top.Offset < at.Offset:
		return false
	}
	return top.Offset == at.Offset || len(pubs) > 0 && pubs[0].Offset == at.Offset+1
}

// fail answers with a status and one line of JSON that says what was wrong, for pages of
// any origin.
func fail(resp *fasthttp.Response, status int, message string) {
	resp.Header.Set(fasthttp.HeaderAccessControlAllowOrigin, "*")
	if len(resp.Header.Peek(fasthttp.HeaderCacheControl)) == 0 {
		resp.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	}
	resp.SetStatusCode(status)
	resp.Header.SetContentType("application/json")
	resp.SetBody(codec.AppendHTTPError(nil, status, message))
}

// viaMax is how many bytes a CDN-Loop may have, which a relay sends on.
const viaMax = 4 << 10

// via is the way by which a request came, with the number of our nodes on it, and whether
// this one is among them. It is that of all CDN-Loop headers, and of our own where a front
// between stripped those.
func via(ctx *fasthttp.RequestCtx, node string) (way []byte, n int, own bool) {
	peek := func(name string) (text []byte, n int, own bool) {
		lines := ctx.Request.Header.PeekAll(name) // valid until the next call
		n, own = hops(lines, node)
		return bytes.Join(lines, []byte(", ")), n, own
	}
	way, n, own = peek("CDN-Loop")
	if ours, m, too := peek("Sluice-Loop"); m > n {
		if len(way) > 0 {
			ours = append(append(ours, ", "...), way...)
		}
		return ours, m, own || too
	}
	return way, n, own
}

// inLoop says that a request came round, here or at an origin.
func (s *Server) inLoop(resp *fasthttp.Response) {
	s.refused[refusedLoop].Add(1)
	resp.Header.Set(fasthttp.HeaderVary, "CDN-Loop") // no front is to hold it for others
	fail(resp, fasthttp.StatusLoopDetected, "relays in a loop, or more than "+strconv.Itoa(maxHops-1)+" of them: look at relay.origin of each")
}

// notFound says that there is no such channel on the route, for as long as a stream would
// be fresh; o is nil where there is no such namespace.
func (s *Server) notFound(resp *fasthttp.Response, o *channel.Options) {
	s.refused[refusedChannel].Add(1)
	age := channel.DefaultBroadcastFreshness
	if o != nil {
		age = o.BroadcastFreshness
	}
	resp.Header.Set(fasthttp.HeaderCacheControl, "public, "+maxAge(age))
	fail(resp, fasthttp.StatusNotFound, "no such channel on the broadcast route: one of a namespace with broadcast expected")
}

// respell sends whoever writes a path otherwise than others to theirs: else there were as
// many objects of a channel in a cache as its name has spellings, each with streams here.
func (s *Server) respell(resp *fasthttp.Response, r *request, path string) {
	s.respelled.Add(1)
	mark := ""
	if r.bare {
		mark = bareMark
	}
	h := &resp.Header
	h.Set(fasthttp.HeaderAccessControlAllowOrigin, "*")
	h.Set(fasthttp.HeaderCacheControl, "public, max-age=3600")
	h.Set(fasthttp.HeaderLocation, s.opt.Prefix+mark+"/"+path)
	resp.SetStatusCode(fasthttp.StatusPermanentRedirect)
}

// redirect sends whoever brings an id that is no live checkpoint where ids mean nothing. A
// browser brings it along, so it must be another path.
func (s *Server) redirect(resp *fasthttp.Response, r *request) {
	s.redirects.Add(1)
	h := &resp.Header
	h.Set(fasthttp.HeaderAccessControlAllowOrigin, "*")
	h.Set(fasthttp.HeaderCacheControl, "public, "+maxAge(r.options.BroadcastFreshness))
	h.Set(fasthttp.HeaderVary, "Last-Event-ID")
	h.Set(fasthttp.HeaderLocation, s.opt.Prefix+bareMark+"/"+r.raw)
	resp.SetStatusCode(fasthttp.StatusTemporaryRedirect)
}

// comeBack is a stream that is over at once and says when to come back: not before fronts
// have forgotten it. An EventSource ends for good on any other status.
func (r *request) comeBack(resp *fasthttp.Response) {
	head, offer := r.head(), r.options.Offer()
	offer.Vary(head)
	setHead(resp, head)
	resp.SetBody(append(codec.AppendRetry(nil, r.options.BroadcastFreshness+time.Second), '\n'))
}

// headAlone is the answer to HEAD: what GET would begin with, but for the epoch, which
// nobody looks up for it.
func headAlone(resp *fasthttp.Response, h *codec.StreamHead) {
	setHead(resp, h)
	resp.Header.SetContentLength(-1) // chunks
}

func setHead(resp *fasthttp.Response, h *codec.StreamHead) {
	h.BroadcastFields(resp.Header.Set)
	resp.SetConnectionClose()
}

// preflight answers OPTIONS: everybody may read the route with whatever headers, and
// nobody needs credentials.
func preflight(resp *fasthttp.Response) {
	h := &resp.Header
	h.Set(fasthttp.HeaderAccessControlAllowOrigin, "*")
	h.Set(fasthttp.HeaderAccessControlAllowMethods, allowedMethods)
	h.Set(fasthttp.HeaderAccessControlAllowHeaders, "*")
	h.Set(fasthttp.HeaderAccessControlMaxAge, preflightAge)
	h.Set(fasthttp.HeaderAllow, allowedMethods)
	resp.SetStatusCode(fasthttp.StatusNoContent)
}

func maxAge(d time.Duration) string { return "max-age=" + strconv.FormatInt(int64(d/time.Second), 10) }
