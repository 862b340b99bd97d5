package console

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/logs"
)

// The audit log names who and what, and has nothing of what is published, nor a credential.
func TestAuditNamesTargets(t *testing.T) {
	f := func(method, body string, want map[string]any) {
		t.Helper()
		r := newRig(nil)
		cookie := asAdmin(t, r)
		r.post("/api/"+method, body, cookie)
		lines := r.lines(t, "console")
		line := lines[len(lines)-1]
		for _, key := range []string{"time", "level", "msg"} {
			delete(line, key)
		}
		want[logs.Audit.Key] = true
		want["who"], want["role"], want["address"], want["action"] = "admin", RoleAdmin, "192.0.2.1", method
		require.Equal(t, want, line)
		require.NotContains(t, r.log.String(), "hidden")
	}
	f("publish", `{"channel":"news","data":{"channel":"hidden"},"tags":{"hidden":"hidden"},"idempotency_key":"hidden"}`, map[string]any{"channel": "news"})
	f("publish", `{"CHANNEL":"news","Channel":"last","b64data":"hidden"}`, map[string]any{"channel": "last"})
	f("broadcast", `{"channels":["a","b"],"data":"hidden"}`, map[string]any{"channels": []any{"a", "b"}})
	f("disconnect", `{"user":"","client":"c","session":"hidden"}`, map[string]any{"user": "", "client": "c"})
	f("refresh", `{"user":"42","expire_at":5,"info":"hidden"}`, map[string]any{"user": "42"})
	f("rpc", `{"method":"m","params":"hidden"}`, map[string]any{"method": "m"})
	f("publish", `{"channel":`, map[string]any{})
	f("publish", `{"channel":"`+strings.Repeat("n", 5000)+`"}`, map[string]any{"channel": strings.Repeat("n", shownBytes) + "…"})
	f("batch", `{"commands":[{"publish":{"channel":"a","data":"hidden"}},{"disconnect":{"user":"42"}},{"publish":null}]}`,
		map[string]any{"methods": map[string]any{"publish": 1.0, "disconnect": 1.0}, "commands": []any{"publish channel=a", "disconnect user=42"}})
	many := strings.Repeat(`{"publish":{"channel":"a"}},`, 500) + `{"disconnect":{"user":"42"}}`
	r := newRig(nil)
	r.post("/api/batch", `{"commands":[`+many+`]}`, asAdmin(t, r))
	line := r.lines(t, "console")[1]
	require.Equal(t, map[string]any{"publish": 500.0, "disconnect": 1.0}, line["methods"], "none hides behind others")
	require.Len(t, line["commands"], commandsShown)
}

func TestStreamsAreBounded(t *testing.T) {
	r := newRig(nil)
	cookie := asViewer(t, r)
	for _, wrong := range []string{`{}`, `{"channels":[]}`, `{"channels":[""]}`, `{"channels":"a"}`, `{"channels":["` + strings.Repeat("a", nameMost+1) + `"]}`,
		`{"channels":["` + strings.Join(strings.Split(strings.Repeat("a", tailMost+1), ""), `","b`) + `"]}`, `x`} {
		resp := r.post("/stream", wrong, cookie)
		if strings.Contains(wrong, `","b`) {
			continue // equal names are one
		}
		require.Equal(t, 400, resp.StatusCode(), wrong)
	}
	names := make([]string, tailMost+1)
	for i := range names {
		names[i] = strings.Repeat("x", i+1)
	}
	body, err := json.Marshal(map[string]any{"channels": names})
	require.NoError(t, err)
	r.tail = nil
	require.Equal(t, 400, r.post("/stream", string(body), cookie).StatusCode())
	require.Nil(t, r.tail)
	for i := range tailsMost {
		r.tails.add(strings.Repeat("x", i%100) + string(rune('a'+i/100)))
	}
	require.LessOrEqual(t, len(r.tails.who), tailsMost)
}

func TestTokensAreForDevelopment(t *testing.T) {
	r := newRig(nil)
	require.Equal(t, 404, r.post("/token", `{"user":"42","ttl_s":60}`, asAdmin(t, r)).StatusCode())
	asked := ""
	r = newRig(func(o *Options) {
		o.Token = func(user string, claims map[string]any, ttl time.Duration) (string, error) {
			if asked = user; user == "bad" {
				return "", errors.New("claims: others expected")
			}
			return "the token", nil
		}
	})
	cookie := asAdmin(t, r)
	resp := r.post("/token", `{"user":"42","claims":{"x":1},"ttl_s":60}`, cookie)
	require.Equal(t, `{"token":"the token"}`, string(resp.Body()))
	require.Equal(t, "42", asked)
	require.NotContains(t, r.log.String(), "the token")
	for _, wrong := range []string{`{}`, `{"ttl_s":-1}`, `{"ttl_s":9999999999999}`, `{"user":"bad","ttl_s":1}`, `{"claims":[]}`} {
		require.Equal(t, 400, r.post("/token", wrong, cookie).StatusCode(), wrong)
	}
}

func TestQueriesAreChecked(t *testing.T) {
	r := newRig(nil)
	cookie := asViewer(t, r)
	f := func(want int, path string) map[string]any {
		t.Helper()
		resp := r.ask("GET /admin"+path, "", cookie)
		require.Equal(t, want, resp.StatusCode(), "%s: %s", path, resp.Body())
		return decoded(t, resp)
	}
	require.Equal(t, 1_800_000.0, f(200, "/now")["step_ms"])
	require.Equal(t, 86_400_000.0, f(200, "/now?range=24h&node=x")["step_ms"])
	require.Contains(t, f(400, "/now?range=7d")["error"], "range: 30m, 6h, 24h expected")
	require.Equal(t, float64(DefaultLimit), f(200, "/channels")["total"])
	require.Equal(t, []any{map[string]any{"channel": "a b/rate", "subscribers": 0.0, "rate": 0.0}}, f(200, "/channels?q=a+b&order=rate&desc=1&limit=200")["rows"])
	for _, wrong := range []string{"order=x", "desc=2", "limit=0", "limit=201", "limit=x", "offset=-1", "offset=99999999", "q=" + strings.Repeat("a", textMost+1)} {
		f(400, "/channels?"+wrong)
		f(400, "/clients?"+wrong)
	}
	f(400, "/clients?by=password")
	f(200, "/clients?by=address&q=10.0.0.0/8&order=lag")
	require.Equal(t, "name: too long", f(400, "/channel?name=x")["error"])
	f(400, "/channel")
	f(404, "/client?client=x")
	f(400, "/client")
	f(200, "/config")
}

func TestFiguresWithoutAValueAreNull(t *testing.T) {
	text, err := json.Marshal(Figures{1, math.NaN(), 0.25, math.Inf(1), 1e21})
	require.NoError(t, err)
	require.JSONEq(t, `[1,null,0.25,null,1e21]`, string(text))
	text, err = json.Marshal(Figures(nil))
	require.NoError(t, err)
	require.Equal(t, `[]`, string(text))
}

func TestPages(t *testing.T) {
	r := newRig(nil)
	resp := r.ask("GET /admin", "")
	require.Equal(t, 308, resp.StatusCode())
	require.Equal(t, "admin/", string(resp.Header.Peek("Location")))
	resp = r.ask("GET /admin/", "")
	require.Equal(t, 200, resp.StatusCode())
	require.Contains(t, strings.ToLower(string(resp.Body())), "<!doctype html>")
	require.Equal(t, "text/html; charset=utf-8", string(resp.Header.ContentType()))
	etag := string(resp.Header.Peek("ETag"))
	require.Equal(t, 304, r.ask("GET /admin/", "", "If-None-Match: "+etag).StatusCode())
	require.Equal(t, 405, r.ask("POST /admin/", "", ours...).StatusCode())
	require.Equal(t, 404, r.ask("GET /admin/nope", "").StatusCode())
	for at, f := range mustFiles() {
		require.NotEmpty(t, f.contentType, at)
		require.Contains(t, Paths("/admin"), "/admin"+at)
	}
	root := newRig(func(o *Options) { o.Prefix = "" })
	require.Equal(t, 200, root.ask("GET /", "").StatusCode())
	require.Contains(t, string(root.ask("POST /login", `{"password":"`+adminPassword+`"}`, ours...).Header.Peek("Set-Cookie")), "; path=/;")
	require.NotContains(t, Paths(""), "")
}

// A glob costs what it costs for each of all channels.
func TestGlobsAreBounded(t *testing.T) {
	r := newRig(nil)
	cookie := r.login(t, `{"password":"`+viewerPassword+`"}`)
	ask := func(pattern string) int {
		return r.post("/api/channels", `{"pattern":"`+pattern+`"}`, cookie).StatusCode()
	}
	require.Equal(t, 200, ask(strings.Repeat("*", StarsMost)))
	require.Equal(t, []string{"channels"}, r.called)
	require.Equal(t, 400, ask(strings.Repeat("{*,*a}", StarsMost)))
	require.Equal(t, []string{"channels"}, r.called)
	require.Empty(t, r.walks, "the next one may")
}

// What changes something is in the log however often it is done, and has a word to find it by.
func TestChangesAreNeverLeftOutOfTheLog(t *testing.T) {
	r := newRig(nil)
	cookie := r.login(t, `{"password":"`+adminPassword+`"}`)
	r.post("/api/disconnect", `{"user":"ann"}`, cookie)
	lines := r.lines(t, "console")
	require.Len(t, lines, 2)
	require.NotContains(t, lines[0], logs.Audit.Key, "a login changes nothing")
	require.Equal(t, true, lines[1][logs.Audit.Key])
}
