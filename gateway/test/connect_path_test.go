package test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/node"
	"sluice/gateway/testkit"
)

func TestEndpointAtTheRootAndExactPaths(t *testing.T) {
	s := startServer(t, parts{sse: `, "handler_prefix": "/"`})
	head, _ := roundTrip(t, s.addr, get("/"))
	require.Equal(t, "text/event-stream; charset=utf-8", head.Get("Content-Type"))
	s2 := startServer(t, parts{})
	for _, path := range []string{"//connection/uni_sse", "/x/../connection/uni_sse", "/connection%2Funi_sse", "/connection/uni_sse/"} {
		head, body := roundTrip(t, s2.addr, get(path))
		require.Equal(t, 404, head.Status, path)
		require.Equal(t, "404 page not found\n", body, path)
		require.Equal(t, "nosniff", head.Get("X-Content-Type-Options"), path)
	}
}

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

func TestPathsThatTwoOptionsClaimAreRefusedByName(t *testing.T) {
	f := func(fields string, want ...string) {
		t.Helper()
		path := configFile(t, `{"uni_sse": {"enabled": true`+fields+`}`)
		cfg, _, err := config.Load(config.Source{Path: path, Dir: t.TempDir()})
		require.NoError(t, err)
		g, err := node.New(cfg, node.Options{})
		out, _, code := command("checkconfig", "-c", path)
		if len(want) == 0 {
			require.NoError(t, err)
			require.NoError(t, g.Start())
			newServer(g, cfg).stop(t)
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
	_, err = node.New(cfg, node.Options{Dev: true})
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
