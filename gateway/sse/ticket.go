package sse

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/front/client"
	"sluice/gateway/session"
)

// A ticket stands for credentials in the one place where an EventSource can put
// them, its URL, and where they end up in logs: it is good for one connect
// within ticketLife, on the node that issued it.
const (
	ticketLife = 30 * time.Second
	// TicketPath is where tickets are issued, below the path of the endpoint.
	TicketPath = "/ticket"

	ticketMethods = "POST, OPTIONS"
)

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
	case !r.page.Allowed:
		s.refuseOrigin(ctx, r)
		return
	}
	r.writeCORS(ctx)
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	defer s.giveBack(r)
	if v := s.admit(ctx, r); v != admitted { // a ticket is half a connect
		s.shedByStatus(ctx, s.delay(r, v))
		return
	}
	if len(ctx.Request.Body()) > 0 {
		if err := r.decode(ctx, s.opt.Limits); err != nil {
			WriteError(ctx, fasthttp.StatusBadRequest, strings.TrimPrefix(err.Error(), "codec: "))
			return
		}
	}
	r.ticket = "" // no ticket for a ticket
	req := session.PlanRequest{MayRequest: true}
	w := &wait{server: s, ctx: ctx}
	if err := s.identify(r, w, &req); err != nil {
		var u *unfit
		if w.refused != admitted {
			s.shedByStatus(ctx, s.delay(r, w.refused))
			return
		}
		if errors.As(err, &u) {
			s.refuseUnfit(ctx, r, u)
			return
		}
		s.explain(ctx, r, err)
		s.logNoTicket(r, err)
		s.refuseTicket(ctx, err)
		return
	}
	req.Headers = s.sessions.RefreshHeaders(r.headers)
	key, full := s.tickets.issue(&req, s.addressKey(ctx), time.Now())
	switch {
	case full:
		WriteError(ctx, fasthttp.StatusServiceUnavailable, "too many tickets wait to be used, try again later")
		return
	case key == "":
		WriteError(ctx, fasthttp.StatusRequestEntityTooLarge, "what the credentials stand for is too large for a ticket")
		return
	}
	ctx.SetContentType("application/json")
	ctx.SetBodyString(`{"ticket":"` + key + `","expires_in":` + strconv.Itoa(int(ticketLife/time.Second)) + "}\n")
}

// addressKey returns whose limits by address a request counts for, 0 if nobody
// knows.
func (s *Server) addressKey(ctx *fasthttp.RequestCtx) uint64 {
	if s.opt.Address == nil {
		return 0
	}
	return uint64(client.KeyOf(s.opt.Address(ctx)))
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
