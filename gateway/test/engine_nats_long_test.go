//go:build e2e

package test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/broker/brokertest"
	"sluice/gateway/broker/jetstream"
	core "sluice/gateway/broker/nats"
	"sluice/gateway/config"
	"sluice/gateway/docs"
	"sluice/gateway/nats"
	"sluice/gateway/node"
	"sluice/gateway/presence"
	presencenats "sluice/gateway/presence/nats"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/natsrig"
	"sluice/gateway/testkit/tcpproxy"
)

// natsConns returns connections that end with the test.
func natsConns(t *testing.T, opt nats.Options) *nats.NATS {
	t.Helper()
	n, err := nats.Open(opt)
	require.NoError(t, err)
	t.Cleanup(n.Close)
	return n
}

func coreEngine(t *testing.T, opt nats.Options, wait time.Duration) *core.Engine {
	return core.New(core.Options{NATS: natsConns(t, opt), Wait: wait, CallWait: wait, ProbeEvery: 100 * time.Millisecond, ProbeLate: 2 * time.Second})
}

func streamEngine(t *testing.T, opt nats.Options, wait time.Duration, replicas int) *jetstream.Engine {
	t.Helper()
	e, err := jetstream.New(jetstream.Options{
		NATS: natsConns(t, opt), Node: natsrig.Prefix(t), Shards: 2, Replicas: replicas, HistorySize: 100, Wait: wait, CallWait: wait,
		ProbeEvery: 100 * time.Millisecond, ProbeLate: 2 * time.Second,
	})
	require.NoError(t, err)
	return e
}

// TestLongEngineOnNATSCluster runs the suite of engines over three servers; over one `make test` does.
func TestLongEngineOnNATSCluster(t *testing.T) {
	set := natsrig.Cluster(t, 3)
	run := func(name string, engine func(t *testing.T, opt nats.Options) broker.Broker) {
		t.Run(name, func(t *testing.T) {
			opt := nats.Options{URL: set.URL(), Prefix: natsrig.Prefix(t)}
			brokertest.Run(t, brokertest.Factory{Apart: true, New: func(t *testing.T) broker.Broker {
				e := engine(t, opt)
				if e, ok := e.(*jetstream.Engine); ok {
					require.NoError(t, e.Check(t.Context())) // before anybody subscribes: a stream's first leader may be another soon
				}
				return e
			}})
		})
	}
	run("jetstream", func(t *testing.T, opt nats.Options) broker.Broker { return streamEngine(t, opt, 20*time.Second, 3) })
}

// TestLongEngineOnNATSFaultsCluster runs the suite of faults: connections that are cut, refused, and
// stand still.
func TestLongEngineOnNATSFaultsCluster(t *testing.T) {
	for name, engine := range map[string]func(t *testing.T, opt nats.Options) broker.Broker{
		"core":      func(t *testing.T, opt nats.Options) broker.Broker { return coreEngine(t, opt, 3*time.Second) },
		"jetstream": func(t *testing.T, opt nats.Options) broker.Broker { return streamEngine(t, opt, 3*time.Second, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, prefix := natsrig.Single(t), natsrig.Prefix(t)
			brokertest.RunFaults(t, brokertest.FaultFactory{Most: 30 * time.Second, KeepsMore: true, New: func(t *testing.T) (broker.Broker, brokertest.Link) {
				proxy := tcpproxy.New(t, server.Addr)
				return engine(t, nats.Options{URL: proxy.Addr, Prefix: prefix}), brokertest.Link{
					Cut:   func() { proxy.Cut() },
					Down:  func() func() { proxy.Refuse(t, true); proxy.Cut(); return func() { proxy.Refuse(t, false) } },
					Stall: func() func() { proxy.Stall(true); return func() { proxy.Stall(false) } },
				}
			}})
		})
	}
}

// A hundred thousand channels: all are kept, delivered, and compared after a loss.
func TestLongManySubjectsOnNATSCluster(t *testing.T) {
	const channels, at = 100_000, 500
	server, prefix := natsrig.Single(t), natsrig.Prefix(t)
	proxy := tcpproxy.New(t, server.Addr)
	from := streamEngine(t, nats.Options{URL: server.URL, Prefix: prefix}, 20*time.Second, 1)
	to := streamEngine(t, nats.Options{URL: proxy.Addr, Prefix: prefix}, 20*time.Second, 1)
	sink := brokertest.NewSink()
	require.NoError(t, from.Start(brokertest.NewSink()))
	require.NoError(t, to.Start(sink))
	for _, e := range []*jetstream.Engine{from, to} {
		t.Cleanup(func() { require.NoError(t, e.Close(context.Background())) })
		testkit.Eventually(t, func() bool { return e.Ready() == nil }, "the engine to be ready")
	}
	names := make([]string, channels)
	for i := range names {
		names[i] = fmt.Sprint("c", i)
	}
	opt := broker.PublishOptions{History: broker.HistoryOptions{Size: 10, TTL: time.Hour, MetaTTL: time.Hour}}
	publish := func(text string) {
		var wait sync.WaitGroup
		for first := 0; first < channels; first += channels / 64 {
			wait.Go(func() {
				for _, ch := range names[first:min(first+channels/64, channels)] {
					if _, err := from.Publish(t.Context(), ch, &codec.Publication{Data: codec.QuoteJSON(text)}, opt); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wait.Wait()
	}
	for first := 0; first < channels; first += at {
		require.NoError(t, to.Subscribe(t.Context(), names[first:first+at]))
		queries := make([]broker.HistoryQuery, at)
		for i := range queries {
			queries[i] = broker.HistoryQuery{Channel: names[first+i], MetaTTL: time.Hour}
		}
		for _, h := range to.Histories(t.Context(), queries) {
			require.NoError(t, h.Err)
		}
	}
	publish("1")
	testkit.Eventually(t, func() bool { return sink.Count() >= channels }, "all publications")
	proxy.Refuse(t, true)
	proxy.Cut()
	publish("2")
	proxy.Refuse(t, false)
	awaitCompared(t, to, channels)
	for _, ch := range names {
		twoCame(t, sink, ch)
	}
	require.Zero(t, to.Stats().Told)
}

// awaitCompared waits until an engine is ready, as long as it gets on.
func awaitCompared(t *testing.T, e *jetstream.Engine, channels int) {
	t.Helper()
	for left := channels + 1; e.Ready() != nil; {
		var now int
		testkit.Eventually(t, func() bool { now = e.Stats().Pending; return now < left || e.Ready() == nil }, "channels to be compared")
		if left = now; left == 0 {
			left = channels + 1 // before the connection is back
		}
	}
}

// twoCame checks that the first two publications of a channel came, in order, and no loss was told.
func twoCame(t *testing.T, sink *brokertest.Sink, ch string) {
	t.Helper()
	got := 0
	for _, e := range sink.Events(ch) {
		if e.Kind == brokertest.Publication {
			got++
			require.EqualValues(t, got, e.Pub.Offset, ch)
		}
		require.NotEqual(t, brokertest.Lost, e.Kind, ch)
	}
	require.Equal(t, 2, got, ch)
}

// The rights that the docs list are enough, and a user without one of them is told.
func TestLongRightsOnNATSCluster(t *testing.T) {
	page, err := docs.Find("nats")
	require.NoError(t, err)
	_, block, ok := strings.Cut(page.Text, "```text\npublish:")
	require.True(t, ok)
	block, _, _ = strings.Cut(block, "```")
	pub, sub, ok := strings.Cut(block, "subscribe:")
	require.True(t, ok)
	list := func(text string) string { return `["` + strings.Join(strings.Fields(text), `", "`) + `"]` }
	users := fmt.Sprintf(`authorization { users: [
		{ user: some, password: pw, permissions: { publish: %s, subscribe: %s } }
		{ user: mute, password: pw, permissions: { publish: %s, subscribe: ["_INBOX.>"] } }
	] }`, list(pub), list(sub), list(pub))
	server := natsrig.Single(t, natsrig.Lines(users))
	url := func(user string) string { return "nats://" + user + ":pw@" + server.Addr }
	opt := nats.Options{URL: url("some"), Prefix: "centrifugo"}
	t.Run("core", func(t *testing.T) {
		f := brokertest.Factory{Prefix: "core", New: func(t *testing.T) broker.Broker { return coreEngine(t, opt, 20*time.Second) }}
		brokertest.Run(t, f)
	})
	t.Run("jetstream", func(t *testing.T) {
		f := brokertest.Factory{Prefix: "js", New: func(t *testing.T) broker.Broker { return streamEngine(t, opt, 20*time.Second, 1) }}
		brokertest.Run(t, f)
	})
	t.Run("presence", func(t *testing.T) {
		m, err := presencenats.New(natsConns(t, opt), presencenats.Options{})
		require.NoError(t, err)
		info := &codec.ClientInfo{User: "u", Client: "c"}
		require.NoError(t, m.Apply(t.Context(), []presence.Change{{Channel: "a", Info: info}}))
		st, err := m.Stats(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, presence.Stats{Clients: 1, Users: 1}, st)
		list, err := m.Presence(t.Context(), "a")
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.NoError(t, m.Apply(t.Context(), []presence.Change{{Channel: "a", Info: info, Left: true}}))
		_, err = m.Places().Reserve(t.Context(), "u", "c", 1)
		require.NoError(t, err)
	})
	t.Run("without a right", func(t *testing.T) {
		e := streamEngine(t, nats.Options{URL: url("mute"), Prefix: "centrifugo"}, time.Second, 1)
		require.NoError(t, e.Start(brokertest.NewSink()))
		t.Cleanup(func() { require.NoError(t, e.Close(context.Background())) })
		testkit.Eventually(t, func() bool {
			err := e.Ready()
			return err != nil && strings.Contains(err.Error(), "may not subscribe")
		}, "the refusal to be told")
		require.ErrorContains(t, e.Subscribe(t.Context(), []string{"x"}), "centrifugo.client.x")
	})
}

// The files of gateway/deploy/nats make an edge.
func TestLongDeployedEdgeOnNATSCluster(t *testing.T) {
	read := func(name string, pairs ...string) string {
		text, err := os.ReadFile("../deploy/nats/" + name)
		require.NoError(t, err)
		for i := 0; i < len(pairs); i += 2 {
			require.Contains(t, string(text), pairs[i], name)
		}
		return strings.NewReplacer(pairs...).Replace(string(text))
	}
	hubPort, leafPort, way := testkit.FreePort(t), testkit.FreePort(t), testkit.FreePort(t)
	hub := natsrig.From(t, read("hub.conf", "0.0.0.0:4222", fmt.Sprint("127.0.0.1:", hubPort), "0.0.0.0:7422", fmt.Sprint("127.0.0.1:", way), "/var/lib/nats/jetstream", t.TempDir()), hubPort)
	leaf := natsrig.From(t, read("leaf.conf", "127.0.0.1:4222", fmt.Sprint("127.0.0.1:", leafPort), "hub.internal:7422", fmt.Sprint("127.0.0.1:", way)), leafPort)
	start := func(s *natsrig.Server) *server {
		path := filepath.Join(t.TempDir(), "gateway.yaml")
		more := fmt.Sprintf("http_server:\n  address: 127.0.0.1\n  port: 0\nhttp_api:\n  key: %q\nclient:\n  insecure: true\n", testKey)
		require.NoError(t, os.WriteFile(path, []byte(read("gateway.yaml", "nats://127.0.0.1:4222", s.URL)+more), 0o600))
		cfg, _, err := config.Load(config.Source{Path: path, Dir: t.TempDir()})
		require.NoError(t, err)
		gateway := launchLoaded(t, cfg, node.Options{Verify: true})
		t.Cleanup(func() { gateway.stop(t) })
		testkit.Eventually(t, func() bool { head, _ := roundTrip(t, gateway.addr, get("/ready")); return head.Status == 200 }, "the gateway to be ready")
		return gateway
	}
	origin, edge := start(hub), start(leaf)
	stream := testkit.Connect(t, edge.addr, testkit.ConnectOptions{Request: `{"subs": {"news:a": {}}}`})
	stream.ExpectConnect(t)
	origin.api.Call(t, "publish", `{"channel": "news:a", "data": {"from":"the hub"}}`)
	require.JSONEq(t, `{"from":"the hub"}`, string(stream.ExpectPub(t, "news:a").Data))
}
