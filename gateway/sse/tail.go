package sse

import (
	"errors"
	"net/netip"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/gateway/auth"
	"sluice/gateway/session"
)

// Tail is a stream for somebody whom the caller knows: of channels whatever their namespaces
// allow to clients, and without being seen in them.
type Tail struct {
	User     string
	Channels []string // their names differ, and none is empty
	// For is how long the stream lasts at most; 0 for ever.
	For time.Duration
}

// Tail answers a request with a stream, which counts as one and resumes from a Last-Event-ID,
// or with a status and one line of JSON that says why there is none. No hook is asked and no
// credential of the request is looked at. Nobody else's page can read the answer.
func (s *Server) Tail(ctx *fasthttp.RequestCtx, t *Tail) {
	r := s.newRequest(ctx)
	defer r.echo(ctx)
	defer s.giveBack(r)
	if v := s.admit(ctx, r); v != admitted {
		s.shedByStatus(ctx, s.delay(r, v))
		return
	}
	s.admits.Add(1)
	r.args, r.headers, r.origin, r.askedHeaders = nil, nil, "", ""
	r.date = ctx.Time()
	id := &auth.Identity{User: t.User}
	for _, ch := range t.Channels {
		id.Subs = append(id.Subs, auth.SubGrant{Channel: ch, Override: auth.Override{Presence: auth.Off, JoinLeave: auth.Off}})
	}
	req := session.PlanRequest{Identity: id, Kind: session.Named, Address: r.address, Memory: &r.memory}
	if s.opt.LastEventID {
		req.Cursor, req.Lost = r.lastIDs.cursor()
	}
	plan, err := s.sessions.Plan(&req)
	if err != nil {
		s.refuseTail(ctx, r, err)
		return
	}
	r.address = netip.Addr{} // the plan's from here on
	r.offer, r.bounds.duration = plan.Offer(), t.For
	s.hijack(ctx, r, plan, nil)
}

// refuseTail says why there is no stream.
func (s *Server) refuseTail(ctx *fasthttp.RequestCtx, r *request, err error) {
	var place *session.ChannelError
	switch {
	case errors.Is(err, session.ErrFull):
		s.shedByStatus(ctx, s.delay(r, overNode))
	case errors.As(err, &place):
		s.noteRefused(r, refusedRequest, err)
		WriteError(ctx, fasthttp.StatusNotFound, "a channel of a namespace that there is expected, with a name that is not too long")
	default:
		s.noteRefused(r, refusedRequest, err)
		WriteError(ctx, fasthttp.StatusServiceUnavailable, s.opt.Disconnects.of(err).Reason)
	}
}
