package console

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

func TestLogin(t *testing.T) {
	r := newRig(nil)
	resp := r.post("/login", `{"password":"`+adminPassword+`"}`)
	require.Equal(t, 200, resp.StatusCode())
	in := decoded(t, resp)
	require.Equal(t, []any{"admin", RoleAdmin}, []any{in["who"], in["role"]})
	require.InDelta(t, time.Now().Add(DefaultLifetime).UnixMilli(), in["expires_at"], 60_000)
	set := string(resp.Header.Peek("Set-Cookie"))
	for _, want := range []string{"sluice_console=", "; HttpOnly", "; SameSite=Strict", "; path=/admin;"} {
		require.Contains(t, set, want)
	}
	require.NotContains(t, set, "secure")

	set = string(r.post("/login", `{"password":"`+viewerPassword+`"}`, "X-Test-Scheme: https", "Sec-Fetch-Site: same-origin").Header.Peek("Set-Cookie"))
	require.True(t, strings.HasPrefix(set, "__Secure-sluice_console="), set)
	require.Contains(t, set, "; secure")

	token, err := LoginToken(testSecret, "ann", RoleAdmin, time.Now(), time.Minute)
	require.NoError(t, err)
	in = decoded(t, r.post("/login", `{"token":"`+token+`"}`))
	require.Equal(t, []any{"ann", RoleAdmin}, []any{in["who"], in["role"]})
	require.LessOrEqual(t, in["expires_at"], float64(time.Now().Add(time.Minute).UnixMilli()), "a session ends with its token")

	cookie := asViewer(t, r)
	me := decoded(t, r.ask("GET /admin/me", "", cookie))
	require.Equal(t, []any{"viewer", RoleViewer, false}, []any{me["who"], me["role"], me["insecure"]})
	for _, wrong := range []string{`{}`, `{"password":""}`, `{"password":"wrong"}`, `{"token":"wrong"}`, `{"password":"wrong","token":"x"}`} {
		r := newRig(nil)
		resp := r.post("/login", wrong)
		require.Equal(t, 401, resp.StatusCode(), wrong)
		require.Empty(t, resp.Header.Peek("Set-Cookie"))
		require.Len(t, r.lines(t, "console: a login failed"), 1)
		require.Contains(t, r.log.String(), "192.0.2.1")
		require.NotContains(t, r.log.String(), "wrong")
	}
	for _, wrong := range []string{``, `[]`, `{"password":5}`, `null junk`, `{"password":"x"`} {
		require.Equal(t, 400, r.post("/login", wrong).StatusCode(), wrong)
	}
}

func TestLoginIsThrottled(t *testing.T) {
	r := newRig(nil)
	inBefore := asAdmin(t, r)
	for range ownBurst {
		require.Equal(t, 401, r.post("/login", `{"password":"guess"}`).StatusCode())
	}
	for _, path := range []string{"/login", "/auth"} {
		resp := r.ask("POST /admin"+path, `{"password":"`+adminPassword+`"}`, ours...)
		require.Equal(t, 429, resp.StatusCode(), "the right one neither")
		require.NotEmpty(t, resp.Header.Peek("Retry-After"))
		require.Greater(t, decoded(t, resp)["retry_after_s"], 0.0)
		require.Empty(t, resp.Header.Peek("Set-Cookie"))
	}
	require.Len(t, r.lines(t, "console: too many logins failed, others are refused for now"), 1)
	require.Equal(t, 200, r.ask("GET /admin/me", "", inBefore).StatusCode(), "who is logged in stays")
	require.Equal(t, 200, r.askFrom("192.0.2.2", "POST /admin/login", `{"password":"`+adminPassword+`"}`, ours...).StatusCode())
	token, err := LoginToken(testSecret, "ann", RoleAdmin, time.Now(), time.Minute)
	require.NoError(t, err)
	r.login(t, `{"token":"`+token+`"}`) // nobody guesses one
}

func TestLogout(t *testing.T) {
	r := newRig(nil)
	cookie, other := asAdmin(t, r), asAdmin(t, r)
	_, token, _ := strings.Cut(cookie, "=")
	resp := r.post("/logout", "", cookie)
	require.Equal(t, 204, resp.StatusCode())
	require.Contains(t, string(resp.Header.Peek("Set-Cookie")), "sluice_console=;")
	require.Equal(t, []string{"admin"}, r.cut)
	require.Equal(t, 401, r.ask("GET /admin/me", "", cookie).StatusCode())
	require.Equal(t, 401, r.ask("GET /admin/me", "", "Authorization: token "+token).StatusCode())
	require.Equal(t, 200, r.ask("GET /admin/me", "", other).StatusCode())
	require.Equal(t, 401, r.post("/logout", "").StatusCode())
}

func TestUseRenewsASession(t *testing.T) {
	r := newRig(func(o *Options) { o.Lifetime = time.Hour })
	live := r.live.Load()
	begun := func(ago time.Duration) string {
		return plainCookie + "=" + live.token(live.begin("ann", RoleViewer, time.Now().Add(-ago), time.Now().Add(SessionMost)))
	}
	require.Empty(t, r.ask("GET /admin/me", "", "Cookie: "+begun(time.Minute)).Header.Peek("Set-Cookie"), "so soon it need not be")
	resp := r.ask("GET /admin/me", "", "Cookie: "+begun(30*time.Minute))
	require.Equal(t, 200, resp.StatusCode())
	renewed := live.session(strings.TrimPrefix(cookieOf(t, resp), plainCookie+"="), time.Now())
	require.NotNil(t, renewed)
	require.WithinDuration(t, time.Now().Add(time.Hour), renewed.Expires, time.Minute)
	require.WithinDuration(t, time.Now().Add(-30*time.Minute), renewed.Began, time.Minute)
	require.InDelta(t, renewed.Expires.UnixMilli(), decoded(t, resp)["expires_at"], 1000)
	require.Equal(t, 401, r.ask("GET /admin/me", "", "Cookie: "+begun(time.Hour)).StatusCode())
	resp = r.ask("GET /admin/me", "", "Authorization: Bearer "+strings.TrimPrefix(begun(30*time.Minute), plainCookie+"="))
	require.Equal(t, 200, resp.StatusCode())
	require.Empty(t, resp.Header.Peek("Set-Cookie"), "a program has written it down")
}

func TestNewPasswordEndsSessions(t *testing.T) {
	r := newRig(nil)
	cookie := asViewer(t, r)
	require.Equal(t, 200, r.post("/stream", `{"channels":["b","a","b"]}`, cookie).StatusCode())
	require.Equal(t, []string{"a", "b"}, r.tail.Channels)
	require.InDelta(t, time.Now().Add(DefaultLifetime).Unix(), r.tail.ExpireAt, 60)
	r.Set(Live{Password: adminPassword, ReadOnlyPassword: viewerPassword, Secret: testSecret, Lifetime: time.Hour})
	require.Equal(t, 200, r.ask("GET /admin/me", "", cookie).StatusCode(), "another lifetime is no reason")
	require.Empty(t, r.cut)
	r.Set(Live{Password: "another one", ReadOnlyPassword: viewerPassword, Secret: testSecret})
	require.Equal(t, 401, r.ask("GET /admin/me", "", cookie).StatusCode())
	require.Equal(t, []string{"viewer"}, r.cut, "streams end with it")
	require.Equal(t, 401, r.post("/login", `{"password":"`+adminPassword+`"}`).StatusCode())
	r.login(t, `{"password":"another one"}`)
}

// The way of the reference's admin: a form in, a token out, and that in Authorization.
func TestReferenceForm(t *testing.T) {
	r := newRig(nil)
	const form = "Content-Type: application/x-www-form-urlencoded"
	resp := r.ask("POST /admin/auth", "password="+strings.ReplaceAll(adminPassword, " ", "+"), form)
	require.Equal(t, 200, resp.StatusCode())
	require.Empty(t, resp.Header.Peek("Set-Cookie"))
	token := decoded(t, resp)["token"].(string)
	require.Equal(t, `{"insecure":false}`, string(r.ask("GET /admin/init", "").Body()))
	require.Equal(t, 200, r.ask("POST /admin/api", `{"method":"publish","params":{"channel":"news","data":{"hidden":1}}}`, "Authorization: token "+token).StatusCode())
	require.Equal(t, []string{""}, r.called)
	line := r.lines(t, "console")[1]
	require.Equal(t, []any{"publish channel=news"}, line["commands"])
	require.NotContains(t, r.log.String(), "hidden")
	require.Equal(t, 401, r.ask("POST /admin/auth", "password=wrong", form).StatusCode())
	require.Equal(t, 401, r.ask("POST /admin/api", `{}`).StatusCode())
	viewer := strings.TrimPrefix(asViewer(t, r), "Cookie: "+plainCookie+"=")
	require.Equal(t, 403, r.ask("POST /admin/api", `{}`, "Authorization: token "+viewer).StatusCode())
}

func TestWithoutALogin(t *testing.T) {
	r := newRig(func(o *Options) { o.Insecure = true })
	local := "Host: 127.0.0.1:8000"
	me := decoded(t, r.ask("GET /admin/me", "", local))
	require.Equal(t, []any{"everybody", RoleAdmin, true, 0.0}, []any{me["who"], me["role"], me["insecure"], me["expires_at"]})
	page := []string{"X-Sluice-Console: 1", "Content-Type: application/json"}
	require.Equal(t, 200, r.ask("POST /admin/api/publish", `{}`, append(page, local, "Origin: http://127.0.0.1:8000")...).StatusCode())
	require.Equal(t, 200, r.ask("POST /admin/login", `{}`, append(page, local, "Origin: http://127.0.0.1:8000")...).StatusCode())
	require.Equal(t, `{"token":"insecure"}`, string(r.ask("POST /admin/auth", ``, local).Body()))
	require.True(t, r.LoggedIn(&fasthttp.RequestHeader{}))

	// A name that somebody else has lead here is of our own origin to a browser.
	evil := []string{"Host: evil.com:8000", "Origin: http://evil.com:8000", "User-Agent: Mozilla/5.0", "Accept-Encoding: gzip"}
	require.Equal(t, 403, r.ask("POST /admin/api/publish", `{}`, append(page, evil...)...).StatusCode())
	require.Equal(t, 403, r.ask("GET /admin/me", "", evil[0], evil[2], evil[3]).StatusCode())
	require.Equal(t, 403, r.ask("GET /admin/me", "", evil[0], "Sec-Fetch-Site: same-origin", evil[2]).StatusCode())
	require.Equal(t, []string{"publish"}, r.called)
}

// Viewers who log in and out without end take no admin's session along.
func TestLogoutsOfViewersEndNoSessionOfAdmins(t *testing.T) {
	r := newRig(nil)
	began := time.Now()
	admin := &session{Role: RoleAdmin, ID: "admin", Began: began, Ends: began.Add(SessionMost)}
	for i := range revokedMost + 2 {
		s := &session{Role: RoleViewer, ID: fmt.Sprint(i), Began: began.Add(time.Duration(i+1) * time.Millisecond), Ends: began.Add(SessionMost)}
		r.revokedOf(s).add(s, began)
	}
	require.False(t, r.revokedOf(admin).has(admin))
	viewer := &session{Role: RoleViewer, ID: "v", Began: began}
	require.True(t, r.revokedOf(viewer).has(viewer), "an older one of their own ends")
}
