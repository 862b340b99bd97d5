package sse

import (
	"crypto/rand"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/session"
)

// A ticket stands for credentials in the one place where an EventSource can put
// them, its URL, and where they end up in logs: it is good for one connect
// within ticketLife, on the node that issued it.
const (
	ticketLife = 30 * time.Second
	// maxTickets bounds those that wait to be used.
	maxTickets = 100_000
	// TicketPath is where tickets are issued, below the path of the endpoint.
	TicketPath = "/ticket"
)

// tickets are the identities that were verified and have yet to connect.
type tickets struct {
	// Guarded by mu.
	mu    sync.Mutex
	held  map[string]ticket
	order []string // by age, used ones included
}

type ticket struct {
	id  *auth.Identity
	due time.Time
}

func newTickets() *tickets { return &tickets{held: make(map[string]ticket)} }

// issue returns a ticket for an identity, "" if too many wait.
func (t *tickets) issue(id *auth.Identity, now time.Time) string {
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
	if len(t.order) >= maxTickets {
		return ""
	}
	t.held[key] = ticket{id, now.Add(ticketLife)}
	t.order = append(t.order, key)
	return key
}

// redeem takes a ticket in: it is good once.
func (t *tickets) redeem(key string, now time.Time) (*auth.Identity, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k, ok := t.held[key]
	delete(t.held, key)
	if !ok || !now.Before(k.due) {
		return nil, codec.DisconnectInvalidToken
	}
	return k.id, nil
}

// HandleTicket answers POST to the path of tickets: credentials in, as a connect
// request would bring them, a ticket out.
func (s *Server) HandleTicket(ctx *fasthttp.RequestCtx) {
	r := s.newRequest(ctx)
	switch {
	case ctx.IsOptions():
		s.preflight(ctx, r)
		return
	case !ctx.IsPost():
		ctx.Response.Header.Set(fasthttp.HeaderAllow, "POST, OPTIONS")
		writeError(ctx, fasthttp.StatusMethodNotAllowed, "method not allowed: use POST")
		return
	case !r.originAllowed:
		writeError(ctx, fasthttp.StatusForbidden, "the Origin is not in client.allowed_origins")
		return
	}
	r.writeCORS(ctx)
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	if len(ctx.Request.Body()) == 0 {
		r.connect = &codec.ConnectRequest{}
	} else if err := r.decode(ctx, s.opt.Limits); err != nil {
		writeError(ctx, fasthttp.StatusBadRequest, err.Error())
		return
	}
	r.ticket = "" // no ticket for a ticket
	req := session.PlanRequest{Headers: r.headers}
	if err := s.identify(r, &req); err != nil {
		s.logRefused(err)
		writeError(ctx, fasthttp.StatusUnauthorized, s.opt.Disconnects.of(err).Reason)
		return
	}
	key := s.tickets.issue(req.Identity, time.Now())
	if key == "" {
		writeError(ctx, fasthttp.StatusServiceUnavailable, "too many tickets wait to be used, try again later")
		return
	}
	ctx.SetContentType("application/json")
	ctx.SetBodyString(`{"ticket":"` + key + `","expires_in":` + strconv.Itoa(int(ticketLife/time.Second)) + "}\n")
}
