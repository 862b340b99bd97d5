package sse

import (
	"bytes"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/time/rate"

	"sluice/codec"
	"sluice/gateway/tally"
)

// verdict is what the limits say of a connect, before anything costly is done
// for it.
type verdict uint8

const (
	admitted     verdict = iota
	overNode             // over a limit of all, or the node stops
	overOwn              // over a limit of its address
	overWaits            // too many wait for hooks or keys
	overOwnWaits         // too many of its address do
)

// admit asks the limits. An address that it reserved is noted in the request,
// whose handler gives it back unless a plan took it over.
//
// The address comes before the rate of all: what one client is refused must not
// cost the others.
func (s *Server) admit(ctx *fasthttp.RequestCtx, r *request) verdict {
	if s.draining.Load() {
		return overNode
	}
	if s.sessions.Full() {
		s.tellFull()
		return overNode
	}
	if s.opt.Address != nil && s.sessions.LimitsAddresses() {
		// A zone is of this machine, and the other form of an IPv4
		// address is the same one.
		if addr := s.opt.Address(ctx).Unmap().WithZone(""); addr.IsValid() && !addr.IsUnspecified() {
			if !s.sessions.ReserveAddress(addr) {
				s.tellAddress(addr)
				return overOwn
			}
			r.address = addr
		}
	}
	if limit := s.live.Load().rate; limit != nil && !limit.allow() {
		s.tellRate()
		return overNode
	}
	return admitted
}

// connectRate lets so many connects through per second.
//
// Why the lock around a limiter that has one: it goes back to the time of a
// caller that was held up since it read the clock, and gives out what lies in
// between once more, up to a whole burst. Here the clock is read in order.
type connectRate struct {
	// Guarded by mu.
	mu      sync.Mutex
	limiter *rate.Limiter
}

// newConnectRate allows n per second, and n at once.
func newConnectRate(n int) *connectRate {
	return &connectRate{limiter: rate.NewLimiter(rate.Limit(n), n)}
}

func (c *connectRate) allow() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.limiter.AllowN(time.Now(), 1)
}

// giveBack releases the address that admit reserved, if nobody else owns it.
func (s *Server) giveBack(r *request) {
	if r.address.IsValid() {
		s.sessions.ReleaseAddress(r.address)
		r.address = netip.Addr{}
	}
}

// shed turns a connect away for now, and says when to come back.
//
// An EventSource ends for good on any status but 200, so it is given a stream
// that ends at once and says in a retry line how long to wait. Everybody else,
// and everybody if Options.ShedByStatus is set, gets 503 with Retry-After.
//
// The status is answered without CORS headers, as PROTOCOL 1.4 has it: a page of
// another origin sees a failed request either way. The stream must have them, or
// the browser would take it for a failure that is final.
func (s *Server) shed(ctx *fasthttp.RequestCtx, r *request, v verdict) {
	wait := s.delay(r, v)
	if s.opt.ShedByStatus || !ctx.IsGet() || !r.page.Allowed || !wantsEvents(&ctx.Request.Header) {
		s.shedByStatus(ctx, wait)
		return
	}
	r.writeCORS(ctx)
	h := &ctx.Response.Header
	h.SetContentType("text/event-stream; charset=utf-8")
	h.Set(fasthttp.HeaderCacheControl, "private, no-cache, no-store, no-transform, must-revalidate, max-age=0")
	h.Set("X-Accel-Buffering", "no")
	ctx.SetConnectionClose()
	ctx.SetBody(append(codec.AppendRetry(nil, wait), '\n')) // no event, but the end of one
}

// delay counts a client that is turned away, and returns how long it shall wait.
func (s *Server) delay(r *request, v verdict) time.Duration {
	s.sheds.Add(1)
	delays := s.live.Load().delays
	s.noteRefused(r, verdictReasons[v], nil)
	if v == overOwn || v == overOwnWaits {
		return delays.random(time.Now())
	}
	return delays.slot(time.Now())
}

// shedByStatus answers 503 with Retry-After (RFC 9110 section 10.2.3), and
// without a body as PROTOCOL 1.4 has it.
func (s *Server) shedByStatus(ctx *fasthttp.RequestCtx, wait time.Duration) {
	seconds := (wait + time.Second - 1) / time.Second
	ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, strconv.FormatInt(int64(seconds), 10))
	ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
}

// wantsEvents reports whether the client says that it reads an event stream.
// Native EventSources do, and so do the libraries that imitate them, with an
// Authorization header too: they treat other statuses as final just the same.
func wantsEvents(h *fasthttp.RequestHeader) bool {
	for _, list := range h.PeekAll(fasthttp.HeaderAccept) {
		for kind := range bytes.SplitSeq(list, []byte(",")) {
			kind, _, _ = bytes.Cut(kind, []byte(";"))
			if bytes.EqualFold(bytes.TrimSpace(kind), []byte("text/event-stream")) {
				return true
			}
		}
	}
	return false
}

// Drain turns every connect away from here on. Any goroutine.
func (s *Server) Drain() { s.draining.Store(true) }

// Stats are the counters of the endpoint since its start.
type Stats struct {
	Admitted uint64 // connects that passed the limits
	Shed     uint64 // connects turned away for now
	// Refused are connects that no session was asked about, those that were
	// shed included, by reason.
	Refused map[string]uint64
	// Took is from the request of a connect to the queueing of its connect
	// push or of its refusal, if it got so far.
	Took    tally.Durations
	Tickets TicketStats
}

// Why no session was asked.
const (
	refusedNode     = iota // over a limit of the node
	refusedAddress         // over a limit of its address
	refusedMethod          // neither GET nor POST
	refusedOrigin          // not in client.allowed_origins
	refusedRequest         // no connect request
	refusedSite            // a page of another site, with credentials that it did not bring
	refusedUser            // client.user_id_http_header of nobody who may set it, or twice
	refusedInsecure        // a page of another site, and nobody needs credentials
	refusedReturn          // told a terminal code before, with uni_sse.terminal_status
	refusedDetached        // its connection cannot be streamed to
	refusedWaits           // too many wait for hooks or keys
	refusedOwnWaits        // too many of its address do
	refusals
)

// verdictReasons are why those are turned away that are not admitted.
var verdictReasons = [...]int{
	overNode: refusedNode, overOwn: refusedAddress, overWaits: refusedWaits, overOwnWaits: refusedOwnWaits,
}

var refusalNames = [refusals]string{"node_limit", "address_limit", "method", "origin", "malformed", "cross_site", "user_header", "insecure", "terminal_return", "not_detached", "waiting_memory", "address_waiting"}

// Stats returns the counters. Any goroutine.
func (s *Server) Stats() Stats {
	st := Stats{
		Admitted: s.admits.Load(), Shed: s.sheds.Load(), Refused: make(map[string]uint64, refusals), Took: s.taker.Took(),
		Tickets: s.tickets.stats(),
	}
	for i := range s.refused {
		st.Refused[refusalNames[i]] = s.refused[i].Load()
	}
	st.Refused[refusalNames[refusedDetached]] = s.taker.Undetached()
	return st
}
