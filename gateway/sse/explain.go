package sse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/channel"
	"sluice/gateway/session"
)

// Codes 3500 and 3501 end a client for good, and mostly mean that something is
// configured wrong, here or in the backend. So they are logged at any level, with
// what was missing and the remedy. Anybody can cause them: the log lets one record
// with a remedy pass in a second for each reason (gateway.limitedHandler), and the
// reasons are constants. No token, ticket or secret is in them.

var (
	errNoCredentials = fmt.Errorf("sse: nobody may connect without a token: %w", codec.DisconnectBadRequest)
	// errHook is what a connect hook said.
	errHook = errors.New("sse: the connect hook refused")
)

// explain tells the log why the client is told not to come back, if it is.
func (s *Server) explain(ctx *fasthttp.RequestCtx, r *request, err error) {
	code := s.opt.Disconnects.of(err).Code
	if code != codec.DisconnectInvalidToken.Code && code != codec.DisconnectBadRequest.Code {
		return
	}
	reason, detail, remedy := s.explanation(ctx, r, err)
	if !r.peer.IsValid() && s.opt.Address != nil {
		r.peer = s.opt.Address(ctx)
	}
	s.opt.Log.LogAttrs(context.Background(), slog.LevelWarn, "a client was told not to come back", append(r.attrs(reason),
		slog.Uint64("code", uint64(code)), slog.String("detail", detail), slog.String("remedy", remedy))...)
}

// explanation returns for what reason a connect failed, by a name of ours, what
// was wrong, and what to do about it.
func (s *Server) explanation(ctx *fasthttp.RequestCtx, r *request, err error) (reason, detail, remedy string) {
	var place *session.ChannelError
	var long *channel.TooLongError
	switch {
	case errors.Is(err, errNoCredentials):
		return s.noCredentials(ctx, r)
	case errors.Is(err, errTicket):
		return "ticket", errTicket.Error(), "a ticket is good once, within 30 s, on the node that issued it: fetch a new one for each connect"
	case errors.Is(err, errHook):
		return "hook", err.Error(), "the log of the backend (client.proxy.connect.endpoint) says why"
	case errors.As(err, &long):
		return "channel_too_long", err.Error(), "use shorter names, or raise channel.server_max_length"
	case errors.As(err, &place):
		return "unknown_namespace", err.Error(), "add the part before the boundary (channel.namespace_boundary) to channel.namespaces, or subscribe to another channel"
	}
	reason, remedy = auth.Remedy(err)
	return reason, err.Error(), remedy
}

// tokenNames are parameters of the URL in which people put a token that is not
// looked for there.
var tokenNames = []string{"token", "access_token", "jwt", "authorization"}

// noCredentials says what of the places for a token was there, and with nothing in
// it: names only.
func (s *Server) noCredentials(ctx *fasthttp.RequestCtx, r *request) (reason, detail, remedy string) {
	missing := []string{"no token in the connect request"}
	if s.opt.Hook != nil {
		missing = append(missing, "no user in the answer of the connect hook")
	} else if len(ctx.Request.Header.Peek(fasthttp.HeaderAuthorization)) > 0 {
		missing = append(missing, "no JWT in the header Authorization (Bearer expected)")
	}
	if name := s.opt.TokenCookie; name != "" && s.opt.Hook == nil {
		missing = append(missing, fmt.Sprintf("none in the cookie %q", name))
	}
	if name := s.live.Load().UserIDHeader; name != "" {
		missing = append(missing, fmt.Sprintf("no user in the header %q", name))
	}
	remedy = `send {"token":"<JWT>"} as cf_connect (sluice gentoken makes one), or let clients in without: client.allow_anonymous_connect_without_token`
	for _, name := range tokenNames {
		if ctx.QueryArgs().Has(name) {
			remedy = fmt.Sprintf("the parameter %q of the URL is not read: ", name) + remedy
			break
		}
	}
	return "no_credentials", strings.Join(missing, ", "), remedy
}
