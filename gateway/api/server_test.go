package api

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/auth"
)

func TestOtherMethodThanPostIs405BeforeTheKey(t *testing.T) {
	r := newRig(t, nil)
	for _, method := range []string{"GET", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD"} {
		for _, path := range []string{"/api/publish", "/api", "/api/batch"} {
			got := r.do(method, path, "", "X-API-Key", "wrong")
			require.Equal(t, 405, got.status, method)
			require.Equal(t, "POST", got.head.Get("Allow"))
			if method != "HEAD" {
				require.Equal(t, `{"error":{"code":405,"message":"method not allowed: POST expected"}}`+"\n", got.body)
			}
		}
	}
}

func TestUnknownPathBelowThePrefixIs404WithoutAKey(t *testing.T) {
	r := newRig(t, nil)
	for _, path := range []string{"/api/", "/api/nosuch", "/api/publish/", "/api/Publish", "/api/publish/x", "/api/connections", "/api/block_user"} {
		for _, method := range []string{"POST", "GET"} {
			got := r.do(method, path, "{}", "X-API-Key", "")
			require.Equal(t, 404, got.status, path)
			require.Equal(t, "404 page not found\n", got.body)
			require.Equal(t, "text/plain; charset=utf-8", got.head.Get("Content-Type"))
		}
	}
	for _, path := range []string{"/", "/apis", "/apipublish", "/connection/uni_sse"} {
		require.Equal(t, http.StatusTeapot, r.do("POST", path, "{}").status)
		require.Equal(t, path, <-r.other)
	}
}

func TestPrefixIsTrimmedAndMayBeTheTop(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Prefix = "/x/api//" })
	require.Equal(t, 200, r.do("POST", "/x/api/info", "{}").status)
	require.Equal(t, 200, r.do("POST", "/x/api", `{"method":"info"}`).status)
	top := newRig(t, func(o *Options) { o.Prefix = "/" })
	require.Equal(t, 200, top.do("POST", "/info", "{}").status)
	require.Equal(t, 200, top.do("POST", "/", `{"method":"info"}`).status)
	require.Equal(t, http.StatusTeapot, top.do("GET", "/health", "").status)
}

func TestKeyForms(t *testing.T) {
	r := newRig(t, nil)
	f := func(status int, query string, header ...string) {
		t.Helper()
		got := r.do("POST", "/api/info"+query, "{}", append([]string{"X-API-Key", ""}, header...)...)
		require.Equal(t, status, got.status, "%q %q", query, header)
		if status == 401 {
			require.JSONEq(t, `{"error":{"code":401,"message":"unauthorized: the key of http_api.key expected in X-API-Key, or as \"Authorization: apikey <key>\""}}`, got.body)
			require.Equal(t, 1, strings.Count(got.body, "\n"), "one line")
			require.Equal(t, "application/json", got.head.Get("Content-Type"))
			require.Empty(t, got.head.Get("WWW-Authenticate"))
		}
	}
	f(401, "")
	f(200, "", "X-API-Key", apiKey)
	f(401, "", "X-API-Key", "wrong")
	f(401, "", "X-API-Key", "wrong", "Authorization", "apikey "+apiKey)
	f(200, "", "Authorization", "apikey "+apiKey)
	f(200, "", "Authorization", "APIKEY \t "+apiKey)
	f(401, "", "Authorization", "Bearer "+apiKey)
	f(401, "", "Authorization", apiKey)
	f(401, "", "Authorization", "apikey "+apiKey+" x")
	f(200, "?api_key="+apiKey)
	f(200, "?api_key="+apiKey, "X-API-Key", "wrong")
	f(401, "?api_key=wrong")
	f(401, "?API_KEY="+apiKey)

	none := auth.NewAPIKeys(auth.APIKeyOptions{})
	r = newRig(t, func(o *Options) { o.Keys = func() *auth.APIKeys { return none } })
	f(401, "", "X-API-Key", apiKey)
	insecure := auth.NewAPIKeys(auth.APIKeyOptions{Insecure: true})
	r = newRig(t, func(o *Options) { o.Keys = func() *auth.APIKeys { return insecure } })
	f(200, "")
}

func TestUndecodableBodyIs400(t *testing.T) {
	r := newRig(t, nil)
	for _, method := range []string{
		"publish", "broadcast", "subscribe", "unsubscribe", "disconnect", "refresh", "presence", "presence_stats",
		"history", "history_remove", "channels", "info", "rpc", "batch",
	} {
		for _, body := range []string{"", " ", "{bad", "[]", `"x"`, "1", "{} x", "{}{}", `{"a":1,}`} {
			got := r.post(method, body, "X-Centrifugo-Error-Mode", "transport")
			require.Equal(t, 400, got.status, "%s %s", method, body)
			require.Equal(t, "Bad Request\n", got.body)
			require.Equal(t, "text/plain; charset=utf-8", got.head.Get("Content-Type"))
			require.NotEmpty(t, got.head.Get(detailHeader))
		}
		require.Equal(t, 200, r.post(method, `null`).status, method)
		require.Equal(t, 200, r.post(method, `{"unknown":{"a":[1]}}`, "Content-Type", "text/csv").status, method)
	}
}

func TestWrongTypesAre400AndNamed(t *testing.T) {
	r := newRig(t, nil)
	f := func(method, body, field string) {
		t.Helper()
		got := r.post(method, body)
		require.Equal(t, 400, got.status, body)
		require.Equal(t, "Bad Request\n", got.body)
		require.True(t, strings.HasPrefix(got.head.Get(detailHeader), field+": "), "%s: %q", body, got.head.Get(detailHeader))
	}
	f("publish", `{"channel":1}`, "channel")
	f("publish", `{"tags":{"a":1}}`, "tags.*")
	f("publish", `{"version":-1}`, "version")
	f("publish", `{"skip_history":"true"}`, "skip_history")
	f("publish", `{"b64data":{}}`, "b64data")
	f("broadcast", `{"channels":"news"}`, "channels")
	f("broadcast", `{"channels":["a",1]}`, "channels.1")
	f("subscribe", `{"expire_at":"1"}`, "expire_at")
	f("subscribe", `{"override":{"presence":true}}`, "override.presence")
	f("subscribe", `{"recover_since":{"offset":"1"}}`, "recover_since.offset")
	f("unsubscribe", `{"user":42}`, "user")
	f("disconnect", `{"whitelist":"a"}`, "whitelist")
	f("disconnect", `{"disconnect":{"code":-1}}`, "disconnect.code")
	f("refresh", `{"expired":1}`, "expired")
	f("presence", `{"channel":[]}`, "channel")
	f("presence_stats", `{"channel":{}}`, "channel")
	f("history", `{"limit":1.5}`, "limit")
	f("history", `{"limit":2147483648}`, "limit")
	f("history", `{"since":{"offset":-1}}`, "since.offset")
	f("history_remove", `{"channel":true}`, "channel")
	f("channels", `{"pattern":1}`, "pattern")
	f("rpc", `{"method":1}`, "method")
	f("batch", `{"commands":{}}`, "commands")
	f("batch", `{"commands":[{"publish":{"channel":1}}]}`, "commands.0.publish.channel")
	f("batch", `{"parallel":"yes"}`, "parallel")
}

func TestDeepNestingIs400AtOnce(t *testing.T) {
	r := newRig(t, nil)
	const n = 10_000_000
	for _, method := range []string{"publish", "batch", ""} {
		for _, body := range []string{strings.Repeat("[", n), `{"data":` + strings.Repeat("[", n), `{"params":` + strings.Repeat(`{"a":`, n/5)} {
			got := r.post(method, body)
			require.Equal(t, 400, got.status)
			require.Equal(t, "Bad Request\n", got.body)
		}
	}
	deep := func(levels int) string {
		return `{"channel":"a","data":` + strings.Repeat("[", levels) + strings.Repeat("]", levels) + `}`
	}
	r.expect("publish", deep(128), `{"result":{}}`)
	r.refused("publish", deep(129), codec.ErrBadRequest, "data: bad JSON at byte 128: nested deeper than 128 levels")
	require.Equal(t, 400, r.post("publish", deep(200)).status)
}

func TestBodyAboveTheLimitIs413(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxBody = 1000 })
	body := `{"channel":"a","data":"` + strings.Repeat("x", 1000-25) + `"}`
	require.Len(t, body, 1000)
	require.Equal(t, `{"result":{}}`, r.post("publish", body).body)
	for _, method := range []string{"publish", ""} {
		got := r.post(method, body+" ")
		require.Equal(t, 413, got.status)
		require.Equal(t, `{"error":{"code":413,"message":"request body too large"}}`+"\n", got.body)
	}
	require.Equal(t, 401, r.post("publish", body+" ", "X-API-Key", "wrong").status)
}

func TestTransportModeTurnsErrorsIntoStatuses(t *testing.T) {
	r := newRig(t, nil)
	byHeader := func(status int, method, body, want string) {
		t.Helper()
		got := r.post(method, body, "X-Centrifugo-Error-Mode", "transport")
		require.Equal(t, status, got.status, body)
		require.Equal(t, "application/json", got.head.Get("Content-Type"))
		require.Equal(t, want, got.body)
	}
	byHeader(404, "publish", `{"channel":"no:x","data":1}`, `{"code":102,"message":"unknown channel"}`)
	byHeader(404, "rpc", `{"method":"x"}`, `{"code":104,"message":"not found"}`)
	byHeader(400, "publish", `{}`, `{"code":107,"message":"bad request"}`)
	byHeader(400, "history", `{"channel":"news"}`, `{"code":108,"message":"not available"}`)
	byHeader(416, "history", `{"channel":"hh:a","since":{"epoch":"bad"}}`, `{"code":112,"message":"unrecoverable position"}`)
	byHeader(500, "channels", `{"pattern":"[a"}`, `{"code":100,"message":"internal server error"}`)
	byHeader(400, "broadcast", `{}`, `{"code":107,"message":"bad request"}`)
	byHeader(200, "publish", `{"channel":"a","data":1}`, `{"result":{}}`)
	// Not within batch, broadcast and the legacy endpoint.
	byHeader(200, "broadcast", `{"channels":["no:x"],"data":1}`, `{"result":{"responses":[{"error":{"code":102,"message":"unknown channel"}}]}}`)
	byHeader(200, "batch", `{"commands":[null]}`, `{"replies":[{"error":{"code":107,"message":"bad request"}}]}`)
	byHeader(200, "", `{}`, `{"error":{"code":107,"message":"bad request"}}`)

	require.Equal(t, 200, r.post("publish", `{}`, "X-Centrifugo-Error-Mode", "Transport").status)
	r.sessions.err = codec.ErrConflict
	byHeader(409, "unsubscribe", `{"channel":"a"}`, `{"code":113,"message":"conflict"}`)

	r = newRig(t, func(o *Options) { o.ErrorMode = ErrorModeTransport })
	got := r.post("publish", `{"channel":"no:x","data":1}`)
	require.Equal(t, 404, got.status)
	require.Equal(t, `{"code":102,"message":"unknown channel"}`, got.body)
}

func TestFailuresBehindTheAPIAre100AndLoggedOnceASecond(t *testing.T) {
	r := newRig(t, nil)
	r.sessions.err = context.DeadlineExceeded
	for range 50 {
		r.refused("unsubscribe", `{"channel":"a","user":"u"}`, codec.ErrInternal, "")
	}
	lines := strings.Count(r.log.String(), "level=ERROR")
	require.Positive(t, lines)
	require.Less(t, lines, 50)
	require.Contains(t, r.log.String(), "deadline exceeded")
}

func TestThrottleCountsWhatItHoldsBack(t *testing.T) {
	var th throttle
	now := time.Unix(1000, 0)
	skipped, ok := th.allow(now)
	require.True(t, ok)
	require.Zero(t, skipped)
	for range 3 {
		_, ok = th.allow(now.Add(999 * time.Millisecond))
		require.False(t, ok)
	}
	skipped, ok = th.allow(now.Add(time.Second))
	require.True(t, ok)
	require.EqualValues(t, 3, skipped)
}

func TestPanicCostsOneCallOnly(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Rules = nil })
	r.refused("publish", `{"channel":"a","data":1}`, codec.ErrInternal, "")
	r.expect("broadcast", `{"channels":[]}`, `{"error":{"code":107,"message":"bad request"}}`)
	r.expect("batch", `{"commands":[{"publish":{"channel":"a"}},{"rpc":{"method":"x"}}],"parallel":true}`,
		`{"replies":[{"error":{"code":100,"message":"internal server error"}},{"error":{"code":104,"message":"not found"}}]}`)
	r.expect("", `{"params":{"channel":"a"}}{"method":"info"}`, "{\"error\":{\"code\":100,\"message\":\"internal server error\"}}\n{\"result\":{\"nodes\":[]}}")
	require.Contains(t, r.log.String(), "panic")
}

func TestNothingOfRequestsIsLoggedAtInfoAndNoSecretsEver(t *testing.T) {
	r := newRig(t, nil)
	r.post("publish", `{"channel":"news","data":{"p":"payload-secret"}}`)
	r.post("publish", `{"channel":"news","data":{bad payload-secret}}`)
	r.post("publish", `{"channel":"obj:a","data":"payload-secret"}`)
	r.post("publish", `{"channel":"news","b64data":"payload-secret"}`)
	r.post("publish", `{"channel":"news","tags":{"payload-secret":1}}`)
	r.post("publish", `{}`, "X-API-Key", "wrong-secret")
	log := r.log.String()
	require.NotContains(t, log, "secret")
	require.NotContains(t, log, "level=INFO")
	require.Contains(t, log, "level=DEBUG")
}

func TestDrainRefusesNewCallsAndLetsThoseInHandEnd(t *testing.T) {
	r := newRig(t, nil)
	r.sessions.block = make(chan struct{})
	r.sessions.entered = make(chan struct{}, 1)
	answered := make(chan reply, 1)
	go func() { answered <- r.post("refresh", `{"user":"42"}`) }()
	<-r.sessions.entered
	r.server.Drain()
	for _, method := range []string{"publish", "batch", ""} {
		got := r.post(method, `{"channel":"a","data":1}`)
		require.Equal(t, 503, got.status)
		require.Equal(t, `{"error":{"code":503,"message":"shutting down: try another node"}}`+"\n", got.body)
	}
	require.Equal(t, 401, r.post("publish", `{}`, "X-API-Key", "wrong").status)
	require.Empty(t, r.sink.take())

	close(r.sessions.block)
	require.Equal(t, `{"result":{}}`, (<-answered).body)
}

func TestCallsEndWithTheirTimeout(t *testing.T) {
	r := newRig(t, func(o *Options) { o.CallTimeout = time.Millisecond })
	r.sessions.block = make(chan struct{}) // never closed: only the timeout ends the call
	r.refused("refresh", `{"user":"42"}`, codec.ErrInternal, "")
}
