//go:build e2e

package test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/node"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
)

const composeRedisPassword = "of-the-tests"

// composeFleet is what the compose folder starts: its files, on free ports of this machine.
type composeFleet struct {
	nodes   [3]*server
	stopped [3]bool
	redis   *redisrig.Server
	streams string // where HAProxy serves them
	api     *testkit.API
	log     *testkit.LogBuffer // of HAProxy
}

func startComposeFleet(t *testing.T) *composeFleet {
	t.Helper()
	f := &composeFleet{redis: redisrig.Single(t, redisrig.Password(composeRedisPassword), redisrig.Persist())}
	testkit.Snapshot(t, append(libraryGoroutines, "net/http.(*persistConn)")...)
	var places [3]composeNode
	for i := range f.nodes {
		cfg, _, err := node.Load(config.Source{
			Path: composeDir + "sluice.yaml",
			Environ: []string{
				"SLUICE_HTTP_API_KEY=" + testKey, "SLUICE_CLIENT_TOKEN_HMAC_SECRET_KEY=" + testSecret,
				"SLUICE_ENGINE_REDIS_PASSWORD=" + composeRedisPassword,
			},
			Flags: map[string]string{
				"http_server.address": "127.0.0.1", "http_server.port": "0", "http_server.internal_address": "127.0.0.2", "http_server.internal_port": "0",
				"http_server.trusted_proxies": "127.0.0.1", "engine.redis.address": f.redis.Addr, "shutdown.grace": "0",
			},
		})
		require.NoError(t, err)
		f.nodes[i] = launchLoaded(t, cfg, node.Options{Verify: true})
		t.Cleanup(func() { f.stopNode(t, i) })
		inside := f.nodes[i].listeners[1].Addr().String()
		places[i] = composeNode{f.nodes[i].addr, inside, inside}
		testkit.Eventually(t, func() bool {
			head, _ := testkit.RoundTrip(t, inside, testkit.Request{Target: "/ready"})
			return head.Status == 200
		}, "the node to be ready")
	}
	streams, api, log := startComposeHAProxy(t, places)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(log)
		}
	})
	f.streams, f.log = fmt.Sprintf("127.0.0.1:%d", streams), log
	f.api = &testkit.API{Addr: fmt.Sprintf("127.0.0.1:%d", api), Key: testKey}
	return f
}

func (f *composeFleet) stopNode(t *testing.T, i int) {
	t.Helper()
	if !f.stopped[i] {
		f.stopped[i] = true
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(t, f.nodes[i].Stop(ctx))
	}
}

// publish calls until it is done; a front that has just lost its nodes may refuse some.
func (f *composeFleet) publish(t *testing.T, data string) {
	t.Helper()
	body := map[string]any{"channel": "news", "data": data, "idempotency_key": data}
	testkit.Eventually(t, func() bool {
		status, _, answer := f.api.Call(t, "publish", body)
		return status == 200 && strings.Contains(string(answer), `"result"`)
	}, "the publication of "+data)
}

// open connects to the channel of the test through HAProxy.
func (f *composeFleet) open(t *testing.T, lastID ...string) *testkit.Client {
	t.Helper()
	opt := testkit.ConnectOptions{Subs: asking("news")}
	for _, id := range lastID {
		opt.HTTPHeaders = append(opt.HTTPHeaders, [2]string{"Last-Event-ID", id})
	}
	return testkit.Connect(t, f.streams, opt)
}

// The files of the compose folder, on this machine: what any node took reaches the streams
// of all, through an outage of Redis and the end of a node, and nothing is lost or repeated.
func TestLongTheComposeFolderServes(t *testing.T) {
	f := startComposeFleet(t)
	var clients []*testkit.Client
	for range 6 {
		c := f.open(t)
		c.ExpectConnect(t)
		clients = append(clients, c)
	}
	for i, n := range f.nodes {
		require.Equal(t, 2, n.sessions.Stats().Streams, "streams of node %d", i)
	}
	published := 0
	run := func() {
		t.Helper()
		for range 20 {
			text := fmt.Sprint(published)
			published++
			f.publish(t, text)
			for _, c := range clients {
				require.JSONEq(t, strconv.Quote(text), string(c.ExpectPub(t, "news").Data))
			}
		}
	}
	run()

	f.redis.Stop(t)
	testkit.Eventually(t, func() bool { return strings.Contains(f.log.String(), "backend 'nodes' has no server available") }, "HAProxy to see that no node is ready")
	f.open(t).ExpectDisconnect(t, 3004)
	f.redis.Start(t)
	run()

	// A node ends; its clients come back to others, where they were.
	f.stopNode(t, 0)
	f.publish(t, "missed")
	moved := 0
	for i, c := range clients {
		if push := c.Next(t); push.Kind != "disconnect" {
			require.Contains(t, string(push.Raw), `"missed"`)
			continue
		}
		moved++
		clients[i] = f.open(t, c.LastEventID())
		connected := clients[i].ExpectConnect(t)
		clients[i].ExpectMissed(t, &connected, map[string]int{"news": 1})
		require.True(t, connected.Subs["news"].Recovered)
		require.JSONEq(t, `"missed"`, string(connected.Subs["news"].Publications[0].Data))
	}
	require.Equal(t, 2, moved)
	run()
}

// HAProxy with the file of the compose folder spreads streams, holds nothing back, leaves
// open streams on a node that is not ready, and sends new ones elsewhere: anywhere while
// none is ready.
func TestLongHAProxyOfTheComposeFolder(t *testing.T) {
	f := startComposeFront(t)
	const path, subs = testkit.DefaultPath, `{"subs": {"news": {}}}`
	var streams []*testkit.Reader
	open := func(from string) *testkit.Reader {
		events, _ := newNginxClient(t, "http", "stream.example.com", f.streams, from).expect(t, 200, "POST", path, subs)
		return events
	}
	for i := range 3 {
		streams = append(streams, open(fmt.Sprintf("127.0.0.%d", i+2)))
	}
	require.Equal(t, [3]int{1, 1, 1}, f.clients(), "each has one of three")
	publish := func(n int) {
		t.Helper()
		for _, node := range f.nodes {
			node.api.Publish(t, "news", strconv.Itoa(n))
		}
		for _, events := range streams {
			event, err := events.Next()
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf(`{"channel":"news","pub":{"data":%d}}`, n), event.Data)
		}
	}
	for n := range 3 { // each is there before the next is sent
		publish(n)
	}

	f.ready[0].Store(false)
	testkit.Eventually(t, func() bool { return strings.Contains(f.log.String(), "Server nodes/sluice-1 is DOWN") }, "HAProxy to notice")
	publish(3)
	streams = append(streams, open("127.0.0.5"), open("127.0.0.6"))
	require.Equal(t, [3]int{1, 2, 2}, f.clients())

	f.ready[1].Store(false)
	f.ready[2].Store(false)
	testkit.Eventually(t, func() bool { return strings.Contains(f.log.String(), "backend 'nodes' has no server available") }, "HAProxy to notice")
	streams = append(streams, open("127.0.0.7"))
	publish(4)

	// Limits by address see the client, and only paths of streams lead in.
	page := newNginxClient(t, "http", "stream.example.com", f.streams, "127.0.0.8")
	page.expect(t, 200, "POST", path, subs, "Origin: "+page.base, "X-Forwarded-For: 127.0.0.2")
	page.expect(t, 404, "GET", "/ready", "")
	page.expect(t, 404, "POST", "/api/publish", "{}")

	api := newNginxClient(t, "http", "localhost", f.api, "127.0.0.1")
	answers := func(status int) func() bool {
		return func() bool { return api.ask(t, "POST", "/api/info", "{}", "X-API-Key: "+testKey).StatusCode == status }
	}
	testkit.Eventually(t, answers(503), "HAProxy to notice")
	f.ready[1].Store(true)
	testkit.Eventually(t, answers(200), "the API of a node that is ready again")
	api.expect(t, 404, "GET", "/metrics", "")

	page.expect(t, 400, "GET", path+"?cf_connect=the-token", "")
	testkit.Eventually(t, func() bool { return strings.Contains(f.log.String(), "GET "+path+" 400 ") }, "the line of the refused stream")
	require.NotContains(t, f.log.String(), "the-token", "what is in the query is a secret")
}
