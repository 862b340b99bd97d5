package sse

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/session"
)

// A ticket stands for credentials in the one place where an EventSource can put
// them, its URL, and where they end up in logs: it is good for one connect
// within ticketLife, on the node that issued it.
const (
	ticketLife = 30 * time.Second
	// maxTickets bounds those that wait to be used.
	maxTickets = 100_000
	// minSwept is how many used ones are not worth a sweep.
	minSwept = 1024
	// TicketPath is where tickets are issued, below the path of the endpoint.
	TicketPath = "/ticket"

	ticketMethods = "POST, OPTIONS"
)

// tickets are the identities that were verified and have yet to connect.
type tickets struct {
	// Guarded by mu.
	mu    sync.Mutex
	held  map[string]ticket
	order []string // by age, with some of those that were used
}

// ticket is what the credentials were good for.
type ticket struct {
	// plan has what identify found out, and the headers that a refresh hook
	// will need: those of the request that brought the credentials.
	plan session.PlanRequest
	due  time.Time // on the monotonic clock: it is for a span, not until a date
}

func newTickets() *tickets { return &tickets{held: make(map[string]ticket)} }

// issue returns a ticket for an identified plan, "" if too many wait.
func (t *tickets) issue(plan *session.PlanRequest, now time.Time) string {
	key := rand.Text()
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.order) > 0 {
		oldest, ok := t.held[t.order[0]]
		if ok && now.Before(oldest.due) {
			break
		}
		delete(t.held, t.order[0])
		t.order = t.order[1:]
	}
	if len(t.held) >= maxTickets {
		return ""
	}
	if len(t.order) > 2*len(t.held)+minSwept {
		t.order = slices.DeleteFunc(t.order, func(k string) bool { _, ok := t.held[k]; return !ok })
	}
	t.held[key] = ticket{*plan, now.Add(ticketLife)}
	t.order = append(t.order, key)
	return key
}

// redeem takes a ticket in and adds what it stands for to plan: it is good once.
func (t *tickets) redeem(key string, plan *session.PlanRequest, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	k, ok := t.held[key]
	delete(t.held, key)
	if !ok || !now.Before(k.due) {
		return errTicket
	}
	plan.Identity, plan.Client, plan.Headers = k.plan.Identity, k.plan.Client, k.plan.Headers
	plan.Data, plan.MayRequest = k.plan.Data, k.plan.MayRequest
	return nil
}

var errTicket = fmt.Errorf("sse: ticket: unknown, used already or too old: %w", codec.DisconnectInvalidToken)

// HandleTicket answers POST to the path of tickets: credentials in, as a connect
// request would bring them, a ticket out.
func (s *Server) HandleTicket(ctx *fasthttp.RequestCtx) {
	r := s.newRequest(ctx)
	defer r.id.Echo(&ctx.Response.Header)
	switch {
	case ctx.IsOptions():
		s.preflight(ctx, r, ticketMethods)
		return
	case !ctx.IsPost():
		ctx.Response.Header.Set(fasthttp.HeaderAllow, ticketMethods)
		WriteError(ctx, fasthttp.StatusMethodNotAllowed, "method not allowed: use POST")
		return
	case !r.originAllowed:
		WriteError(ctx, fasthttp.StatusForbidden, "the Origin is not in client.allowed_origins")
		return
	}
	r.writeCORS(ctx)
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	defer s.giveBack(r)
	if v := s.admit(ctx, r); v != admitted { // a ticket is half a connect
		s.shedByStatus(ctx, s.delay(r, v))
		return
	}
	if len(ctx.Request.Body()) == 0 {
		r.connect = &codec.ConnectRequest{}
	} else if err := r.decode(ctx, s.opt.Limits); err != nil {
		WriteError(ctx, fasthttp.StatusBadRequest, strings.TrimPrefix(err.Error(), "codec: "))
		return
	}
	r.ticket = "" // no ticket for a ticket
	req := session.PlanRequest{MayRequest: true}
	if err := s.identify(r, &req); err != nil {
		s.logNoTicket(r, err)
		s.refuseTicket(ctx, err)
		return
	}
	req.Headers = s.sessions.RefreshHeaders(r.headers)
	key := s.tickets.issue(&req, time.Now())
	if key == "" {
		WriteError(ctx, fasthttp.StatusServiceUnavailable, "too many tickets wait to be used, try again later")
		return
	}
	ctx.SetContentType("application/json")
	ctx.SetBodyString(`{"ticket":"` + key + `","expires_in":` + strconv.Itoa(int(ticketLife/time.Second)) + "}\n")
}

// refuseTicket says why there is no ticket. That nobody could tell who asks, as
// when the key server or the backend is down, is not the client's fault.
func (s *Server) refuseTicket(ctx *fasthttp.RequestCtx, err error) {
	d := s.opt.Disconnects.of(err)
	if unknowable(err) {
		WriteError(ctx, fasthttp.StatusServiceUnavailable, d.Reason)
		return
	}
	ctx.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, "Bearer")
	WriteError(ctx, fasthttp.StatusUnauthorized, d.Reason)
}

// unknowable reports whether a connect failed without anybody having refused it.
func unknowable(err error) bool {
	var d *codec.Disconnect
	var e *codec.Error
	switch {
	case errors.As(err, &d):
		return d.Code == codec.DisconnectServerError.Code
	case errors.As(err, &e):
		return e.Code == codec.ErrInternal.Code || e.Code == codec.ErrTooManyRequests.Code
	}
	return true
}
