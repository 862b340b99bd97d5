package sse

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/valyala/fasthttp"

	"sluice/gateway/auth"
	"sluice/gateway/origin"
	"sluice/gateway/reqid"
)

// This file decides which credentials of a request count. Those that a page
// brought itself always do: a token in the connect request, a ticket. What the
// browser or a front added whoever made the request counts only for pages that
// are our own, of our site, or of an origin that is allowed by name: any other
// site can make a browser send it.

// unfit is why a request is refused with a status before anybody was asked who
// makes it.
type unfit struct {
	why, status int
	// what was refused, and remedy for the operator or the author of the page.
	what, remedy string
}

// Error implements error.
func (u *unfit) Error() string { return u.what + ": " + u.remedy }

// from says how a request came here.
func (s *Server) from(ctx *fasthttp.RequestCtx) origin.Front {
	if s.opt.Front != nil {
		return s.opt.Front(ctx)
	}
	return origin.Front{Host: string(ctx.Request.Header.Host())}
}

// credentials copies those of the request that its page may use, and the headers
// for hooks, and notes which it may not.
func (s *Server) credentials(r *request, h *fasthttp.RequestHeader, trusted bool) {
	if s.opt.Hook == nil { // these are the backend's otherwise
		s.tokensOf(r, h)
	}
	for _, name := range s.opt.HookHeaders {
		if strings.EqualFold(name, reqid.Header) {
			// The backend's log shall say what ours says.
			r.headers = append(r.headers, auth.Header{Name: name, Value: r.id.String()})
			continue
		}
		for _, v := range h.PeekAll(name) {
			switch value := string(v); {
			case r.page.Carries(name, value):
				r.headers = append(r.headers, auth.Header{Name: name, Value: value})
			case s.opt.Hook != nil: // the refresh hook alone makes nobody a user
				r.withhold(name)
			}
		}
	}
	if name := s.live.Load().UserIDHeader; name != "" {
		s.userOf(r, name, h.PeekAll(name), trusted)
	}
}

// tokensOf copies the tokens that headers bring.
func (s *Server) tokensOf(r *request, h *fasthttp.RequestHeader) {
	if scheme, token, ok := strings.Cut(string(h.Peek(fasthttp.HeaderAuthorization)), " "); ok && strings.EqualFold(scheme, "bearer") {
		if r.page.Carries(fasthttp.HeaderAuthorization, "Bearer") {
			r.bearer = strings.TrimSpace(token)
		} else {
			r.withhold(fasthttp.HeaderAuthorization)
		}
	}
	if name := s.opt.TokenCookie; name != "" {
		if r.cookie = string(h.Cookie(name)); r.cookie != "" && !r.page.Ambient() {
			r.cookie = ""
			r.withhold(fasthttp.HeaderCookie)
		}
	}
}

func (r *request) withhold(name string) {
	if r.withheld == "" {
		r.withheld = name
	}
}

// userOf takes the user id that a proxy names which authenticates.
func (s *Server) userOf(r *request, name string, values [][]byte, trusted bool) {
	switch {
	case len(values) == 0 || len(values) == 1 && len(values[0]) == 0:
	case !trusted:
		r.userFault = &unfit{
			refusedUser, fasthttp.StatusForbidden, fmt.Sprintf("the header %q comes from a peer that may not say who the user is", name),
			"name the proxy that sets it in http_server.trusted_proxies",
		}
	case len(values) > 1:
		r.userFault = &unfit{
			refusedUser, fasthttp.StatusBadRequest, fmt.Sprintf("the header %q is there %d times", name, len(values)),
			"the proxy must replace what its clients send, not add to it",
		}
	case !r.page.Ambient():
		r.userFault = r.fromElsewhere(name)
	case r.page.Rebindable && !r.page.Secure:
		r.userFault = &unfit{
			refusedSite, fasthttp.StatusForbidden,
			fmt.Sprintf("the header %q says nothing of who asks over plain http by a host name that anybody could make lead here (DNS rebinding)", name),
			"the proxy must say X-Forwarded-Proto: https where it ends TLS, or " + listHost,
		}
	default:
		r.userID = string(values[0])
	}
}

// listHost is the remedy for a host name of our own that might be a stranger's.
const listHost = "add http://HOST:PORT, as the client names it, to client.allowed_origins"

// fromElsewhere says why a request with a header that its page may not use is
// refused, instead of being taken for one of somebody without credentials.
func (r *request) fromElsewhere(name string) *unfit {
	u := &unfit{
		refusedSite, fasthttp.StatusForbidden,
		fmt.Sprintf("the header %q says nothing of who asks, since any other site can make a browser send it (%s)", name, r.page.By),
		"add the origin of the page to client.allowed_origins, without a wildcard that fits everybody, or send the token in the connect request",
	}
	switch {
	case r.page.Silent:
		u.remedy = speakUp + ", or send the token in the connect request or a ticket"
	case r.page.Navigation || r.page.Source == origin.User:
		u.remedy = "open the stream by EventSource or fetch in a page, not as a page, or send the token in the connect request"
	}
	return u
}

// speakUp is the remedy for a page that hides where it comes from: no list of
// origins helps it.
const speakUp = "if the page is yours, use TLS, or give it a Referrer-Policy that names its origin (same-origin, strict-origin)"

// insecureOf refuses pages of other sites where nobody needs credentials: then
// it is the place in the network that lets a browser in.
func (s *Server) insecureOf(r *request) *unfit {
	option := ""
	switch {
	case s.live.Load().Insecure:
		option = "client.insecure"
	case s.opt.Verifier().SkipsSignatures():
		option = "client.insecure_skip_token_signature_verify"
	default:
		return nil
	}
	switch {
	case r.page.Source == origin.Other:
		remedy := "add the origin of the page to client.allowed_origins"
		if r.page.Silent {
			remedy = speakUp
		}
		return &unfit{
			refusedInsecure, fasthttp.StatusForbidden, "with " + option + " pages of other sites are refused (" + r.page.By + ")",
			remedy + ", or switch " + option + " off",
		}
	case r.page.Rebindable:
		return &unfit{
			refusedInsecure, fasthttp.StatusForbidden,
			"with " + option + " requests are refused that may be of a page whose host name anybody could make lead here (DNS rebinding)",
			"connect by an address or as localhost, or over TLS that ends here, or " + listHost + ", or switch " + option + " off",
		}
	}
	return nil
}

// refuseUnfit answers with the status, and tells the log at a rate that strangers
// cannot drive.
func (s *Server) refuseUnfit(ctx *fasthttp.RequestCtx, r *request, u *unfit) {
	s.refused[u.why].Add(1)
	s.warnRefused(r, refusalNames[u.why], u.what, u.remedy)
	WriteError(ctx, u.status, u.Error())
}

// refuseOrigin answers a page of an origin that is not allowed.
func (s *Server) refuseOrigin(ctx *fasthttp.RequestCtx, r *request) {
	s.noteRefused(r, refusedOrigin, nil)
	if s.opt.TellOrigins {
		s.warnRefused(r, refusalNames[refusedOrigin], "the "+r.page.By+" is not in client.allowed_origins", originRemedy(ctx))
	}
	WriteError(ctx, fasthttp.StatusForbidden, "the "+r.page.By+" is not in client.allowed_origins: add it there; "+
		"if it is the address of this server itself, the proxy in front must pass Host on, or be in http_server.trusted_proxies and send X-Forwarded-Host")
}

// originRemedy says how a development server would let the page in. A stranger
// wrote the origin, and people paste what they read.
func originRemedy(ctx *fasthttp.RequestCtx) string {
	const option = "client.allowed_origins"
	if value := string(ctx.Request.Header.Peek(fasthttp.HeaderOrigin)); origin.Plain(value) {
		return "if the page is yours, start with --" + option + " '" + value + "'"
	}
	return "if the page is yours, add its origin to " + option
}

// warnRefused logs a refusal that the operator may want to know of. The log
// limits what it takes of one message and reason (gateway.limitedHandler).
func (s *Server) warnRefused(r *request, reason, what, remedy string) {
	attrs := append(r.attrs(reason), slog.String("detail", what), slog.String("remedy", remedy))
	s.opt.Log.LogAttrs(context.Background(), slog.LevelWarn, "connect refused", attrs...)
}
