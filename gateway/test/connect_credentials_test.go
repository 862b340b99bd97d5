package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// This file is about credentials outside the connect request, tickets above all,
// and about refusals that make clients stop.

func TestTokenInAuthorizationOrCookie(t *testing.T) {
	s := startStrict(t, parts{client: withSecret + `, "token_cookie": "session"`}, nil)
	a, b, c := tokenOf(t, "body", nil), tokenOf(t, "bearer", nil), tokenOf(t, "cookie", nil)
	bearer := func(v string) [2]string { return [2]string{"Authorization", v} }
	cookie := func(v string) [2]string { return [2]string{"Cookie", v} }
	f := func(name, user, token string, headers ...[2]string) {
		t.Helper()
		s.connects(t, name, user, testkit.ConnectOptions{Token: token, HTTPHeaders: headers})
	}
	f("bearer", "bearer", "", bearer("Bearer "+b))
	f("scheme in any case", "bearer", "", bearer("bEARER   "+b+" "))
	f("cookie", "cookie", "", cookie("a=b; session="+c+"; c=d"))
	f("bearer before cookie", "bearer", "", bearer("Bearer "+b), cookie("session="+c))
	f("request before both", "body", a, bearer("Bearer "+b), cookie("session="+c))
	f("another scheme is no token", "cookie", "", bearer("Basic "+b), cookie("session="+c))
	f("what is no JWT is somebody else's", "cookie", "", bearer("Bearer opaque"), cookie("session="+c))
	f("another cookie beside", "bearer", "", bearer("Bearer "+b), cookie("Session=x"))
	no := func(name string, code uint32, token string, headers ...[2]string) {
		t.Helper()
		s.refused(t, name, code, testkit.ConnectOptions{Token: token, HTTPHeaders: headers})
	}
	no("nothing", 3501, "")
	no("empty bearer and cookie", 3501, "", bearer("Bearer "), cookie("session="))
	no("the name of the cookie counts", 3501, "", cookie("sessions="+c))
	no("bad bearer is not passed over", 3500, "", bearer("Bearer a.b.c"), cookie("session="+c))
	no("bad token is not passed over", 3500, "bad", bearer("Bearer "+b))

	s.connects(t, "with a POST", "bearer", testkit.ConnectOptions{Method: "POST", HTTPHeaders: [][2]string{bearer("Bearer " + b)}})
}

func TestAuthorizationAndCookieAreTheHooksBusiness(t *testing.T) {
	b := newBackend(t)
	b.say(`{"result":{"user":"hooked","channels":["who:x"]}}`)
	s := startStrict(t, parts{client: withSecret + `, "token_cookie": "session"` +
		b.connectHook(`, "http_headers": ["Authorization", "Cookie"]`)}, nil)
	headers := [][2]string{{"Authorization", "Bearer bad"}, {"Cookie", "session=bad"}}
	s.connects(t, "hook", "hooked", testkit.ConnectOptions{HTTPHeaders: headers})
	call := b.last(t)
	require.Equal(t, "Bearer bad", call.head.Get("Authorization"))
	require.Equal(t, "session=bad", call.head.Get("Cookie"))
	s.connects(t, "token", "t", testkit.ConnectOptions{Token: tokenOf(t, "t", nil), HTTPHeaders: headers})
}

const ticketPath = testkit.DefaultPath + "/ticket"

// ticketFor returns a ticket for the credentials of a request.
func (s *server) ticketFor(t *testing.T, body string, headers ...[2]string) string {
	t.Helper()
	ticket, err := s.tryTicket(t, body, headers...)
	require.NoError(t, err)
	return ticket
}

// tryTicket is ticketFor for credentials that may have expired.
func (s *server) tryTicket(t *testing.T, body string, headers ...[2]string) (string, error) {
	t.Helper()
	head, text := testkit.RoundTrip(t, s.addr, testkit.Request{Method: "POST", Target: ticketPath, Headers: headers, Body: body})
	if head.Status != 200 {
		return "", fmt.Errorf("no ticket: %d %s", head.Status, text)
	}
	require.Equal(t, "application/json", head.Get("Content-Type"))
	require.Equal(t, "no-store", head.Get("Cache-Control"))
	var answer struct {
		Ticket    string `json:"ticket"`
		ExpiresIn int    `json:"expires_in"`
	}
	require.NoError(t, json.Unmarshal(text, &answer))
	require.Equal(t, 30, answer.ExpiresIn)
	require.NotEmpty(t, answer.Ticket)
	return answer.Ticket, nil
}

// before does what must be done before a moment soon to come. If that moment
// passed meanwhile, on a machine that stood still, it does it again with a later
// one.
func before(t *testing.T, do func(at int64) error) {
	t.Helper()
	for life := int64(3); ; life *= 2 {
		at := soon(life)
		err := do(at)
		if err == nil {
			return
		}
		require.True(t, time.Now().Unix() >= at && life < 30, "%d s before: %v", at-soon(0), err)
		t.Logf("%d s were not enough: %v", life, err)
	}
}

// tryConnect connects and returns the connect push, or what came instead.
func (s *server) tryConnect(t *testing.T, opts testkit.ConnectOptions) (c *testkit.Client, res testkit.ConnectResult, err error) {
	t.Helper()
	c = s.connect(t, opts)
	p := c.Next(t)
	if p.Kind != "connect" {
		return c, res, fmt.Errorf("no connect push: %s", p.Raw)
	}
	p.Decode(t, &res)
	return c, res, nil
}

func byTicket(ticket string) testkit.ConnectOptions {
	return testkit.ConnectOptions{RawQuery: "ticket=" + ticket + `&cf_connect={"subs":{"who:x":{}}}`}
}

func TestTicketOpensOneStream(t *testing.T) {
	s := startStrict(t, parts{client: withSecret + `, "token_cookie": "session"`}, nil)
	const life = 1000
	at := soon(life)
	token := tokenOf(t, "42", map[string]any{"exp": at, "info": 1, "channels": []string{"closed:a"}})
	for _, ticket := range []string{
		s.ticketFor(t, "", [2]string{"Authorization", "Bearer " + token}),
		s.ticketFor(t, "", [2]string{"Cookie", "session=" + token}),
		s.ticketFor(t, `{"token":"`+token+`"}`),
	} {
		res := s.connects(t, "ticket", "42", byTicket(ticket))
		require.True(t, res.Expires, "the identity keeps its expiry")
		require.LessOrEqual(t, int64(res.TTL), int64(life))
		require.GreaterOrEqual(t, int64(res.TTL), at-soon(0))
		require.Contains(t, res.Subs, "closed:a")
		s.refused(t, "replay", 3500, byTicket(ticket))
		s.refused(t, "replay", 3500, byTicket(ticket))
	}
	s.refused(t, "made up", 3500, byTicket("AAAAAAAAAAAAAAAAAAAAAAAAAA"))
	s.refused(t, "beside a good token", 3500, testkit.ConnectOptions{
		RawQuery: "ticket=x", HTTPHeaders: [][2]string{{"Authorization", "Bearer " + token}},
	})
}

// A ticket that nobody used does not keep anybody from expiring.
func TestTicketOfAnExpiringIdentity(t *testing.T) {
	s := startStrict(t, parts{client: withSecret + `, "expired_close_delay": "50ms"`}, nil)
	var c *testkit.Client
	var unused string
	var expires int64
	before(t, func(at int64) (err error) {
		expires = at
		token := [2]string{"Authorization", "Bearer " + tokenOf(t, "42", map[string]any{"exp": at})}
		used, err := s.tryTicket(t, "", token)
		if err != nil {
			return err
		}
		if unused, err = s.tryTicket(t, "", token); err != nil {
			return err
		}
		c, _, err = s.tryConnect(t, byTicket(used))
		return err
	})
	c.ExpectDisconnect(t, 3005)
	require.False(t, time.Now().Before(time.Unix(expires, 0)))
	s.refused(t, "expired while it waited", 3005, byTicket(unused))
}

func TestTicketIsRefused(t *testing.T) {
	b := newBackend(t)
	b.server.Close()
	s := startStrict(t, parts{client: withSecret + `, "allowed_origins": ["https://good.example"]`}, nil)
	down := startMore(t, parts{client: withSecret + b.connectHook("")}, nil)
	good := [2]string{"Authorization", "Bearer " + tokenOf(t, "42", nil)}
	f := func(name string, at *server, status int, r testkit.Request, says string) testkit.Head {
		t.Helper()
		if r.Target == "" {
			r.Target = ticketPath
		}
		head, body := testkit.RoundTrip(t, at.addr, r)
		require.Equal(t, status, head.Status, "%s: %s", name, body)
		require.Contains(t, string(body), says, name)
		require.NotContains(t, string(body), `"ticket"`, name)
		return head
	}
	head := f("no credentials", s, 401, testkit.Request{Method: "POST"}, "bad request")
	require.Equal(t, "Bearer", head.Get("WWW-Authenticate"))
	f("a bad token", s, 401, testkit.Request{Method: "POST", Body: `{"token":"bad"}`}, "invalid token")
	f("an expired token", s, 401, testkit.Request{
		Method: "POST", Body: `{"token":"` + tokenOf(t, "42", map[string]any{"exp": 1}) + `"}`,
	}, "connection expired")
	f("a ticket for a ticket", s, 401, testkit.Request{
		Method: "POST", Target: ticketPath + "?ticket=" + s.ticketFor(t, "", good),
	}, "bad request")
	f("not JSON", s, 400, testkit.Request{Method: "POST", Body: "{", Headers: [][2]string{good}}, "")
	f("GET", s, 405, testkit.Request{Headers: [][2]string{good}}, "POST")
	f("below", s, 404, testkit.Request{Method: "POST", Target: ticketPath + "/x", Headers: [][2]string{good}}, "")
	large, _ := roundTrip(t, s.addr, testkit.Request{Method: "POST", Target: ticketPath, Body: strings.Repeat(" ", 1<<20)}.String())
	require.Equal(t, 413, large.Status, "a body beyond the limit")
	f("another origin", s, 403, testkit.Request{Method: "POST", Headers: [][2]string{good, {"Origin", "https://bad.example"}}}, "Origin")
	f("the backend is down", down, 503, testkit.Request{Method: "POST"}, "internal server error")

	origin := [2]string{"Origin", "https://good.example"}
	head = f("preflight", s, 204, testkit.Request{
		Method: "OPTIONS", Headers: [][2]string{origin, {"Access-Control-Request-Headers", "authorization"}},
	}, "")
	require.Equal(t, "https://good.example", head.Get("Access-Control-Allow-Origin"))
	require.Equal(t, "authorization", head.Get("Access-Control-Allow-Headers"))
	require.Equal(t, "POST, OPTIONS", head.Get("Access-Control-Allow-Methods"))
	f("preflight of another origin", s, 403, testkit.Request{
		Method: "OPTIONS", Headers: [][2]string{{"Origin", "https://bad.example"}},
	}, "")
	head, body := testkit.RoundTrip(t, s.addr, testkit.Request{Method: "POST", Target: ticketPath, Headers: [][2]string{good, origin}})
	require.Equal(t, 200, head.Status, "%s", body)
	require.Equal(t, "https://good.example", head.Get("Access-Control-Allow-Origin"))
}

// With a hook a ticket is worth what the backend granted, and no more.
func TestTicketOfAHookKeepsWhatTheBackendSaid(t *testing.T) {
	b := newBackend(t)
	s := startStrict(t, parts{client: b.connectHook(`, "http_headers": ["Cookie"]`) +
		b.refreshHook(`, "http_headers": ["Cookie"], "include_connection_meta": true`)}, nil)
	var c *testkit.Client
	var res testkit.ConnectResult
	var asked hookCall
	var calls int64
	before(t, func(at int64) error {
		calls = b.asked.Load()
		b.say(fmt.Sprintf(`{"result":{"user":"hooked","data":{"hi":1},"channels":["closed:a"],"expire_at":%d,"meta":{"m":1}}}`, at))
		ticket, err := s.tryTicket(t, `{"data":{"k":1}}`, [2]string{"Cookie", "id=ada"})
		if err != nil {
			return err
		}
		asked = b.last(t)
		b.say(`{"result":{"expired":true}}`)
		c, res, err = s.tryConnect(t, byTicket(ticket))
		return err
	})
	require.Len(t, res.Subs, 1, "requested channels are not the client's choice")
	require.Contains(t, res.Subs, "closed:a")
	require.JSONEq(t, `{"hi":1}`, string(res.Data))
	require.Equal(t, asked.body["client"], res.Client, "the backend was told this client")
	c.ExpectDisconnect(t, 3005)
	call := b.last(t)
	require.Equal(t, res.Client, call.body["client"])
	require.Equal(t, "hooked", call.body["user"])
	require.Equal(t, map[string]any{"m": float64(1)}, call.body["meta"])
	require.Equal(t, "id=ada", call.head.Get("Cookie"), "the headers that brought the credentials")
	require.EqualValues(t, 2, b.asked.Load()-calls)
}

func TestTerminalRefusalEndsWith204(t *testing.T) {
	s := startStrict(t, parts{sse: `, "terminal_status": true`, client: withSecret + `, "allowed_origins": ["https://good.example"]`}, nil)
	bad := testkit.ConnectOptions{Token: "bad"}
	c := s.connect(t, bad)
	p := c.Next(t)
	require.Equal(t, `{"disconnect":{"code":3500,"reason":"invalid token"}}`, string(p.Raw))
	require.True(t, p.HasID)
	require.Equal(t, "!3500", p.EventID)
	c.ExpectEnd(t)

	again := func(target string, headers ...[2]string) testkit.Head {
		t.Helper()
		head, body := testkit.RoundTrip(t, s.addr, testkit.Request{Target: testkit.DefaultPath + target, Headers: headers})
		require.Equal(t, 204, head.Status, "%s", body)
		require.Empty(t, head.Values("Content-Length"))
		return head
	}
	mark := [2]string{"Last-Event-ID", "!3500"}
	again(`?cf_connect={"token":"bad"}`, mark)
	again("", mark)
	again(`?cf_connect={"token":"bad"}&last_event_id=!3500`)
	head := again("", mark, [2]string{"Origin", "https://good.example"})
	require.Equal(t, "https://good.example", head.Get("Access-Control-Allow-Origin"), "or a browser would see a network error and try again")

	for _, id := range []string{"!", "!abc", "!3005", "!99999999999", "3500"} { // never told to anybody
		bad.HTTPHeaders = [][2]string{{"Last-Event-ID", id}}
		c = s.connect(t, bad)
		require.Equal(t, "!3500", c.Next(t).EventID, id)
		c.ExpectEnd(t)
	}

	accepted := testkit.ConnectOptions{Token: tokenOf(t, "42", nil), HTTPHeaders: [][2]string{mark}}
	res := s.connects(t, "a better token", "42", accepted)
	require.NotEmpty(t, res.Client)
	expired := testkit.ConnectOptions{Token: tokenOf(t, "42", map[string]any{"exp": 1}), HTTPHeaders: [][2]string{mark}}
	c = s.connect(t, expired)
	p = c.Next(t)
	require.Equal(t, `{"disconnect":{"code":3005,"reason":"connection expired"}}`, string(p.Raw))
	require.False(t, p.HasID, "what is not terminal has no mark")
	c.ExpectEnd(t)

	off := startMore(t, parts{client: withSecret}, nil)
	bad.HTTPHeaders = [][2]string{mark}
	c = off.connect(t, bad)
	require.False(t, c.Next(t).HasID, "not unless it is switched on")
}

// PROTOCOL 1.8.
func TestConnectCodesBecomeHTTPStatuses(t *testing.T) {
	b := newBackend(t)
	s := startStrict(t, parts{
		sse: `, "connect_code_to_http_response": {"enabled": true, "transforms": [
			{"code": 3500, "to": {"status_code": 401}}, {"code": 109, "to": {"status_code": 403, "body": "{\"e\":1}"}},
			{"code": 3500, "to": {"status_code": 418}}, {"code": 4501, "to": {"status_code": 410}},
			{"code": 1000, "to": {"status_code": 409}}, {"code": 102, "to": {"status_code": 404}},
			{"code": 110, "to": {"status_code": 204, "body": "never sent"}}, {"code": 100, "to": {"status_code": 503}}]}`,
		client: withSecret + b.connectHook("") + `, "allowed_origins": ["https://good.example"],
			"connect_code_to_unidirectional_disconnect": {"enabled": true, "transforms": [{"code": 109, "to": {"code": 4109, "reason": "x"}}]}`,
	}, nil)
	f := func(name, token, says string, status int, want string) {
		t.Helper()
		b.say(says)
		target := testkit.DefaultPath
		if token != "" {
			target += `?cf_connect={"token":"` + token + `"}`
		}
		head, body := testkit.RoundTrip(t, s.addr, testkit.Request{Target: target, Headers: [][2]string{{"Origin", "https://good.example"}}})
		require.Equal(t, status, head.Status, name)
		require.Equal(t, want, string(body), name)
		require.Equal(t, "https://good.example", head.Get("Access-Control-Allow-Origin"), name)
		require.Equal(t, "text/plain; charset=utf-8", head.Get("Content-Type"), name)
	}
	f("a disconnect", "bad", "", 401, "invalid token")
	f("an error, before it becomes a disconnect", tokenOf(t, "42", map[string]any{"exp": 1}), "", 403, `{"e":1}`)
	f("the backend's disconnect", "", `{"disconnect":{"code":4501,"reason":"no way"}}`, 410, "no way")
	f("the backend's error", "", `{"error":{"code":1000,"message":"custom"}}`, 409, "custom")
	f("unknown namespace", "", `{"result":{"channels":["nobody:knows"]}}`, 404, "unknown channel")
	f("an expiry that is over", "", `{"result":{"expire_at":1}}`, 204, "")
	f("a failing backend", "", `garbage`, 503, "internal server error")
	f("no transform", "", `{"disconnect":{"code":4502,"reason":"no way"}}`, 500, "Internal Server Error")
	f("no credentials", "", `{}`, 500, "Internal Server Error")
	s.connects(t, "accepted", "42", testkit.ConnectOptions{Token: tokenOf(t, "42", nil)})
}

func TestErrorCodesBecomeDisconnects(t *testing.T) {
	s := startStrict(t, parts{client: withSecret + `, "connect_code_to_unidirectional_disconnect": {"enabled": true,
		"transforms": [{"code": 109, "to": {"code": 4109, "reason": "tok expired"}}, {"code": 3500, "to": {"code": 4500, "reason": "x"}}]}`}, nil)
	s.refused(t, "an error", 4109, testkit.ConnectOptions{Token: tokenOf(t, "42", map[string]any{"exp": 1})})
	s.refused(t, "a disconnect is not mapped", 3500, testkit.ConnectOptions{Token: "bad"})
}

// A token that is too large reaches nobody, wherever it is.
func TestTokenOfAMegabyte(t *testing.T) {
	s := startStrict(t, parts{client: withSecret + withAnonymous + `, "token_cookie": "session"`}, nil)
	big := strings.Repeat("a", 1<<20)
	f := func(name string, status int, r testkit.Request) {
		t.Helper()
		head, _ := roundTrip(t, s.addr, r.String())
		require.Equal(t, status, head.Status, name)
	}
	const at = testkit.DefaultPath
	f("body", http.StatusRequestEntityTooLarge, testkit.Request{Method: "POST", Target: at, Body: `{"token":"` + big + `"}`})
	f("query", http.StatusRequestHeaderFieldsTooLarge, testkit.Request{Target: at + `?cf_connect={"token":"` + big + `"}`})
	f("cookie", http.StatusRequestHeaderFieldsTooLarge, testkit.Request{Target: at, Headers: [][2]string{{"Cookie", "session=" + big}}})
	f("bearer", http.StatusRequestHeaderFieldsTooLarge, testkit.Request{Target: at, Headers: [][2]string{{"Authorization", "Bearer " + big}}})
	s.refused(t, "as long as the body may be", 3500, testkit.ConnectOptions{Method: "POST", Token: big[:65000]})
	s.connects(t, "nobody else is disturbed", "", testkit.ConnectOptions{})
}
