package test

import (
	"crypto/elliptic"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// secrets are texts that nobody may find again.
type secrets struct {
	// Guarded by mu.
	mu      sync.Mutex
	planted map[string]string // by what they stand for
}

// plant returns a secret: letters and digits, so that no escaping hides it.
func (p *secrets) plant(what string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.planted == nil {
		p.planted = make(map[string]string)
	}
	if p.planted[what] == "" {
		p.planted[what] = fmt.Sprintf("Planted%dSecret", 1000+len(p.planted))
	}
	return p.planted[what]
}

// note adds a secret that the gateway made.
func (p *secrets) note(what, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.planted[what] = text
}

// expectNone fails the test if one of the secrets is in text, as it is or in
// base64.
func (p *secrets) expectNone(t *testing.T, where, text string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for what, secret := range p.planted {
		require.NotContains(t, text, secret, "%s shows the %s", where, what)
		require.NotContains(t, text, base64.StdEncoding.EncodeToString([]byte(secret))[:12], "%s shows the %s in base64", where, what)
	}
}

// heard is what a gateway said to its clients, and where.
type heard struct {
	t    *testing.T
	text strings.Builder
	// id is what requests bring as their id: nothing that may be echoed.
	id string
}

// prepare adds the id to a request.
func (h *heard) prepare(r *testkit.Request) {
	r.Headers = slices.Concat(r.Headers, [][2]string{{"X-Request-Id", h.id + "/"}})
}

// ask sends a request and notes the whole answer; it returns the body.
func (h *heard) ask(s *server, status int, r testkit.Request) string {
	h.t.Helper()
	h.prepare(&r)
	head, body := testkit.RoundTrip(h.t, s.addr, r)
	require.Equal(h.t, status, head.Status, "%.200s\n%s", r.String(), body)
	h.text.WriteString(head.Raw)
	h.text.Write(body)
	return string(body)
}

// TestSecretsNeverLeak plants secrets wherever one can be and looks for them in
// everything that a gateway says: its log at every level, the answers to all
// clients, the health check, the metrics.
func TestSecretsNeverLeak(t *testing.T) {
	var log testkit.LogBuffer
	level := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug - 4}))
	p := &secrets{}
	h := &heard{t: t, id: p.plant("id of a request")}
	hmac := p.plant("HMAC key")
	b, k := newBackend(t), newKeyServer(t)
	k.say(http.StatusInternalServerError, p.plant("key server's answer"))
	withUser := func(raw, what string) string {
		u, err := url.Parse(raw)
		require.NoError(t, err)
		u.User = url.UserPassword(p.plant(what+" user"), p.plant(what+" password"))
		u.RawQuery = "key=" + p.plant(what+" query")
		return u.String()
	}
	static := fmt.Sprintf(`, "timeout": "1m", "http_headers": ["Authorization", "Cookie", "X-Request-Id"], "emulated_headers": ["X-Emul"],
		"http": {"static_headers": {"X-Static": %q}}`, p.plant("static header"))
	hooked := startStrict(t, parts{
		sse: withMetrics,
		client: fmt.Sprintf(`, "token": {"hmac_secret_key": %q}, "token_cookie": "session", "proxy": {
			"connect": {"enabled": true, "endpoint": %q %s}, "refresh": {"enabled": true, "endpoint": %q %s}}`,
			hmac, withUser(b.server.URL+"/connect", "hook"), static, withUser(b.server.URL+"/refresh", "hook"), static),
	}, level)
	keyed := startMore(t, parts{
		sse:    `, "terminal_status": true` + withMetrics,
		client: fmt.Sprintf(`, "token": {"jwks_public_endpoint": %q}, "token_cookie": "session"`, withUser(k.URL, "key server")),
	}, level)
	plain := startMore(t, parts{
		sse:    `, "connect_code_to_http_response": {"enabled": true, "transforms": [{"code": 3500, "to": {"status_code": 401}}]}` + withMetrics,
		client: fmt.Sprintf(`, "token": {"hmac_secret_key": %q}, "token_cookie": "session"`, hmac),
	}, level)
	opened := startText(t, strings.ReplaceAll(fmt.Sprintf(strictConfig, withMetrics, `, "error_mode": "transport"`, withAnonymous, ""),
		testKey, p.plant("API key")), level)

	b.say(`{}`)
	tokensAreRefused(t, h, p, hmac, hooked, keyed, plain)
	hooksFail(t, h, p, hooked, b, &log)
	ticketsAreRefused(t, h, p, hmac, plain)
	keysAreRefused(h, p, opened)
	for _, s := range []*server{hooked, keyed, plain, opened} {
		h.ask(s, 200, testkit.Request{Target: "/health"})
		h.ask(s, 200, testkit.Request{Target: "/ready?token=" + p.plant("query of the ready check")})
		metrics := h.ask(s, 200, testkit.Request{Target: "/metrics?token=" + p.plant("query of the metrics")})
		require.Contains(t, metrics, "sluice_", "nothing to look at")
		h.ask(s, 404, testkit.Request{Target: "/" + p.plant("path") + "?token=" + p.plant("query of no path")})
		h.ask(s, 400, testkit.Request{Target: "/", Proto: "HTTP/" + p.plant("version of no HTTP")})
	}

	p.expectNone(t, "an answer", h.text.String())
	p.expectNone(t, "the log", log.String())
	for _, line := range []string{"connect refused", "ticket refused", "stream opened", "stream closed", "request=", "api: request refused", "token keys cannot be fetched"} {
		require.Contains(t, log.String(), line, "nothing to look at")
	}
}

// tokensAreRefused shows bad tokens, and good ones that are not accepted, in
// every place that takes one.
func tokensAreRefused(t *testing.T, h *heard, p *secrets, hmac string, servers ...*server) {
	t.Helper()
	sign := func(what string, claims map[string]any) string {
		claims["jti"] = what
		token := testkit.HS256(t, hmac, claims)
		p.note(what, token[strings.LastIndexByte(token, '.')+1:])
		p.note(what+"'s claims", strings.Split(token, ".")[1])
		return token
	}
	tokens := map[string]string{
		"a word":             p.plant("token that is a word"),
		"three words":        p.plant("token part 1") + "." + p.plant("token part 2") + "." + p.plant("token part 3"),
		"header of no JSON":  testkit.RawToken([]byte(p.plant("token header")), map[string]any{}, nil),
		"payload of no JSON": testkit.RawToken(map[string]any{"alg": "HS256"}, []byte(p.plant("token payload")), nil),
		"unknown alg":        testkit.RawToken(map[string]any{"alg": "none"}, map[string]any{"sub": p.plant("sub of none")}, nil),
		"forged":             sign("token", map[string]any{"sub": "1"}) + "x",
		"expired":            sign("expired token", map[string]any{"sub": "1", "exp": 1}),
		"of a wrong type":    sign("token of a wrong type", map[string]any{"sub": 1, "info": p.plant("info")}),
		"of no namespace":    sign("token of no namespace", map[string]any{"sub": "1", "channels": []string{"nobody:knows"}, "meta": p.plant("meta")}),
		"of an unknown key":  testkit.Sign(t, jwt.SigningMethodHS256, []byte(hmac), map[string]any{"kid": p.plant("kid")}, map[string]any{"sub": "1", "meta": p.plant("meta of a token")}),
		"of no key set":      testkit.ES256(t, ecKey(t, elliptic.P256()), map[string]any{"sub": p.plant("sub of ES256")}, p.plant("kid of ES256")),
		"accepted":           sign("good token", map[string]any{"sub": "1"}),
	}
	const at = testkit.DefaultPath
	for _, s := range servers {
		for name, token := range tokens {
			quoted := url.QueryEscape(fmt.Sprintf(`{"token":%q,"headers":{"x-emul":%q}}`, token, p.plant("emulated header")))
			for _, r := range []testkit.Request{
				{Target: at + "?cf_connect=" + quoted},
				{Target: at + "?cf_connect=" + quoted, Headers: [][2]string{{"Last-Event-ID", "!3500"}}},
				{Method: "POST", Target: at, Body: fmt.Sprintf(`{"token":%q}`, token)},
				{Target: at, Headers: [][2]string{{"Authorization", "Bearer " + token}}},
				{Target: at, Headers: [][2]string{{"Cookie", "session=" + token}}},
			} {
				h.connect(s, name, r)
			}
			h.ask(s, 400, testkit.Request{Method: "POST", Target: at, Body: fmt.Sprintf(`{"token":[%q]}`, token)})
			h.ask(s, 400, testkit.Request{Method: "POST", Target: at, Body: fmt.Sprintf(`{"token":%q,`, token)})
			h.ask(s, 400, testkit.Request{Target: at + "?cf_connect={%22token%22:%22" + token + "%zz"})
			h.ask(s, 405, testkit.Request{Method: "PUT", Target: at + "?cf_connect=" + quoted})
			h.ask(s, 404, testkit.Request{Target: at + "/?cf_connect=" + quoted})
		}
		h.ask(s, 431, testkit.Request{Target: at, Headers: [][2]string{{"Authorization", "Bearer " + strings.Repeat(p.plant("long token"), 5000)}}})
		h.ask(s, 413, testkit.Request{Method: "POST", Target: at, Body: strings.Repeat(p.plant("long body"), 5000)})
	}
}

// connect is ask for a connect that may be accepted: it notes the beginning.
func (h *heard) connect(s *server, name string, r testkit.Request) {
	h.t.Helper()
	c := testkit.Dial(h.t, s.addr)
	defer func() { _ = c.Close() }()
	h.prepare(&r)
	c.Send(r.String())
	head := c.ReadHead(h.t)
	require.Contains(h.t, []int{200, 204, 401, 500}, head.Status, name)
	h.text.WriteString(head.Raw)
	if head.Status == 200 {
		ev, err := testkit.NewReader(c.Body()).Next()
		require.NoError(h.t, err, name)
		h.text.Write(ev.Raw)
		return
	}
	body, err := io.ReadAll(c.Body())
	require.NoError(h.t, err, name)
	h.text.Write(body)
}

// hooksFail has the connect hook fail in every way. One line in five seconds is
// logged, so each way has a gateway of its own.
func hooksFail(t *testing.T, h *heard, p *secrets, hooked *server, b *backend, log *testkit.LogBuffer) {
	t.Helper()
	b.say(`{"result":{"user":"1"}}`)
	r := testkit.Request{Target: testkit.DefaultPath, Headers: [][2]string{
		{"Authorization", "Bearer " + p.plant("bearer for the backend")}, {"Cookie", "session=" + p.plant("cookie for the backend")},
	}}
	h.connect(hooked, "accepted", r)
	call := b.last(t)
	require.Equal(t, p.plant("static header"), call.head.Get("X-Static"), "nothing was planted")
	require.Contains(t, call.head.Get("Cookie"), p.plant("cookie for the backend"))
	garbage := p.plant("backend's garbage")
	for name, answer := range map[string]http.HandlerFunc{
		"status":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); _, _ = io.WriteString(w, garbage) },
		"no JSON": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, garbage) },
		"wrong type": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"result":{"user":{%q:1},"meta":%q}}`, garbage, garbage)
		},
		"base64": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"result":{"b64info":"%s%%"}}`, garbage) },
		"late":   func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"cut":    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://localhost:1/?"+garbage, http.StatusTemporaryRedirect)
		},
		"no HTTP": func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(c, garbage+" "+garbage+"\r\n\r\n")
				_ = c.Close()
			}
		},
		"bad header": func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"+garbage+"\r\n\r\n")
				_ = c.Close()
			}
		},
	} {
		b.do(answer)
		timeout := "1m"
		if name == "late" {
			timeout = "200ms"
		}
		s := startMore(t, hookParts(b, p, timeout), hooked.log)
		before := strings.Count(log.String(), "hook failed")
		h.connect(s, name, r)
		require.Equal(t, before+1, strings.Count(log.String(), "hook failed"), "one line for each way to fail: %s", name)
		h.ask(s, 503, testkit.Request{Method: "POST", Target: ticketPath, Headers: r.Headers})
	}
}

// hookParts is a gateway whose connect hook has secrets in its configuration.
func hookParts(b *backend, p *secrets, timeout string) parts {
	endpoint := strings.Replace(b.server.URL, "://", "://"+p.plant("hook user")+":"+p.plant("hook password")+"@", 1)
	return parts{client: fmt.Sprintf(`, "proxy": {"connect": {"enabled": true, "timeout": %q, "endpoint": %q,
		"http_headers": ["Authorization", "Cookie"], "http": {"static_headers": {"X-Static": %q}}}}`,
		timeout, endpoint+"/?key="+p.plant("hook query"), p.plant("static header"))}
}

// ticketsAreRefused uses tickets twice and makes some up.
func ticketsAreRefused(t *testing.T, h *heard, p *secrets, hmac string, s *server) {
	t.Helper()
	token := testkit.HS256(t, hmac, map[string]any{"sub": "ticketed"})
	p.note("token for a ticket", token)
	ticket := s.ticketFor(t, "", [2]string{"Authorization", "Bearer " + token})
	p.note("ticket", ticket)
	for range 3 {
		h.connect(s, "ticket", testkit.Request{Target: testkit.DefaultPath + "?ticket=" + ticket})
	}
	h.connect(s, "made up", testkit.Request{Target: testkit.DefaultPath + "?ticket=" + p.plant("made up ticket")})
	h.ask(s, 401, testkit.Request{Method: "POST", Target: ticketPath + "?ticket=" + ticket})
	h.ask(s, 401, testkit.Request{Method: "POST", Target: ticketPath, Body: `{"token":"` + p.plant("bad token for a ticket") + `"}`})
	h.ask(s, 405, testkit.Request{Target: ticketPath + "?ticket=" + ticket})
}

// keysAreRefused calls the API with right and wrong keys in every place, and
// with bodies that it refuses.
func keysAreRefused(h *heard, p *secrets, s *server) {
	h.t.Helper()
	good, wrong := p.plant("API key"), p.plant("wrong API key")
	ask := func(status int, method, query, body string, headers ...[2]string) {
		h.t.Helper()
		h.ask(s, status, testkit.Request{Method: "POST", Target: "/api/" + method + query, Headers: headers, Body: body})
	}
	for key, status := range map[string]int{good: 200, wrong: 401} {
		ask(status, "info", "", "{}", [2]string{"X-API-Key", key})
		ask(status, "info", "", "{}", [2]string{"Authorization", "apikey " + key})
		ask(status, "info", "?api_key="+key, "{}")
	}
	ask(401, "info", "", "{}", [2]string{"Authorization", "Bearer " + good})
	right := [2]string{"X-API-Key", good}
	value := p.plant("published data")
	ask(400, "publish", "", `{"channel":"news","data":`+value+`}`, right)
	ask(400, "publish", "", `{"channel":["`+value+`"],"data":1}`, right)
	ask(400, "publish", "", `{"channel":"`+value+`"}`, right)
	ask(404, "publish", "", `{"channel":"nobody:`+value+`","data":"`+value+`"}`, right)
	ask(400, "publish", "", `{"channel":"news","b64data":"`+value+`%"}`, right)
	ask(404, "nothing", "?api_key="+good, `{}`)
	ask(400, "refresh", "", `{"user":{"`+value+`":1}}`, right)
	h.ask(s, 405, testkit.Request{Target: "/api/info?api_key=" + good})
}
