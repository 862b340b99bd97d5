package test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/natsrig"
	"sluice/gateway/testkit/redisrig"
)

func TestMetricsOfClientsMove(t *testing.T) {
	s := startMetrics(t, parts{
		client:  `, "ping_interval": "1h", "allowed_origins": ["https://here.example"], "channel_limit": 3`,
		channel: `, "namespaces": [{"name": "rec", "history_size": 2, "history_ttl": "1h", "force_recovery": true, ` + anybody + `}, {"name": "who", "presence": true, "join_leave": true, "force_push_join_leave": true, ` + anybody + `}]`,
	})
	var c *testkit.Client
	connected := scraped{
		connectionsMetric("accepted", "unregistered", "unversioned"): 1, connectionsMetric("inflight", "unregistered", "unversioned"): 1,
		connectionsMetric("accepted", "unnamed", "unversioned"):                          0,
		`client_subscriptions_accepted{channel_namespace="",client_name="unregistered"}`: 2,
		`client_subscriptions_inflight{channel_namespace="",client_name="unregistered"}`: 2,
		`node_num_clients`: 1, `node_num_subscriptions`: 2, `node_num_channels`: 2,
		`streams_open`: 1, `streams_opened_total`: 1, pushMetric("push_connect"): 1,
		`client_command_duration_seconds_count{channel_namespace="",method="connect"}`: 1,
		`node_action_count{action="add_client",channel_namespace=""}`:                  1,
		`node_action_count{action="add_subscription",channel_namespace=""}`:            2,
		`token_lookups_total{result="miss"}`:                                           1, `tokens_remembered`: 1,
	}
	token := testkit.HS256(t, testSecret, map[string]any{"sub": "u"})
	s.moves(t, connected, func() {
		c = testkit.Connect(t, s.addr, testkit.ConnectOptions{Name: "app of u", Token: token, Subs: asking("news", "rec:a")})
		c.ExpectConnect(t)
	})
	s.moves(t, scraped{`token_lookups_total{result="hit"}`: 1, `token_lookups_total{result="miss"}`: 0, `stream_closes_total{reason="client_gone"}`: 1,
		connectionsMetric("accepted", "unnamed", "unregistered"): 1, connectionsMetric("inflight", "unnamed", "unregistered"): 0,
		`node_action_count{action="remove_client",channel_namespace=""}`: 1,
	}, func() {
		other := testkit.Connect(t, s.addr, testkit.ConnectOptions{Version: "1", Token: token})
		other.ExpectConnect(t)
		other.Close()
	})
	call := func(method, body string) func() {
		return func() { s.api.MustResult(t, method, body) }
	}
	s.moves(t, scraped{
		pushMetric("push_subscribe"): 1, `client_subscriptions_inflight{channel_namespace="",client_name="unregistered"}`: 1,
		`node_num_subscriptions`: 1, pushMetric("push_join"): 1, `node_messages_sent_count{channel_namespace="",type="join"}`: 1,
	}, call("subscribe", `{"user": "u", "channel": "who:x"}`))
	s.moves(t, scraped{
		pushMetric("push_unsubscribe"): 1, `client_num_server_unsubscribes{channel_namespace="",code="2000"}`: 1,
		`client_subscriptions_inflight{channel_namespace="",client_name="unregistered"}`: -1,
		`node_messages_received_count{channel_namespace="",type="leave"}`:                1,
		`node_action_count{action="remove_subscription",channel_namespace=""}`:           1,
	}, call("unsubscribe", `{"user": "u", "channel": "who:x"}`))
	s.moves(t, scraped{pushMetric("push_refresh"): 1},
		call("refresh", fmt.Sprintf(`{"user": "u", "expire_at": %d}`, time.Now().Add(time.Hour).Unix())))
	s.moves(t, scraped{
		`client_num_server_disconnects{code="3503"}`: 1, `stream_closes_total{reason="disconnect"}`: 1, pushMetric("push_disconnect"): 1,
		connectionsMetric("inflight", "unregistered", "unversioned"): -1, `node_num_subscriptions`: -2, `node_num_channels`: -2,
	}, call("disconnect", `{"user": "u"}`))
}

func TestMetricsOfResumesMove(t *testing.T) {
	s := startMetrics(t, parts{channel: `, "namespaces": [{"name": "rec", "history_size": 2, "history_ttl": "1h", "force_recovery": true, ` + anybody + `}]`})
	resume := func(since testkit.Position) func() {
		return func() {
			c := testkit.Connect(t, s.addr, testkit.ConnectOptions{Subs: map[string]testkit.SubscribeRequest{
				"rec:a": {Recover: true, Offset: since.Offset, Epoch: since.Epoch}}})
			c.ExpectConnect(t)
			c.Close()
		}
	}
	first := s.api.Publish(t, "rec:a", "1")
	second := s.api.Publish(t, "rec:a", "2")
	s.api.Publish(t, "rec:a", "3")
	last := s.api.Publish(t, "rec:a", "4")
	recovered := func(yes, publications string) string {
		return fmt.Sprintf(`client_recover{channel_namespace="",has_recovered_publications=%q,recovered=%q}`, publications, yes)
	}
	s.moves(t, scraped{`resumes_total{result="complete"}`: 1, recovered("yes", "no"): 1, recovered("yes", "yes"): 0}, resume(last))
	s.moves(t, scraped{`resumes_total{result="complete"}`: 1, recovered("yes", "no"): 0, recovered("yes", "yes"): 1}, resume(second))
	s.moves(t, scraped{`resumes_total{result="gap"}`: 1, `resumes_total{result="epoch"}`: 0, recovered("no", "no"): 1}, resume(first))
	s.moves(t, scraped{`resumes_total{result="epoch"}`: 1, `resumes_total{result="gap"}`: 0}, resume(testkit.Position{Offset: 4, Epoch: "other"}))
}

func TestMetricsOfRefusalsMove(t *testing.T) {
	s := startMetrics(t, parts{client: `, "allowed_origins": ["https://here.example"]`})
	ask := func(r testkit.Request, status int) func() {
		return func() {
			head, _ := testkit.RoundTrip(t, s.addr, r)
			require.Equal(t, status, head.Status)
		}
	}
	s.moves(t, scraped{`connects_refused_total{reason="origin"}`: 1, `streams_opened_total`: 0},
		ask(testkit.Request{Target: testkit.DefaultPath, Headers: [][2]string{{"Origin", "https://there.example"}}}, 403))
	s.moves(t, scraped{`connects_refused_total{reason="malformed"}`: 1}, ask(testkit.Request{Target: testkit.DefaultPath + "?cf_connect=["}, 400))
	s.moves(t, scraped{`connects_refused_total{reason="method"}`: 1}, ask(testkit.Request{Method: "PUT", Target: testkit.DefaultPath}, 405))
	s.moves(t, scraped{
		`connects_denied_total{code="3500"}`: 1, `client_num_server_disconnects{code="3500"}`: 1, `tokens_refused_total`: 1,
		`stream_closes_total{reason="refused"}`: 1, `streams_opened_total`: 1, `node_num_clients`: 0,
	}, func() {
		c := testkit.Connect(t, s.addr, testkit.ConnectOptions{Token: "a.b.c"})
		c.ExpectDisconnect(t, 3500)
		c.ExpectEnd(t)
	})
}

func TestMetricsOfPublicationsMove(t *testing.T) {
	s := startMetrics(t, parts{
		client:  `, "ping_interval": "1h"`, // a ping is a write
		channel: `, "namespaces": [{"name": "hist", "history_size": 2, "history_ttl": "1h", ` + anybody + `}]`,
	})
	c, d := s.subscribe(t, "news"), s.subscribe(t, "news")
	c.ExpectConnect(t)
	d.ExpectConnect(t)
	s.moves(t, scraped{
		publishedMetric: 1, `publication_lag_seconds_count`: 1, pushMetric("push_publication"): 2, `stream_deliveries_total`: 2,
		`stream_write_frames_count`: 2, `stream_writes_total`: 2,
		`node_messages_sent_count{channel_namespace="",type="publication"}`:                                    1,
		`node_broadcast_duration_seconds_count{channel_namespace="",type="publication"}`:                       1,
		`api_command_duration_seconds_count` + byPublish:                                                       1,
		`api_command_duration_seconds_histogram_count` + byPublish:                                             1,
		`transport_messages_sent_size{channel_namespace="",frame_type="push_publication",transport="uni_sse"}`: float64(2 * len("2b\r\ndata: {\"channel\":\"news\",\"pub\":{\"data\":1}}\n\n\r\n")),
	}, func() { s.api.Publish(t, "news", "1") })
	s.moves(t, scraped{publishedMetric: 1, `publication_lag_seconds_count`: 0, `stream_deliveries_total`: 0},
		func() { s.api.Publish(t, "nobody", "1") })

	twice := func(body string) func() {
		return func() {
			s.api.MustResult(t, "publish", body)
			s.api.MustResult(t, "publish", body)
		}
	}
	s.moves(t, scraped{`broker_publish_suppressed_count{reason="idempotency"}`: 1, publishedMetric: 1},
		twice(`{"channel": "hist:a", "data": 1, "idempotency_key": "k"}`))
	s.moves(t, scraped{`broker_publish_suppressed_count{reason="version"}`: 1, publishedMetric: 1},
		twice(`{"channel": "hist:b", "data": 1, "version": 7}`))

	failing := func(method, body string) func() {
		return func() {
			_, _, raw := s.api.Call(t, method, body)
			require.Contains(t, string(raw), `"error"`)
		}
	}
	s.moves(t, scraped{`api_command_errors_total{error="102",method="publish",protocol="http"}`: 1, publishedMetric: 0},
		failing("publish", `{"channel": "none:a", "data": 1}`))
	s.moves(t, scraped{`api_command_duration_seconds_count{method="batch",protocol="http"}`: 1, `api_command_duration_seconds_count` + byPublish: 2},
		func() {
			_, _, raw := s.api.Call(t, "batch", `{"commands": [{"publish": {"channel": "a", "data": 1}}, {"publish": {"channel": "a", "data": 1}}]}`)
			require.NotContains(t, string(raw), "error")
		})
	refused := func(reason string, status int, method, key, body string) {
		t.Helper()
		s.moves(t, scraped{`api_refused_total{reason="` + reason + `"}`: 1, `api_command_duration_seconds_count` + byPublish: 0}, func() {
			head, _ := testkit.RoundTrip(t, s.addr, testkit.Request{
				Method: method, Target: "/api/publish", Body: body, Headers: [][2]string{{"X-API-Key", key}},
			})
			require.Equal(t, status, head.Status)
		})
	}
	refused("not_post", 405, "GET", testKey, "")
	refused("unauthorized", 401, "POST", "wrong", "{}")
	refused("bad_request", 400, "POST", testKey, "[")
}

func TestMetricsOfHooksMove(t *testing.T) {
	b := newBackend(t)
	s := startMetrics(t, parts{client: b.connectHook("")})
	const hook = `{name="default",protocol="http",type="connect"}`
	b.say(`{"result": {"user": "u"}}`)
	s.moves(t, scraped{`proxy_duration_seconds_count` + hook: 1, `proxy_duration_seconds_histogram_count` + hook: 1, `proxy_errors` + hook: 0, `proxy_inflight_requests` + hook: 0},
		func() { testkit.Connect(t, s.addr, testkit.ConnectOptions{}).ExpectConnect(t) })
	b.status(500, "")
	s.moves(t, scraped{`proxy_duration_seconds_count` + hook: 1, `proxy_errors` + hook: 1, `connects_denied_total{code="3004"}`: 1},
		func() { testkit.Connect(t, s.addr, testkit.ConnectOptions{}).ExpectDisconnect(t, 3004) })
	require.NotContains(t, scrapeText(t, s.addr), `type="refresh"`, "there is no refresh hook")
}

func TestMetricsOfLimitsMove(t *testing.T) {
	s := startMetrics(t, parts{client: `, "connection_limit": 1`})
	s.subscribe(t, "news").ExpectConnect(t)
	s.moves(t, scraped{`connects_refused_total{reason="node_limit"}`: 1, `node_client_connection_limit`: 1, `streams_opened_total`: 0}, func() {
		head, _ := testkit.RoundTrip(t, s.addr, testkit.Request{Target: testkit.DefaultPath})
		require.Equal(t, 503, head.Status)
	})
}

// A user on several loops is one. Users are counted by a scrape now and then.
func TestUsersAreCountedOnce(t *testing.T) {
	s := startMetrics(t, parts{})
	for i := range 12 {
		testkit.Connect(t, s.addr, testkit.ConnectOptions{
			Token: testkit.HS256(t, testSecret, map[string]any{"sub": fmt.Sprint("u", i%3)}),
		}).ExpectConnect(t)
	}
	got := s.scrape(t)
	require.EqualValues(t, 3, got["node_num_users"])
	require.EqualValues(t, 12, got["node_num_clients"])
}

// A reload makes a new verifier; no counter may fall.
func TestCountersSurviveAReload(t *testing.T) {
	s := startMetrics(t, parts{})
	testkit.Connect(t, s.addr, testkit.ConnectOptions{Token: testkit.HS256(t, testSecret, map[string]any{"sub": "u"})}).ExpectConnect(t)
	s.moves(t, scraped{`token_lookups_total{result="miss"}`: 0, `tokens_remembered`: -1}, func() { require.NoError(t, s.Reload(s.cfg)) })
}

// What clients say of themselves must not make new series.
func TestSeriesDoNotGrowWithClients(t *testing.T) {
	s := startMetrics(t, parts{})
	names := func() (n int) { return len(s.scrape(t)) }
	use := func(i int) {
		c := testkit.Connect(t, s.addr, testkit.ConnectOptions{
			Name: fmt.Sprint("planted n", i), Version: fmt.Sprint("planted v", i), Subs: asking(fmt.Sprint("c", i)),
			Token: testkit.HS256(t, testSecret, map[string]any{"sub": fmt.Sprint("u", i)}),
		})
		c.ExpectConnect(t)
		s.api.Publish(t, fmt.Sprint("c", i), "1")
		c.ExpectPub(t, fmt.Sprint("c", i))
		s.api.Call(t, fmt.Sprint("method", i), "{}")
		s.api.Call(t, "publish", fmt.Sprintf(`{"channel": "no%d:a", "data": 1}`, i))
		s.api.MustResult(t, "disconnect", fmt.Sprintf(`{"user": "u%d", "disconnect": {"code": %d, "reason": "own"}}`, i, 4000+i))
		c.ExpectDisconnect(t, uint32(4000+i))
	}
	const codes = `client_num_server_disconnects{code="other"}`
	s.moves(t, scraped{codes: 1}, func() { use(0) })
	before := names()
	for i := range 20 {
		use(1 + i)
	}
	require.Equal(t, before, names())
	require.EqualValues(t, 21, s.scrape(t)[codes])
	require.NotContains(t, scrapeText(t, s.addr), "planted")
}

// scrapeAll returns a scrape that shows all metrics: series of errors are there
// once there was one.
func scrapeAll(t *testing.T) string {
	t.Helper()
	b := newBackend(t)
	b.status(500, "")
	s := startMetrics(t, parts{client: b.connectHook("") + `, "address_connection_limit": 100`})
	testkit.Connect(t, s.addr, testkit.ConnectOptions{}).ExpectDisconnect(t, 3004)
	s.api.Call(t, "publish", `{"channel": "none:a", "data": 1}`)
	s.scrape(t) // the loop has counted: a scrape behind this one shows it in any case
	relay := startServer(t, parts{sse: withMetrics + `}, "broadcast": {"enabled": true}, "relay": {"origin": "http://127.0.0.1:1"`})
	return scrapeText(t, s.addr) + scrapeRedis(t) + scrapeNATS(t) + scrapeText(t, relay.addr)
}

// scrapeRedis returns a scrape of a node whose engine is on Redis.
func scrapeRedis(t *testing.T) string {
	t.Helper()
	r := redisrig.Shared(t)
	engine := fmt.Sprintf(withMetrics+`}, "engine": {"type": "redis", "redis": {"address": %q, "prefix": %q}`, r.Addr, redisrig.Prefix(t))
	s := startServer(t, parts{sse: engine})
	testkit.Eventually(t, func() bool { head, _ := roundTrip(t, s.addr, get("/ready")); return head.Status == 200 }, "a node that is ready")
	return scrapeText(t, s.addr)
}

// scrapeNATS returns a scrape of a node whose engine is on JetStream.
func scrapeNATS(t *testing.T) string {
	t.Helper()
	const at = `{"enabled": true, "type": "nats", "nats": {"url": %q, "jetstream": {"enabled": true}}}`
	server := fmt.Sprintf(at, natsrig.Single(t).URL)
	s := startServer(t, parts{sse: withMetrics + `}, "broker": ` + server + `, "presence_manager": ` + strings.TrimSuffix(server, "}")})
	testkit.Eventually(t, func() bool { head, _ := roundTrip(t, s.addr, get("/ready")); return head.Status == 200 }, "a node that is ready")
	return scrapeText(t, s.addr)
}

func TestMetricsAreOffUnlessEnabled(t *testing.T) {
	s := startServer(t, parts{})
	head, _ := testkit.RoundTrip(t, s.addr, testkit.Request{Target: "/metrics"})
	require.Equal(t, 404, head.Status)
}
