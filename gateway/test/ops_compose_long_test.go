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
