package test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// closedNamespace is one whose channels no client may subscribe to, and which tells who is
// there.
const closedNamespace = `, "namespaces": [{"name": "closed", "presence": true, "join_leave": true, "force_push_join_leave": true,
	"history_size": 10, "history_ttl": "300s", "force_recovery": true}]`

// What is published through the console reaches streams, and its own: of any channel, from
// where they were cut, and without being seen there.
func TestConsoleStreamsDeliverAndResume(t *testing.T) {
	r := startReloading(t, consoleText(parts{channel: closedNamespace}, ""))
	admin, viewer := logIn(t, r.addr, adminPassword), logIn(t, r.addr, viewerPassword)
	tail := viewer.open(t, "/stream", `{"channels":["closed:a","news"]}`, "")
	connect := tail.ExpectConnect(t)
	require.Len(t, connect.Subs, 2)
	require.Equal(t, map[string]any{"num_clients": 0.0, "num_users": 0.0}, viewer.post(t, 200, "/api/presence_stats", `{"channel":"closed:a"}`)["result"])

	admin.post(t, 200, "/api/publish", `{"channel":"closed:a","data":{"n":1}}`)
	require.JSONEq(t, `{"n":1}`, string(tail.ExpectPub(t, "closed:a").Data))
	r.api.Publish(t, "news", `{"n":2}`)
	tail.ExpectPub(t, "news")
	tail.Close()
	admin.post(t, 200, "/api/publish", `{"channel":"closed:a","data":{"n":3}}`)
	tail = viewer.open(t, "/stream", `{"channels":["closed:a","news"]}`, tail.LastEventID())
	sub := tail.ExpectConnect(t).Subs["closed:a"]
	require.True(t, sub.Recovered)
	require.Len(t, sub.Publications, 1)
	require.JSONEq(t, `{"n":3}`, string(sub.Publications[0].Data))

	require.Contains(t, fmt.Sprint(viewer.post(t, 404, "/stream", `{"channels":["nowhere:a"]}`)), "namespace")
	require.Equal(t, 1.0, admin.post(t, 200, "/api/info", `{}`)["result"].(map[string]any)["nodes"].([]any)[0].(map[string]any)["num_clients"], "it counts as a stream")

	// The stream ends with the login.
	other := logIn(t, r.addr, viewerPassword)
	viewer.post(t, 204, "/logout", "")
	tail.ExpectDisconnect(t, 3005)
	viewer.get(t, 401, "/me")
	other.get(t, 200, "/me")
	head, _ := viewer.ask(t, "POST", "/stream", `{"channels":["news"]}`)
	require.Equal(t, 401, head.Status)
}

// A session that nobody uses takes its streams along, whatever a refresh hook would say.
func TestConsoleStreamEndsWithTheSession(t *testing.T) {
	b := newBackend(t)
	b.say(`{"result":{"expire_at":9999999999}}`)
	r := startReloading(t, consoleText(parts{client: b.refreshHook("")}, `, "session_lifetime": "2s"`))
	viewer := logIn(t, r.addr, viewerPassword)
	tail := viewer.open(t, "/stream", `{"channels":["news"]}`, "")
	tail.ExpectConnect(t)
	tail.ExpectEnd(t)
	viewer.get(t, 401, "/me")
	require.Zero(t, b.asked.Load())
}

// A shutdown ends the console's streams as all others.
func TestConsoleStreamsEndAtShutdown(t *testing.T) {
	s := launch(t, consoleText(parts{}, ""))
	tail := logIn(t, s.addr, adminPassword).open(t, "/stream", `{"channels":["news"]}`, "")
	tail.ExpectConnect(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(t, s.Stop(ctx))
	tail.ExpectDisconnect(t, 3001)
}

// P/connect is what the public endpoint does, without anything of the login: a hook sees
// the page's other cookies alone.
func TestConsoleCookieIsNotPassedToHooks(t *testing.T) {
	b := newBackend(t)
	b.do(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"result":{"user":"42"}}`)) })
	hook := b.connectHook(`, "http_headers": ["Cookie", "Authorization", "X-Sluice-Console", "User-Agent"]`)
	r := startReloading(t, consoleText(parts{client: hook, channel: closedNamespace}, ""))
	admin := logIn(t, r.addr, adminPassword)
	login := admin.cookie
	admin.cookie += "; theirs=1"
	c := admin.open(t, "/connect", `{"data":{"x":1}}`, "")
	c.ExpectConnect(t)
	c.Close()
	call := b.last(t)
	require.Equal(t, "theirs=1", call.head.Get("Cookie"))
	admin.headers, admin.cookie = [][2]string{{"Authorization", "token " + strings.TrimPrefix(login, "sluice_console=")}}, "theirs=2"
	admin.open(t, "/connect", `{}`, "").ExpectConnect(t)
	call = b.last(t)
	require.Equal(t, "theirs=2", call.head.Get("Cookie"))
	require.Empty(t, call.head.Get("Authorization"))
	require.Empty(t, call.head.Get("X-Sluice-Console"))

	// Nor does the public endpoint pass it on where the browser sends it there as well.
	root := startReloading(t, consoleText(parts{client: hook, api: `, "handler_prefix": "/server"`}, `, "handler_prefix": "/"`))
	o := &operator{addr: root.addr}
	head, text := o.ask(t, "POST", "/login", fmt.Sprintf(`{"password":%q}`, adminPassword))
	require.Equal(t, 200, head.Status, text)
	o.cookie, _, _ = strings.Cut(head.Get("Set-Cookie"), ";")
	o.get(t, 200, "/me")
	testkit.Connect(t, root.addr, testkit.ConnectOptions{HTTPHeaders: [][2]string{{"Cookie", o.cookie + "; theirs=3"}}}).ExpectConnect(t)
	require.Equal(t, "theirs=3", b.last(t).head.Get("Cookie"))
}

// A connect by the console resumes as by the public endpoint, and is refused as by it.
func TestConsoleConnects(t *testing.T) {
	r := startReloading(t, consoleText(parts{channel: `, "namespaces": [{"name": "open", "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true,
		"history_size": 10, "history_ttl": "300s", "force_recovery": true}]`}, ""))
	admin := logIn(t, r.addr, adminPassword)
	const connect = `{"subs":{"open:a":{}}}`
	c := admin.open(t, "/connect", connect, "")
	c.ExpectConnect(t)
	r.api.Publish(t, "open:a", `{"n":1}`)
	c.ExpectPub(t, "open:a")
	c.Close()
	r.api.Publish(t, "open:a", `{"n":2}`)
	sub := admin.open(t, "/connect", connect, c.LastEventID()).ExpectConnect(t).Subs["open:a"]
	require.True(t, sub.Recovered && len(sub.Publications) == 1)
	admin.open(t, "/connect", `{"token":"wrong"}`, "").ExpectDisconnect(t, 3500)
	for _, body := range []string{`[`, `{"subs":5}`} {
		head, text := admin.ask(t, "POST", "/connect", body)
		public, publicText := testkit.RoundTrip(t, r.addr, testkit.Request{Method: "POST", Target: testkit.DefaultPath, Body: body})
		require.Equal(t, public.Status, head.Status)
		require.Equal(t, string(publicText), text)
	}
	logIn(t, r.addr, viewerPassword).post(t, 403, "/connect", connect)
	var lines []string
	for line := range strings.Lines(r.log.String()) {
		var entry map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &entry))
		if entry["msg"] == "console" && entry["action"] == "connect" {
			lines = append(lines, line)
		}
	}
	require.Len(t, lines, 5)
}
