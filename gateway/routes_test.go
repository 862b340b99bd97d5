package gateway

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/config"
	"sluice/gateway/testkit"
)

// chunkedPost is a POST whose body says no length.
func chunkedPost(target, body string) string {
	return "POST " + target + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" +
		strconv.FormatInt(int64(len(body)), 16) + "\r\n" + body + "\r\n0\r\n\r\n"
}

// Whatever the prefix, the credentials in a body are what a ticket is issued
// for, however the body is framed.
func TestATicketIsForTheCredentialsOfItsBodyWhateverThePrefix(t *testing.T) {
	good := `{"token":"` + testkit.HS256(t, testSecret, map[string]any{"sub": "u"}) + `"}`
	const bad = `{"token":"a.b.c"}`
	for prefix, ticket := range map[string]string{
		"/": "/ticket", "/e": "/e/ticket", "/e/": "/e/ticket", "/connection/uni_sse": "/connection/uni_sse/ticket",
	} {
		s := startServer(t, parts{sse: `, "handler_prefix": "` + prefix + `"`})
		for _, c := range []struct {
			body string
			want int
		}{{good, 200}, {bad, 401}, {"{bad", 400}, {"", 200}} {
			head, text := roundTrip(t, s.addr, post(ticket, c.body))
			require.Equal(t, c.want, head.Status, "%s %q: %s", prefix, c.body, text)
			if c.body != "" {
				head, text = roundTrip(t, s.addr, chunkedPost(ticket, c.body))
				require.Equal(t, c.want, head.Status, "%s chunked %q: %s", prefix, c.body, text)
			}
		}
	}
}

// Every path of every listener has one meaning for whoever limits the body and
// whoever answers: it is one table.
func TestThePathsOfAListenerAreOneTable(t *testing.T) {
	load := func(text string) *config.Config {
		cfg, _, err := config.Load(config.Source{Path: configFile(t, text), Dir: t.TempDir()})
		require.NoError(t, err)
		return cfg
	}
	on := `"uni_sse": {"enabled": true, "handler_prefix": "/"}, "http_api": {"key": "k", "handler_prefix": "/a"},
		"health": {"enabled": true}, "prometheus": {"enabled": true}, "init": {"enabled": true}, "debug": {"enabled": true}`
	both := load("{" + on + "}")
	require.Equal(t, []listener{{public: true, operations: true}}, listeners(both))
	all, err := newRoutes(both, false, listeners(both)[0])
	require.NoError(t, err)
	rules := map[string]bodyRule{}
	for path, r := range all.exact {
		rules[path] = r.body
	}
	require.Equal(t, map[string]bodyRule{
		"/": bodyConnect, "/ticket": bodyTicket, "/a": bodyCall, "/a/publish": bodyCall, "/a/broadcast": bodyCall,
		"/a/subscribe": bodyCall, "/a/unsubscribe": bodyCall, "/a/disconnect": bodyCall, "/a/refresh": bodyCall,
		"/a/presence": bodyCall, "/a/presence_stats": bodyCall, "/a/history": bodyCall, "/a/history_remove": bodyCall,
		"/a/channels": bodyCall, "/a/info": bodyCall, "/a/rpc": bodyCall, "/a/batch": bodyCall,
		"/health": bodyUnwanted, "/ready": bodyUnwanted, "/metrics": bodyUnwanted, "/connection/init": bodyUnwanted,
	}, rules)
	require.Same(t, all.profiles, all.find([]byte("/debug/pprof/heap")))
	require.Same(t, nowhere, all.find([]byte("/debug/pprof")))
	require.Same(t, nowhere, all.find([]byte("/a/nothing")))
	require.Same(t, nowhere, all.find([]byte("")))

	split := load(`{"http_server": {"internal_port": 9000}, ` + on + "}")
	require.Equal(t, []listener{{public: true}, {operations: true}}, listeners(split))
	public, err := newRoutes(split, false, listeners(split)[0])
	require.NoError(t, err)
	require.Equal(t, []string{"/", "/ticket"}, slices.Sorted(maps.Keys(public.exact)))
	require.Nil(t, public.profiles)
	internal, err := newRoutes(split, false, listeners(split)[1])
	require.NoError(t, err)
	require.Equal(t, bodyCall, internal.find([]byte("/a/publish")).body)
	require.Same(t, nowhere, internal.find([]byte("/")), "streams are for the public")
}

func TestPathsThatTwoOptionsClaimAreRefusedByName(t *testing.T) {
	f := func(fields string, want ...string) {
		t.Helper()
		path := configFile(t, `{"uni_sse": {"enabled": true`+fields+`}`)
		cfg, _, err := config.Load(config.Source{Path: path, Dir: t.TempDir()})
		require.NoError(t, err)
		g, err := New(cfg, Options{})
		out, _, code := command("checkconfig", "-c", path)
		if len(want) == 0 {
			require.NoError(t, err)
			require.NoError(t, g.Start())
			(&server{Gateway: g}).stop(t)
			require.Equal(t, 0, code, out)
			return
		}
		require.Error(t, err)
		require.Equal(t, 1, code)
		for _, w := range want {
			require.ErrorContains(t, err, w)
			require.Contains(t, out, w)
		}
	}
	server := `, "http_server": {"address": "127.0.0.1", "port": 0}, "http_api": {"key": "k"`
	f(`}` + server + `}`)
	f(`, "handler_prefix": "/api/publish"}`+server+`}`,
		`uni_sse.handler_prefix and http_api.handler_prefix both have the path "/api/publish"`)
	f(`, "handler_prefix": "/api/other"}` + server + `}`) // as in the reference: only the paths of methods are the API's
	f(`}`+server+`}, "health": {"enabled": true, "handler_prefix": "/connection/uni_sse/ticket"}`,
		`uni_sse.handler_prefix (its tickets) and health.handler_prefix both have the path "/connection/uni_sse/ticket"`)
	f(`, "handler_prefix": "/"}`+server+`}, "init": {"enabled": true, "handler_prefix": "/ticket"}, "health": {"enabled": true}, "prometheus": {"enabled": true, "handler_prefix": "/ready"}`,
		`uni_sse.handler_prefix (its tickets) and init.handler_prefix both have the path "/ticket"`,
		`health.handler_prefix (its /ready) and prometheus.handler_prefix both have the path "/ready"`)
	f(`, "handler_prefix": "/info"}`+server+`, "handler_prefix": "/"}`,
		`uni_sse.handler_prefix and http_api.handler_prefix both have the path "/info"`)
	// Each on its own listener.
	f(`, "handler_prefix": "/info"}, "http_server": {"address": "127.0.0.1", "port": 0, "internal_address": "127.0.0.1", "internal_port": ` +
		strconv.Itoa(testkit.FreePort(t)) + `}, "http_api": {"key": "k", "handler_prefix": "/"}`)

	cfg, _, err := config.Load(config.Source{Path: configFile(t, `{"uni_sse": {"enabled": true, "handler_prefix": "/"}, "http_api": {"key": "k"}}`), Dir: t.TempDir()})
	require.NoError(t, err)
	_, err = New(cfg, Options{Dev: true})
	require.ErrorContains(t, err, `uni_sse.handler_prefix and the live page of --dev both have the path "/"`)
}

// What operators look at is served at the root, too, if that is what the option
// says.
func TestOperationsAtTheRoot(t *testing.T) {
	text := strings.Replace(fmt.Sprintf(baseConfig, "", "", "", ""), `"health": {"enabled": true}`, `"health": {"enabled": true, "handler_prefix": "/"}`, 1)
	s := launch(t, text)
	defer s.stop(t)
	for _, path := range []string{"/", "/ready"} {
		head, _ := roundTrip(t, s.addr, get(path))
		require.Equal(t, 200, head.Status, path)
	}
}

// Whoever limits the body and whoever answers see the same path, however a
// target is written: what fasthttp would make another of is nobody's.
func FuzzTheBodyAndTheAnswerSeeOnePath(f *testing.F) {
	for _, target := range []string{"/", "/a?b", "http://h", "http://h?x", "http://h/a", "//h/a", "/a//b", "/a/../b", "/%61", "*", "", "?", "http:/a", "a://b://c", "/a#b", "http://h#/a"} {
		f.Add(target)
	}
	cfg := config.Default()
	cfg.UniSSE.Enabled = true
	table, err := newRoutes(cfg, false, listener{public: true, operations: true})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, target string) {
		var ctx fasthttp.RequestCtx
		ctx.Request.Header.SetRequestURI(target)
		ctx.Request.Header.SetHost("h")
		before := table.find(targetPath(ctx.Request.Header.RequestURI()))
		served := nowhere
		probe := &Gateway{}
		probe.guard(func(ctx *fasthttp.RequestCtx) { served = table.find(ctx.Path()) })(&ctx)
		if served != nowhere {
			require.Same(t, before, served, "%q", target)
		}
	})
}
