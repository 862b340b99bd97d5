package sse

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/session"
)

// plan works out who connects and what they get. The error wraps a
// *codec.Error or a *codec.Disconnect, or is a failure of ours.
func (s *Server) plan(r *request, w *wait) (*session.Plan, error) {
	req := session.PlanRequest{
		Requested: r.connect.Subs, MayRequest: true, Personal: true, Headers: r.headers,
		Kind:    session.KindOf(r.connect.Name, r.connect.Version),
		Address: r.address, Memory: &r.memory,
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
		req.Identity, err = s.opt.Verifier().VerifyConnectWaits(token, w.now(), w)
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
		req.Identity = anonymous
	case r.userFault != nil:
		return r.userFault
	case r.userID != "":
		req.Identity = &auth.Identity{User: r.userID}
	default:
		return errNoCredentials
	}
	return nil
}

// anonymous is who says nothing. Nobody writes to it.
var anonymous = &auth.Identity{}

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
