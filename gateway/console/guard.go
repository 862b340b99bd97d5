package console

import (
	"bytes"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/gateway/origin"
)

// This file decides who a request is of, and whether the page behind it is one of ours.

const (
	// plainCookie is what the cookie is named over plain http. Over TLS it has the prefix
	// that keeps pages of plain http from setting it.
	plainCookie  = "sluice_console"
	secureCookie = "__Secure-" + plainCookie
	// anyCookie asks for either, where nobody knows yet how a request came.
	anyCookie = ""

	// ownHeader is sent by the pages: no other page can without asking first, which nobody
	// answers.
	ownHeader = "X-Sluice-Console"
)

// cookieName returns that of a request.
func cookieName(from origin.Front) string {
	if from.TLS || from.Scheme == "https" {
		return secureCookie
	}
	return plainCookie
}

// everybody is who is logged in where nobody has to.
var everybody = session{Who: "everybody", Role: RoleAdmin}

// identify finds out who is logged in.
func (s *Server) identify(r *request) {
	if s.opt.Insecure {
		r.session = &everybody
		return
	}
	r.session, r.byHeader = s.sessionOf(&r.ctx.Request.Header, cookieName(r.from))
}

// sessionOf returns the session of a request, by its Authorization or else by the cookie of
// that name; nil if there is none that is in force. Of two cookies nobody knows which was
// set by us, and which by a neighbour of our name: neither counts.
func (s *Server) sessionOf(h *fasthttp.RequestHeader, cookie string) (found *session, byHeader bool) {
	token, byHeader := bearer(h)
	if !byHeader {
		n := 0
		eachCookie(h, func(name, value string) {
			if name == cookie || cookie == anyCookie && isOurs(name) {
				token, n = value, n+1
			}
		})
		if n == 0 || n > 1 && cookie != anyCookie {
			return nil, false
		}
	}
	found = s.live.Load().session(token, time.Now())
	if found != nil && s.revokedOf(found).has(found) {
		found = nil
	}
	return found, byHeader
}

// revokedOf returns where a session is if it was logged out. Each role has a table of its own:
// where one is full the oldest sessions end with those that it forgets, and those of admins
// not by what viewers do.
func (s *Server) revokedOf(of *session) *revoked {
	if of.Role == RoleAdmin {
		return &s.revokedAdmins
	}
	return &s.revokedViewers
}

// bearer returns the token of Authorization, of either scheme; ok: there is such a header.
func bearer(h *fasthttp.RequestHeader) (token string, ok bool) {
	lines := h.PeekAll(fasthttp.HeaderAuthorization)
	if len(lines) == 0 {
		return "", false
	}
	scheme, token, _ := strings.Cut(string(lines[0]), " ")
	if len(lines) > 1 || !strings.EqualFold(scheme, "token") && !strings.EqualFold(scheme, "bearer") {
		return "", true
	}
	return strings.TrimSpace(token), true
}

func isOurs(cookie string) bool { return cookie == plainCookie || cookie == secureCookie }

// eachCookie calls f with the cookies of a request. Why not fasthttp's: that changes how
// others read them.
func eachCookie(h *fasthttp.RequestHeader, f func(name, value string)) {
	for _, line := range h.PeekAll(fasthttp.HeaderCookie) {
		for pair := range bytes.SplitSeq(line, []byte(";")) {
			name, value, _ := bytes.Cut(bytes.TrimSpace(pair), []byte("="))
			f(string(bytes.TrimSpace(name)), string(bytes.TrimSpace(value)))
		}
	}
}

// Strip takes what the console is logged in with out of a request, before others read it.
func Strip(h *fasthttp.RequestHeader) {
	var rest []string
	ours := false
	eachCookie(h, func(name, value string) {
		switch {
		case isOurs(name):
			ours = true
		case value != "":
			rest = append(rest, name+"="+value)
		case name != "":
			rest = append(rest, name)
		}
	})
	if !ours {
		return
	}
	h.Del(fasthttp.HeaderCookie)
	if len(rest) > 0 {
		h.Set(fasthttp.HeaderCookie, strings.Join(rest, "; "))
	}
}

// ownPages allows no pages but those of the console's own origin.
var ownPages = func() *origin.List {
	l, err := origin.NewList(nil)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return l
}()

// foreign says why a request is not, or may not be, of a page of ours or of a program; "" if
// it is.
//
// What changes something needs more than a cookie: an Origin of ours where a browser names
// one, and besides, see unmarked, a header and a content type that pages of other sites cannot
// send. Who brought Authorization wrote it himself. Where nobody has to log in, the name in the
// address must be one that nobody else can have lead here.
func (s *Server) foreign(r *request, e *endpoint) string {
	h := &r.ctx.Request.Header
	page := ownPages.Judge(h, r.from)
	changes := e.method != fasthttp.MethodGet
	switch {
	case page.Source == origin.None, page.Source == origin.User, page.Source == origin.Own:
	case page.Silent && (!changes || len(h.Peek(ownHeader)) > 0):
	default:
		return "this is for the pages of the console's own address, and for programs (" + page.By + ")"
	}
	if s.opt.Insecure && page.Rebindable {
		return "without a login (admin.insecure) the console is not for a host name that anybody could make lead here (DNS rebinding): " +
			"use an address, localhost or TLS, or set admin.password"
	}
	return ""
}

// unmarked says what a request lacks that only pages of ours and programs send; "" for
// nothing.
func (s *Server) unmarked(r *request, e *endpoint) string {
	h := &r.ctx.Request.Header
	switch {
	case e.method == fasthttp.MethodGet, e.script, r.byHeader:
	case string(h.Peek(ownHeader)) != "1":
		return "the header " + ownHeader + ": 1 expected, which pages of other sites cannot send"
	case !isJSON(h.ContentType()):
		return "the Content-Type application/json expected, which forms of other sites cannot send"
	}
	return ""
}

func isJSON(contentType []byte) bool {
	kind, _, _ := bytes.Cut(contentType, []byte(";"))
	return bytes.EqualFold(bytes.TrimSpace(kind), []byte("application/json"))
}

// renewAfter is the part of a session's lifetime after which use renews it.
const renewAfter = 8

// renew gives somebody whose session came by cookie a later one. What a program has it has
// written down, and cannot be changed there.
func (s *Server) renew(r *request) {
	if r.session == nil || r.byHeader || s.opt.Insecure {
		return
	}
	live, now := s.live.Load(), time.Now()
	if now.Sub(r.session.Issued) < live.lifetime/renewAfter {
		return
	}
	if live.extend(r.session, now); s.revokedOf(r.session).has(r.session) {
		return
	}
	s.setCookie(r, live.token(r.session), time.Until(r.session.Expires))
}

// setCookie sets the cookie of the session for so long, or removes it.
func (s *Server) setCookie(r *request, value string, age time.Duration) {
	c := fasthttp.AcquireCookie()
	defer fasthttp.ReleaseCookie(c)
	c.SetKey(cookieName(r.from))
	c.SetValue(value)
	c.SetPath(s.opt.Prefix)
	if s.opt.Prefix == "" {
		c.SetPath("/")
	}
	c.SetHTTPOnly(true)
	c.SetSameSite(fasthttp.CookieSameSiteStrictMode)
	c.SetSecure(cookieName(r.from) == secureCookie)
	if c.SetMaxAge(int(age / time.Second)); age <= 0 {
		c.SetExpire(fasthttp.CookieExpireDelete)
	}
	r.ctx.Response.Header.SetCookie(c)
}
