package node

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
)

// onRedis is the text of a config file whose engine is Redis, with more members of its
// section, each with a comma in front.
func onRedis(addr, prefix, more string, p parts) string {
	engine := fmt.Sprintf(`"engine": {"type": "redis", "redis": {"address": %q, "prefix": %q, "probe_interval": "100ms" %s}}, "health":`, addr, prefix, more)
	return strings.Replace(p.text(), `"health":`, engine, 1)
}

// fleet starts n nodes on a Redis and waits until they know each other.
func fleet(t *testing.T, n int, text string) (all []*server) {
	t.Helper()
	testkit.Snapshot(t, libraryGoroutines...)
	for range n {
		s := launch(t, text)
		t.Cleanup(func() { s.stop(t) })
		all = append(all, s)
	}
	for _, s := range all {
		s.awaitReady(t, http.StatusOK)
		testkit.Eventually(t, func() bool { return s.cluster.Stats().Nodes == n }, "a node that knows the others")
	}
	return all
}

// awaitReady waits for a status of /ready, and returns the body.
func (s *server) awaitReady(t *testing.T, status int) (body string) {
	t.Helper()
	testkit.Eventually(t, func() bool {
		head, text := testkit.RoundTrip(t, s.addr, testkit.Request{Target: "/ready"})
		body = string(text)
		return head.Status == status
	}, fmt.Sprint("/ready with status ", status))
	return body
}

func TestNodesOnRedisAreOneGateway(t *testing.T) {
	r := redisrig.Shared(t)
	nodes := fleet(t, 3, onRedis(r.Addr, redisrig.Prefix(t), "", parts{channel: `, "namespaces": [{"name": "hh", "history_size": 9, "history_ttl": "1m", "force_recovery": true, "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true}]`}))
	var streams []*testkit.Client
	for _, s := range nodes {
		c := testkit.Connect(t, s.addr, testkit.ConnectOptions{
			Token: testkit.HS256(t, testkit.TokenSecret, map[string]any{"sub": "42"}),
			Subs:  map[string]testkit.SubscribeRequest{"news": {}, "hh:1": {}},
		})
		c.ExpectConnect(t)
		streams = append(streams, c)
	}
	for i, s := range nodes {
		s.api.Publish(t, "news", fmt.Sprint(i))
		for _, c := range streams { // before the next: channels are in no order among each other
			require.Equal(t, fmt.Sprint(i), string(c.ExpectPub(t, "news").Data))
		}
		s.api.Publish(t, "hh:1", fmt.Sprint(i))
		for _, c := range streams {
			require.EqualValues(t, i+1, c.ExpectPub(t, "hh:1").Offset)
		}
	}
	require.JSONEq(t, `{"channels":{"news":{"num_clients":3},"hh:1":{"num_clients":3}}}`, string(nodes[1].api.MustResult(t, "channels", `{}`)))
	require.JSONEq(t, `{"channels":{"hh:1":{"num_clients":3}}}`, string(nodes[2].api.MustResult(t, "channels", `{"pattern":"hh:*"}`)))
	var info struct {
		Nodes []struct {
			UID        string
			NumClients int `json:"num_clients"`
		}
	}
	require.NoError(t, json.Unmarshal(nodes[0].api.MustResult(t, "info", `{}`), &info))
	require.Len(t, info.Nodes, 3)
	for _, n := range info.Nodes {
		require.Equal(t, 1, n.NumClients)
	}

	nodes[0].api.MustResult(t, "subscribe", `{"user":"42","channel":"more","data":{"a":"<b>"}}`)
	for _, c := range streams {
		require.Contains(t, string(c.NextKind(t, "subscribe").Raw), `{"a":"<b>"}`)
	}
	nodes[1].api.MustResult(t, "unsubscribe", `{"user":"42","channel":"more"}`)
	nodes[2].api.MustResult(t, "refresh", `{"user":"42","expire_at":4000000000}`)
	nodes[1].api.Publish(t, "news", `"last"`)
	nodes[0].api.MustResult(t, "disconnect", `{"user":"42","disconnect":{"code":4001,"reason":"bye"}}`)
	for _, c := range streams {
		c.NextKind(t, "unsubscribe")
		c.NextKind(t, "refresh")
		require.Equal(t, `"last"`, string(c.ExpectPub(t, "news").Data), "what was acknowledged comes before what is asked next")
		c.ExpectDisconnect(t, 4001)
	}
}

// A node starts without Redis, says that it is not ready, and heals by itself.
func TestRedisThatIsAwayIsNoEnd(t *testing.T) {
	r := redisrig.Single(t)
	r.Stop(t)
	testkit.Snapshot(t, libraryGoroutines...)
	s := launch(t, onRedis(r.Addr, "p", `, "connect_timeout": "200ms"`, parts{}))
	t.Cleanup(func() { s.stop(t) })
	require.Contains(t, s.awaitReady(t, http.StatusServiceUnavailable), `"reason":"`)
	r.Start(t)
	s.awaitReady(t, http.StatusOK)
	c := s.subscribe(t, "news")
	c.ExpectConnect(t)
	r.Stop(t)
	body := s.awaitReady(t, http.StatusServiceUnavailable)
	require.Contains(t, body, "redis: shard 0 "+r.Addr+": ", "which server")
	require.Equal(t, 1, strings.Count(body, "shard "), "once: %s", body)
	require.NotContains(t, body, "nothing was done", "nobody asked for anything")
	_, _, raw := s.api.Call(t, "publish", `{"channel":"news","data":1}`)
	require.JSONEq(t, `{"error":{"code":100,"message":"internal server error"}}`, string(raw))
	_, _, raw = s.api.Call(t, "disconnect", `{"user":"42"}`)
	require.Contains(t, string(raw), `"code":100`, "who else has connections of the user is not known")
	r.Start(t)
	s.awaitReady(t, http.StatusOK)
	s.api.Publish(t, "news", `"again"`)
	require.Equal(t, `"again"`, string(c.ExpectPub(t, "news").Data), "the stream stayed open")
}

func TestWhatRedisRefusesIsRefusedAtStart(t *testing.T) {
	f := func(r *redisrig.Server, more, want string) {
		t.Helper()
		began := time.Now()
		_, err := New(load(t, onRedis(r.Addr, "p", more, parts{})), Options{})
		require.ErrorContains(t, err, "engine.redis: ")
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "geheim")
		require.Less(t, time.Since(began), 20*time.Second)
	}
	testkit.Snapshot(t, libraryGoroutines...)
	locked := redisrig.Single(t, redisrig.Password("geheim"))
	f(locked, "", "auth")
	f(locked, `, "password": "geheim2"`, "auth")
	replica := redisrig.Single(t)
	replica.ReadOnly(t)
	f(replica, "", "readonly")
	plain := redisrig.Shared(t)
	f(plain, `, "cluster_address": "`+plain.Addr+`"`, "topology")
	f(plain, `, "presence_hash_field_ttl": true`, "presence_hash_field_ttl")
}

// singleParts have a user keep only its newest connection.
var singleParts = parts{
	client:  `, "subscribe_to_user_personal_channel": {"enabled": true, "single_connection": true, "personal_channel_namespace": "own"}`,
	channel: `, "namespaces": [{"name": "own", "presence": true}]`,
}

// connectAs opens a stream of a user.
func connectAs(t *testing.T, s *server, user string) *testkit.Client {
	t.Helper()
	return testkit.Connect(t, s.addr, testkit.ConnectOptions{Token: testkit.HS256(t, testkit.TokenSecret, map[string]any{"sub": user})})
}

// Limits by user hold for all nodes.
func TestConnectionsOfAUserAreCountedOnAllNodes(t *testing.T) {
	r := redisrig.Shared(t)
	connect := func(t *testing.T, s *server) *testkit.Client { t.Helper(); return connectAs(t, s, "42") }
	t.Run("user_connection_limit", func(t *testing.T) {
		nodes := fleet(t, 2, onRedis(r.Addr, redisrig.Prefix(t), "", parts{client: `, "user_connection_limit": 2`}))
		connect(t, nodes[0]).ExpectConnect(t)
		second := connect(t, nodes[1])
		second.ExpectConnect(t)
		require.Equal(t, "disconnect", connect(t, nodes[0]).NextAny(t).Kind, "3504, or 3013 while it is not sure that the others are there")
		second.Close()
		testkit.Eventually(t, func() bool {
			return connect(t, nodes[0]).NextAny(t).Kind == "connect"
		}, "the place of a connection that ended on the other node")
	})
	t.Run("single_connection", func(t *testing.T) {
		nodes := fleet(t, 2, onRedis(r.Addr, redisrig.Prefix(t), "", singleParts))
		last := connect(t, nodes[0])
		last.ExpectConnect(t)
		for i := range 4 {
			next := connect(t, nodes[(i+1)%2])
			next.ExpectConnect(t)
			last.ExpectDisconnect(t, 3504)
			last = next
		}
	})
}

// While presence is away, and with it the claims of users, each node goes by its own; the
// older connection ends when it is back.
func TestAnOutageOfPresenceLeavesNoSecondConnection(t *testing.T) {
	own := redisrig.Single(t)
	presence := fmt.Sprintf(`"presence_manager": {"enabled": true, "type": "redis", "redis": {"address": %q, "prefix": "p", "connect_timeout": "200ms"}}, "engine":`, own.Addr)
	text := onRedis(redisrig.Shared(t).Addr, redisrig.Prefix(t), "", singleParts)
	nodes := fleet(t, 2, strings.Replace(text, `"engine":`, presence, 1))
	first := connectAs(t, nodes[0], "42")
	first.ExpectConnect(t)
	own.Stop(t)
	second := connectAs(t, nodes[1], "42")
	second.ExpectConnect(t)
	require.EqualValues(t, 1, nodes[1].sessions.Stats().EvictionsOwed)
	own.Start(t)
	first.ExpectDisconnect(t, 3504)
	nodes[0].api.MustResult(t, "disconnect", `{"user":"42","disconnect":{"code":4001,"reason":"bye"}}`)
	second.ExpectDisconnect(t, 4001)
}

// Limits of JSON that the API takes hold between nodes too.
func TestOtherNodesTakeWhatTheAPITakes(t *testing.T) {
	r := redisrig.Shared(t)
	nodes := fleet(t, 2, onRedis(r.Addr, redisrig.Prefix(t), "", parts{api: `, "max_depth": 400`}))
	c := connectAs(t, nodes[1], "42")
	c.ExpectConnect(t)
	deep := strings.Repeat("[", 300) + strings.Repeat("]", 300)
	nodes[0].api.MustResult(t, "subscribe", `{"user":"42","channel":"more","data":`+deep+`}`)
	require.Contains(t, string(c.NextKind(t, "subscribe").Raw), deep)
}
