package test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/logs"
	"sluice/gateway/node"
	"sluice/gateway/session"
	"sluice/gateway/testkit"
)

// launchLogged starts a gateway whose log, at level info and limited, the test
// reads.
func launchLogged(t *testing.T, p parts, dev bool) (*server, *testkit.LogBuffer) {
	t.Helper()
	log := &testkit.LogBuffer{}
	s := launchWith(t, fmt.Sprintf(baseConfig, p.sse, p.api, p.client, p.channel), node.Options{
		Verify: true, Dev: dev,
		Log: slog.New(logs.Limited(slog.NewTextHandler(log, nil), time.Now)),
	})
	t.Cleanup(func() { s.stop(t) })
	return s, log
}

// In development a page of an origin that is not allowed is told of, with the flag
// that would let it in; elsewhere anybody could fill the log with it.
func TestRefusedOriginsAreToldInDevelopment(t *testing.T) {
	ask := func(s *server, origin string) {
		head, _ := roundTrip(t, s.addr, testkit.Request{Target: testkit.DefaultPath, Headers: [][2]string{{"Origin", origin}, {"Cookie", "Planted"}}}.String())
		require.Equal(t, 403, head.Status)
	}
	s, log := launchLogged(t, parts{}, true)
	began := time.Now()
	for range 20 {
		ask(s, "http://localhost:3000")
	}
	seconds := int(time.Since(began)/time.Second) + 1
	text := log.String()
	require.Contains(t, text, `remedy="if the page is yours, start with --client.allowed_origins 'http://localhost:3000'"`)
	require.Contains(t, text, "reason=origin")
	require.LessOrEqual(t, strings.Count(text, "reason=origin"), seconds)
	require.NotContains(t, text, "Planted")

	// Nobody is told to paste a pattern, or a command, that a stranger wrote.
	for _, origin := range []string{"http://*", "http://evil.example;touch x", "https://$(touch x)", "https://{a,b}*", "null"} {
		s, log = launchLogged(t, parts{}, true)
		ask(s, origin)
		require.Contains(t, log.String(), `remedy="if the page is yours, add its origin to client.allowed_origins"`)
		require.NotContains(t, log.String(), "--client.allowed_origins")
	}

	s, log = launchLogged(t, parts{}, false)
	ask(s, "http://localhost:3000")
	require.NotContains(t, log.String(), "localhost:3000")
}

// In development a call without the key is told of, with what to do; elsewhere anybody
// could fill the log. No key is in it.
func TestWrongKeysAreToldInDevelopment(t *testing.T) {
	const detail = `msg="api: request refused" reason=unauthorized`
	f := func(s *server, target string, header ...string) {
		t.Helper()
		head, body := roundTrip(t, s.addr, testkit.Request{Method: "POST", Target: target, Headers: lines(header...), Body: "{}"}.String())
		require.Equal(t, 401, head.Status)
		require.Contains(t, body, "http_api.key expected in X-API-Key")
		require.NotContains(t, body, "Planted")
	}
	for _, c := range []struct{ target, header, want string }{
		{"/api/info", "Accept: */*", "there is no key in the request"},
		{"/api/info", "X-API-Key: Planted", "the key in X-API-Key is another one than http_api.key"},
		{"/api", "Authorization: apikey Planted", "the key in Authorization is another one than http_api.key"},
		{"/api", "Authorization: Bearer Planted", "expected, not Bearer or Basic"},
		{"/api/info?api_key=Planted", "Accept: */*", "the parameter api_key of the URL is another key"},
	} {
		s, log := launchLogged(t, parts{}, true)
		began := time.Now()
		for range 20 {
			f(s, c.target, c.header)
		}
		text := log.String()
		require.Contains(t, text, detail)
		require.Contains(t, text, c.want)
		require.Contains(t, text, "remedy=")
		require.LessOrEqual(t, strings.Count(text, detail), int(time.Since(began)/time.Second)+1)
		require.NotContains(t, text, "Planted")
	}
	s, log := launchLogged(t, parts{}, false)
	f(s, "/api/info", "X-API-Key: Planted")
	require.NotContains(t, log.String(), detail)
}

// Whom a limit turns away leaves a line a second with what to do, at any level.
func TestWhoIsTurnedAwayIsToldOnceASecond(t *testing.T) {
	f := func(p parts, most int, reason, remedy string) {
		t.Helper()
		s, log := launchLogged(t, p, false)
		if most > 0 { // as if the limit of open files allowed no more
			s.sessions.Set(session.Live{StreamLimit: most, LimitedBy: session.ByDescriptors})
		}
		s.subscribe(t, "news").ExpectConnect(t)
		require.NotContains(t, log.String(), "turned away")
		began := time.Now()
		for range 20 {
			c := testkit.Dial(t, s.addr)
			c.Send(testkit.Request{Method: "POST", Target: testkit.DefaultPath, Body: "{}"}.String())
			require.Contains(t, []int{200, 503}, c.ReadHead(t).Status) // a rate lets one through each second
			c.Close()
		}
		text := log.String()
		n := strings.Count(text, `msg="clients are turned away" reason=`+reason+` `)
		require.Positive(t, n, text)
		require.LessOrEqual(t, n, int(time.Since(began)/time.Second)+1, text)
		require.Regexp(t, `turned away" [^\n]*remedy="[^\n"]*`+remedy, text)
	}
	f(parts{sse: `, "max_streams": 1`}, 0, "stream_limit", "raise uni_sse.max_streams")
	f(parts{client: `, "connection_limit": 1`}, 0, "stream_limit", "raise client.connection_limit")
	f(parts{}, 1, "descriptors", "raise the hard limit of open files")
	f(parts{client: `, "address_connection_limit": 1`}, 0, "address_limit", "http_server.trusted_proxies")
	f(parts{client: `, "address_connection_rate_limit": 1`}, 0, "address_limit", "raise the limit")
	f(parts{client: `, "connection_rate_limit": 1`}, 0, "connection_rate", "raise client.connection_rate_limit")
}

// Tickets that are refused are explained like connects, and a flood of them is one
// line a second.
func TestRefusalsForGoodAreExplainedOnceASecond(t *testing.T) {
	s, log := launchLogged(t, parts{client: withSecret}, false)
	began := time.Now()
	for range 20 {
		head, _ := roundTrip(t, s.addr, post(ticketPath, `{"token":"Planted"}`))
		require.Equal(t, 401, head.Status)
		testkit.Connect(t, s.addr, testkit.ConnectOptions{Token: "Planted"}).ExpectDisconnect(t, 3500)
		testkit.Connect(t, s.addr, testkit.ConnectOptions{Subs: asking("nobody:knows")}).ExpectDisconnect(t, 3501)
	}
	seconds := int(time.Since(began)/time.Second) + 1
	for _, reason := range []string{"token_malformed", "unknown_namespace"} {
		n := strings.Count(log.String(), `msg="a client was told not to come back" reason=`+reason)
		require.Positive(t, n, log)
		require.LessOrEqual(t, n, seconds, log)
	}
	require.NotContains(t, log.String(), "Planted")
	require.Contains(t, log.String(), "remedy=")
}
