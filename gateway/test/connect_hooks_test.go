package test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// disconnectPush is what a client gets that is told to go.
func disconnectPush(code int, reason string) string {
	return fmt.Sprintf(`{"disconnect":{"code":%d,"reason":%q}}`, code, reason)
}

var internalError = disconnectPush(3004, "internal server error")

// hookOutcomes is the table of PROTOCOL 8.2: what the backend says, and what its client
// gets; "connect" is a connect push.
var hookOutcomes = []struct {
	says   string
	status int
	want   string
}{
	{`{"result":{"user":"42"}}`, 200, "connect"},
	{`{"result":{}}`, 200, "connect"},
	{`{"result":{"user":"42"},"error":null,"unknown":[1]}`, 200, "connect"},
	{`{}`, 200, disconnectPush(3501, "bad request")},
	{`{"result":null}`, 200, disconnectPush(3501, "bad request")},
	{`{"disconnect":{"code":4501,"reason":"no way"}}`, 200, disconnectPush(4501, "no way")},
	{`{"result":{},"error":{"code":103},"disconnect":{"code":4502,"reason":"first"}}`, 200, disconnectPush(4502, "first")},
	{`{"result":{},"error":{"code":103,"message":"no"}}`, 200, disconnectPush(3507, "permission denied")},
	{`{"error":{"code":109,"message":"no"}}`, 200, disconnectPush(3005, "connection expired")},
	{`{"error":{"code":111,"message":"no"}}`, 200, disconnectPush(3013, "too many requests")},
	{`{"error":{"code":1000,"message":"custom"}}`, 200, internalError},
	{`{"result":{"channels":["nobody:knows"]}}`, 200, internalError},
	{`{"result":{"subs":{"nobody:knows":{}}}}`, 200, internalError},
	{`{"result":{"user":42}}`, 200, internalError},
	{`{"result":{"expire_at":1}}`, 200, disconnectPush(3005, "connection expired")},
	{`{"result":{"user":"42"}}`, 404, disconnectPush(4504, "not found")},
	{``, 403, disconnectPush(3507, "permission denied")},
	{`{"result":{"user":"42"}}`, 201, internalError},
	{`{"disconnect":{}}`, 200, `{"disconnect":{}}`}, // PROTOCOL 1.6
	{`{"disconnect":{"reason":"no code"}}`, 200, `{"disconnect":{"reason":"no code"}}`},
	{`oops`, 500, internalError},
}

// hookGarbage is what no backend should say.
var hookGarbage = []string{
	``, `garbage`, `[]`, `null`, `{"result":`, `{"result":{}} junk`, "\xff", `{"result":{"b64info":"%"}}`,
	`{"result":[]}`, `{"disconnect":{"code":"x"}}`,
	strings.Repeat("[", 100_000), `{"result":{"user":"` + strings.Repeat("a", 2<<20) + `"}}`,
}

func TestConnectHookOutcomes(t *testing.T) {
	b := newBackend(t)
	s := startStrict(t, parts{client: withSecret + b.connectHook(`, "http": {"status_to_code_transforms": [
		{"status_code": 404, "to_disconnect": {"code": 4504, "reason": "not found"}},
		{"status_code": 403, "to_error": {"code": 103, "message": "no"}}]}`)}, nil)
	hasty := startMore(t, parts{client: withSecret + b.connectHook(`, "timeout": "200ms"`)}, nil)
	witnesses := make(map[*server]*testkit.Client)
	for _, at := range []*server{s, hasty} {
		witnesses[at] = at.connect(t, testkit.ConnectOptions{Token: tokenOf(t, "witness", nil), Subs: asking("news")})
		witnesses[at].ExpectConnect(t)
	}
	for _, row := range hookOutcomes {
		b.outcome(t, s, row.says, row.status, row.want)
	}
	for _, garbage := range hookGarbage {
		b.outcome(t, s, garbage, 200, internalError)
	}
	refused := func(name string, at *server, h http.HandlerFunc) {
		t.Helper()
		b.do(h)
		at.refused(t, name, 3004, testkit.ConnectOptions{Subs: asking("who:x")})
	}
	refused("cut", s, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	refused("cut in the middle", s, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"result":{}}`)
	})
	refused("late", hasty, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	refused("elsewhere", s, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://localhost:1/", http.StatusTemporaryRedirect)
	})
	b.server.Close()
	s.refused(t, "not there", 3004, testkit.ConnectOptions{Subs: asking("who:x")})
	for at, witness := range witnesses {
		at.api.Publish(t, "news", `"undisturbed"`)
		witness.ExpectPub(t, "news")
	}
}

func TestConnectHookIsToldWhatWasAsked(t *testing.T) {
	b := newBackend(t)
	b.say(`{"result":{}}`)
	s := startStrict(t, parts{client: b.connectHook("")}, nil)
	c := s.connect(t, testkit.ConnectOptions{
		Data: json.RawMessage(`{"k":"ok"}`), Name: "js", Version: "1.0", Subs: asking("news"),
	})
	res := c.ExpectConnect(t)
	call := b.last(t)
	require.Equal(t, `{"client":"`+res.Client+`","transport":"uni_sse","protocol":"json","encoding":"json",`+
		`"data":{"k":"ok"},"name":"js","version":"1.0","channels":["news"]}`, call.text)
	require.Equal(t, "POST", call.method)
	s.connect(t, testkit.ConnectOptions{Subs: asking("a:b", "c", "$d")}).ExpectConnect(t)
	require.ElementsMatch(t, []any{"a:b", "c", "$d"}, b.last(t).body["channels"], "unknown and forbidden ones too: the backend decides")
	res = s.connect(t, testkit.ConnectOptions{}).ExpectConnect(t)
	require.Equal(t, `{"client":"`+res.Client+`","transport":"uni_sse","protocol":"json","encoding":"json"}`, b.last(t).text)

	binary := startMore(t, parts{client: b.connectHook(`, "binary_encoding": true`)}, nil)
	res = binary.connect(t, testkit.ConnectOptions{Data: json.RawMessage(`{"k":1}`)}).ExpectConnect(t)
	require.Equal(t, `{"client":"`+res.Client+`","transport":"uni_sse","protocol":"json","encoding":"binary","b64data":"eyJrIjoxfQ=="}`, b.last(t).text)
}

// PROTOCOL 8.1, with the values that it has observed, and what nobody may send.
func TestHookHeaders(t *testing.T) {
	b := newBackend(t)
	b.say(`{"result":{}}`)
	s := startStrict(t, parts{client: b.connectHook(`,
		"http_headers": ["Cookie", "X-Real-IP", "Authorization", "X-Many", "Host", "Content-Length"], "emulated_headers": ["Authorization", "X-Emul"],
		"http": {"static_headers": {"X-Static": "s", "Authorization": "static", "X-Emul": "static"}}`)}, nil)
	c := s.connect(t, testkit.ConnectOptions{
		Headers:     map[string]string{"authorization": "emul", "x-real-ip": "emul", "X-eMUL": "emul", "x-static": "emul", "x-other": "emul"},
		HTTPHeaders: [][2]string{{"Cookie", "a=b; c=d"}, {"x-many", "1"}, {"X-Many", "2"}, {"X-Not-Listed", "no"}, {"X-Static", "no"}},
	})
	c.ExpectConnect(t)
	f := func(name string, want ...string) {
		t.Helper()
		require.Equal(t, want, b.last(t).head.Values(name), name)
	}
	f("Authorization", "emul")
	f("Cookie", "a=b; c=d")
	f("X-Static", "s")
	f("X-Emul", "emul")
	f("X-Many", "1", "2")
	f("Content-Type", "application/json")
	f("User-Agent", "Go-http-client/1.1")
	f("Accept-Encoding", "gzip")
	for _, name := range []string{"X-Real-Ip", "X-Not-Listed", "X-Other", "Last-Event-Id"} {
		require.Empty(t, b.last(t).head.Values(name), name)
	}
	s.connect(t, testkit.ConnectOptions{HTTPHeaders: [][2]string{{"Authorization", "real"}, {"X-Real-IP", "::1"}}}).ExpectConnect(t)
	f("Authorization", "real")
	f("X-Real-IP", "::1")
	s.connect(t, testkit.ConnectOptions{}).ExpectConnect(t)
	f("Authorization", "static")
	s.connect(t, testkit.ConnectOptions{Headers: map[string]string{"authorization": "a\r\nX-Forged: 1", "x-emul": "\x00"}}).ExpectConnect(t)
	f("Authorization", "static")
	require.Empty(t, b.last(t).head.Values("X-Forged"))
}

// A backend that wants to know the id of the request is told the one that our
// log has, be it the client's or ours.
func TestHooksAreToldTheRequestID(t *testing.T) {
	b := newBackend(t)
	b.say(`{"result":{"user":"1","expire_at":1}}`)
	var log testkit.LogBuffer
	s := startStrict(t, parts{client: b.connectHook(`, "http_headers": ["X-Request-ID"], "http": {"static_headers": {"X-Request-Id": "static"}}`)},
		slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	for _, sent := range []string{"the-client.s", "not fit", ""} {
		s.refused(t, sent, 3005, testkit.ConnectOptions{HTTPHeaders: [][2]string{{"x-request-id", sent}}})
		told := b.last(t).head.Values("X-Request-Id")
		require.Len(t, told, 1)
		require.Equal(t, sent == "the-client.s", told[0] == sent)
		require.NotEqual(t, "static", told[0])
		require.Contains(t, log.String(), "request="+told[0])
	}
}

// PROTOCOL 8.2: what the backend grants is what there is, with the positions
// that the client brings.
func TestConnectHookGrants(t *testing.T) {
	b := newBackend(t)
	b.say(`{"result":{"user":"42","info":{"name":"Ada"},"data":{"hello": 1},"channels":["rec:a","who:x","closed:b"],
		"subs":{"who:x":{"info":{"r":1},"data":{"d":1}},"rec:c":{"override":{"force_recovery":{"value":false},"force_positioning":{"value":true}}}}}}`)
	s := startStrict(t, parts{client: b.connectHook("")}, nil)
	start := s.api.Publish(t, "rec:a", `1`)
	s.api.Publish(t, "rec:a", `2`)
	c := s.connect(t, testkit.ConnectOptions{Subs: map[string]testkit.SubscribeRequest{
		"rec:a": {Recover: true, Offset: start.Offset, Epoch: start.Epoch}, "news": {}, "who:other": {}, "nobody:knows": {},
	}})
	res := c.ExpectConnect(t)
	require.Len(t, res.Subs, 4, "what the backend did not grant is not there")
	require.JSONEq(t, `{"hello":1}`, string(res.Data))
	require.JSONEq(t, `{"d":1}`, string(res.Subs["who:x"].Data))
	require.True(t, res.Subs["rec:a"].Recovered)
	require.Len(t, res.Subs["rec:a"].Publications, 1)
	require.Equal(t, "2", string(res.Subs["rec:a"].Publications[0].Data))
	require.False(t, res.Subs["rec:c"].Recoverable)
	require.True(t, res.Subs["rec:c"].Positioned)
	m := s.member(t, "who:x", res.Client)
	require.Equal(t, "42", m.User)
	require.JSONEq(t, `{"name":"Ada"}`, string(m.ConnInfo))
	require.JSONEq(t, `{"r":1}`, string(m.ChanInfo))
	s.api.Publish(t, "news", `"not granted"`)
	s.api.Publish(t, "closed:b", `"granted"`)
	c.ExpectPub(t, "closed:b")
}

// subscribe_proxy_enabled takes a namespace out of the client's choice, and
// nothing else (PROTOCOL 5.3).
func TestChannelsOfSubscribeHooksAreGrantedOnly(t *testing.T) {
	s := startStrict(t, parts{client: withSecret, channel: `, {"name": "hooked", "subscribe_proxy_enabled": true, "allow_subscribe_for_client": true}`}, nil)
	opts := testkit.ConnectOptions{Token: tokenOf(t, "42", map[string]any{"channels": []string{"hooked:granted"}})}
	opts.Subs = asking("hooked:asked", "news")
	res := s.connect(t, opts).ExpectConnect(t)
	require.Len(t, res.Subs, 2)
	require.Contains(t, res.Subs, "hooked:granted")
	require.NotContains(t, res.Subs, "hooked:asked")
}

// A backend that hangs, and then one that is gone, is felt by those who need it.
func TestHangingBackendDisturbsNobodyElse(t *testing.T) {
	b := newBackend(t)
	release := make(chan struct{})
	b.do(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	var log testkit.LogBuffer
	s := startStrict(t, parts{client: withSecret + b.connectHook("")}, slog.New(slog.NewTextHandler(&log, nil)))
	streaming := s.connect(t, testkit.ConnectOptions{Token: tokenOf(t, "1", nil), Subs: asking("news")})
	streaming.ExpectConnect(t)
	const stuck = 600 // more than may be under way
	began := time.Now()
	conns := make([]*testkit.Conn, stuck)
	for i := range conns {
		conns[i] = testkit.Dial(t, s.addr)
		conns[i].Send(get(testkit.DefaultPath))
	}
	testkit.Eventually(t, func() bool { return b.asked.Load() >= 512 }, "as many calls as may be under way")
	for range 20 {
		s.connects(t, "with a token", "2", testkit.ConnectOptions{Token: tokenOf(t, "2", nil)})
		s.api.Publish(t, "news", `1`)
		streaming.ExpectPub(t, "news")
	}
	b.status(http.StatusInternalServerError, "")
	close(release) // those under way get an empty answer, the others an error
	for _, c := range conns {
		require.Equal(t, 200, c.ReadHead(t).Status)
		text, err := io.ReadAll(c.Body())
		require.NoError(t, err)
		require.Contains(t, string(text), `{"disconnect":{"code":3004,"reason":"internal server error"}}`)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	logged := 1 + int(time.Since(began)/(5*time.Second)) // one, but for a machine that takes so long
	require.LessOrEqual(t, len(lines), logged, "a failing backend is one line every 5 s, not one for each client")
	for _, line := range lines {
		require.Contains(t, line, "hook=connect")
		require.Contains(t, line, b.server.URL)
	}
}
