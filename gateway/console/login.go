package console

import (
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

// This file is logging in and out. A failed login tells nobody, the log included, what was
// tried.

// Names of those who logged in with a password.
const (
	whoAdmin  = "admin"
	whoViewer = "viewer"
)

// loggedIn is the answer of a login.
type loggedIn struct {
	Who       string `json:"who"`
	Role      string `json:"role"`
	ExpiresAt int64  `json:"expires_at"` // Unix milliseconds, 0 for never
}

func (r *request) loggedIn() loggedIn {
	in := loggedIn{Who: r.session.Who, Role: r.session.Role}
	if !r.session.Expires.IsZero() {
		in.ExpiresAt = r.session.Expires.UnixMilli()
	}
	return in
}

// login answers POST P/login.
func (s *Server) login(r *request) {
	var body struct {
		Password string `json:"password"`
		Token    string `json:"token"`
	}
	if s.opt.Insecure {
		sendJSON(r.ctx, fasthttp.StatusOK, r.loggedIn())
		return
	}
	if !r.readBody(&body) {
		return
	}
	ok := false
	if body.Token != "" {
		ok = s.byToken(r, body.Token)
	} else {
		ok = s.byPassword(r, body.Password)
	}
	if !ok {
		return
	}
	s.setCookie(r, s.live.Load().token(r.session), time.Until(r.session.Expires))
	sendJSON(r.ctx, fasthttp.StatusOK, r.loggedIn())
}

// authForm answers POST P/auth, as the reference does: a form with the password in, a token
// for Authorization out. It sets no cookie.
func (s *Server) authForm(r *request) {
	var out struct {
		Token string `json:"token"`
	}
	if s.opt.Insecure {
		out.Token = "insecure"
		sendJSON(r.ctx, fasthttp.StatusOK, out)
		return
	}
	if !s.byPassword(r, string(r.ctx.PostArgs().Peek("password"))) {
		return
	}
	out.Token = s.live.Load().token(r.session)
	sendJSON(r.ctx, fasthttp.StatusOK, out)
}

// byPassword begins a session of whoever knows a password, or answers that nobody does.
func (s *Server) byPassword(r *request, password string) bool {
	from := s.address(r)
	if wait := s.throttle.try(from); wait > 0 {
		seconds := int64((wait + time.Second - 1) / time.Second)
		if n, ok := s.tellRefused.tell(time.Now()); ok {
			s.opt.Log.Warn("console: too many logins failed, others are refused for now", "address", addressText(from), "retry_after_s", seconds, "not_logged", n)
		}
		r.ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, strconv.FormatInt(seconds, 10))
		sendJSON(r.ctx, fasthttp.StatusTooManyRequests, failure{Error: "too many logins failed: try again later", RetryAfterS: seconds})
		return false
	}
	live := s.live.Load()
	role := live.roleOf(password)
	if role == "" {
		s.refuseLogin(r, withPassword)
		return false
	}
	s.throttle.passed(from, role == RoleAdmin)
	who, now := whoAdmin, time.Now()
	if role == RoleViewer {
		who = whoViewer
	}
	r.session = live.begin(who, role, now, now.Add(SessionMost))
	s.audit(r, actionLogin)
	return true
}

// byToken begins a session of whoever has a login token, or answers that it is none. Nobody
// guesses one, so trying is not held up: it is the way in while passwords are tried.
func (s *Server) byToken(r *request, token string) bool {
	live, now := s.live.Load(), time.Now()
	c, err := live.login(token, now)
	if err != nil {
		s.refuseLogin(r, withToken)
		return false
	}
	r.session = live.begin(c.Subject, c.Role, now, c.ExpiresAt.Time)
	s.audit(r, actionLogin)
	return true
}

// refuseLogin answers a login with what nobody knows. Tries of passwords are few enough for
// a line each.
func (s *Server) refuseLogin(r *request, with string) {
	n, ok := 0, true
	if with == withToken {
		n, ok = s.tellToken.tell(time.Now())
	}
	if ok {
		s.opt.Log.Warn("console: a login failed", "address", addressText(s.address(r)), "with", with, "not_logged", n)
	}
	text := "this password is not right"
	if with == withToken {
		text = "this token is not right, or has expired: ask for a new one"
	}
	sendError(r.ctx, fasthttp.StatusUnauthorized, text)
}

// What somebody logs in with.
const (
	withPassword = "password"
	withToken    = "token"
)

// initial answers GET P/init.
func (s *Server) initial(r *request) {
	sendJSON(r.ctx, fasthttp.StatusOK, struct {
		Insecure bool `json:"insecure"`
	}{s.opt.Insecure})
}

// logout answers POST P/logout: the session is over, wherever it is written down.
func (s *Server) logout(r *request) {
	if !s.opt.Insecure {
		s.revokedOf(r.session).add(r.session, time.Now())
		s.opt.Streams.Cut(r.session.Who)
		s.setCookie(r, "", -1)
	}
	s.audit(r, actionLogout)
	r.ctx.SetStatusCode(fasthttp.StatusNoContent)
}

// me answers GET P/me.
func (s *Server) me(r *request) {
	sendJSON(r.ctx, fasthttp.StatusOK, struct {
		loggedIn
		About
		Insecure bool `json:"insecure"`
	}{r.loggedIn(), s.opt.About(), s.opt.Insecure})
}
