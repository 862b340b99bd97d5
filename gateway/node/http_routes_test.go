package node

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/api"
	"sluice/gateway/config"
	"sluice/gateway/testkit"
)

// Every path of every listener has one meaning for whoever limits the body and
// whoever answers: it is one table.
func TestThePathsOfAListenerAreOneTable(t *testing.T) {
	on := `"uni_sse": {"enabled": true, "handler_prefix": "/"}, "http_api": {"key": "k", "handler_prefix": "/a"},
		"health": {"enabled": true}, "prometheus": {"enabled": true}, "init": {"enabled": true}, "debug": {"enabled": true}`
	both := load(t, "{"+on+"}")
	require.Equal(t, []listener{{public: true, operations: true}}, listeners(separateIn(both)))
	all, err := newRoutes(both, false, listeners(false)[0])
	require.NoError(t, err)
	rules := map[string]bodyRule{}
	for path, r := range all.exact {
		rules[path] = r.body
	}
	want := map[string]bodyRule{
		"/": bodyConnect, "/ticket": bodyTicket,
		"/health": bodyUnwanted, "/ready": bodyUnwanted, "/metrics": bodyUnwanted, "/connection/init": bodyUnwanted,
	}
	calls := api.Paths("/a")
	require.Subset(t, calls, []string{"/a", "/a/publish", "/a/batch"})
	for _, path := range calls {
		want[path] = bodyCall
	}
	require.Equal(t, want, rules)
	require.Same(t, all.profiles, all.find([]byte("/debug/pprof/heap")))
	require.Same(t, nowhere, all.find([]byte("/debug/pprof")))
	require.Same(t, nowhere, all.find([]byte("/a/nothing")))
	require.Same(t, nowhere, all.find([]byte("")))

	split := load(t, `{"http_server": {"internal_port": 9000}, `+on+"}")
	require.Equal(t, []listener{{public: true}, {operations: true}}, listeners(separateIn(split)))
	public, err := newRoutes(split, false, listeners(true)[0])
	require.NoError(t, err)
	require.Equal(t, []string{"/", "/ticket"}, slices.Sorted(maps.Keys(public.exact)))
	require.Nil(t, public.profiles)
	internal, err := newRoutes(split, false, listeners(true)[1])
	require.NoError(t, err)
	require.Equal(t, bodyCall, internal.find([]byte("/a/publish")).body)
	require.Same(t, nowhere, internal.find([]byte("/")), "streams are for the public")
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
		probe := &Node{}
		probe.guard(table, func(ctx *fasthttp.RequestCtx) { served = table.find(targetPath(ctx.Request.Header.RequestURI())) })(&ctx)
		if served != nowhere {
			require.Same(t, before, served, "%q", target)
		}
	})
}

func TestPathsOfTargets(t *testing.T) {
	for target, want := range map[string]string{
		"/": "/", "/a?b=://c/d": "/a", "http://h/a/b?c": "/a/b", "http://h": "/", "https://h?x=/a": "/", "*": "*", "": "",
	} {
		require.Equal(t, want, string(targetPath([]byte(target))), target)
	}
}

// What takes long says so, so that no other request waits behind a scrape or a profile.
func TestMetricsAndProfilesKeepNobodyWaiting(t *testing.T) {
	s := startServer(t, parts{api: `}, "prometheus": {"enabled": true}, "debug": {"enabled": true`})
	table, err := newRoutes(s.cfg, false, listener{public: true, operations: true})
	require.NoError(t, err)
	for path, waits := range map[string]bool{"/metrics": true, "/debug/pprof/goroutine": true, "/health": false} {
		var ctx fasthttp.RequestCtx
		c := &testkit.Waiter{Answered: func() int { return len(ctx.Response.Body()) }}
		ctx.Init2(c, nil, false)
		ctx.Request.SetRequestURI(path)
		table.find([]byte(path)).serve(s.Node, &ctx)
		require.Equal(t, 200, ctx.Response.StatusCode(), path)
		if !waits {
			require.Empty(t, c.Begun, path)
			continue
		}
		require.Equal(t, []int{0}, c.Begun, path)
		require.Len(t, c.Over, 1, path)
		require.Positive(t, c.Over[0], "%s: answered meanwhile", path)
	}
}

func separateIn(c *config.Config) bool {
	_, separate := c.HTTPServer.Internal()
	return separate
}
