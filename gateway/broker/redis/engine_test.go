package redis

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/broker/brokertest"
	"sluice/gateway/cluster"
	"sluice/gateway/cluster/clustertest"
	rds "sluice/gateway/redis"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
	"sluice/gateway/testkit/tcpproxy"
)

var kept = broker.HistoryOptions{Size: 100, TTL: time.Minute, MetaTTL: time.Hour}

// node is a started engine with what it delivered.
type node struct {
	*Engine
	t    *testing.T
	sink *brokertest.Sink
}

func started(t *testing.T, conns rds.Options, opt Options) *node {
	opt.Redis, opt.Node = opened(t, conns), redisrig.Prefix(t)
	if opt.ProbeEvery == 0 {
		opt.ProbeEvery = 50 * time.Millisecond
	}
	n := &node{Engine: New(opt), t: t, sink: brokertest.NewSink()}
	require.NoError(t, n.Start(n.sink))
	t.Cleanup(func() { require.NoError(t, n.Close(context.Background())) })
	return n
}

func (n *node) publish(ch, text string) broker.Result {
	n.t.Helper()
	p := &codec.Publication{Data: codec.QuoteJSON(text)}
	res, err := n.Publish(n.t.Context(), ch, p, broker.PublishOptions{History: kept})
	require.NoError(n.t, err)
	return res
}

func (n *node) enter(ch string) broker.Position {
	n.t.Helper()
	require.NoError(n.t, n.Subscribe(n.t.Context(), []string{ch}))
	require.NoError(n.t, n.link(ch).follower.AwaitUp(n.t.Context())) // what is read before Back is compared
	_, top, err := broker.Read(n.t.Context(), n, broker.HistoryQuery{Channel: ch, MetaTTL: time.Hour})
	require.NoError(n.t, err)
	return top
}

func (n *node) awaitReady() {
	n.t.Helper()
	testkit.Eventually(n.t, func() bool { return n.Ready() == nil }, "the engine to be ready")
}

func TestCarrier(t *testing.T) {
	server := redisrig.Shared(t)
	clustertest.Carriers(t, true, func(t *testing.T, count int) (carriers []cluster.Carrier) {
		conns := rds.Options{Address: []string{server.Addr}, Prefix: redisrig.Prefix(t)}
		for range count {
			carriers = append(carriers, started(t, conns, Options{}))
		}
		return carriers
	})
}

// What others write into our channels is skipped and counted, and what is good goes on.
func TestForeignPayloadsAreSkipped(t *testing.T) {
	server, prefix := redisrig.Shared(t), redisrig.Prefix(t)
	n := started(t, rds.Options{Address: []string{server.Addr}, Prefix: prefix}, Options{})
	n.enter("c")
	n.publish("c", "1")
	for _, payload := range []string{
		"", "\x00", "garbage", "__", "__x9:1:2__", "__p1:", "__p1:7__", "__p1:99999999999999999999:e__", "__d1:3:e:5:ab:", "__j__\xff\xff",
		"\"\x03{\"a", strings.Repeat("\xff", 1000), "\"\x05nojson",
	} {
		server.Do(t, "PUBLISH", prefix+".client.c", payload)
	}
	n.publish("c", "2")
	server.Do(t, "PUBLISH", prefix+".client.c", "__p1:900:bogus-epoch__\"\x03\"x\"")
	events := n.sink.Await(t, "c", 3)
	require.EqualValues(t, 2, events[1].Pub.Offset)
	require.Equal(t, "bogus-epoch", events[2].Pub.Epoch, "another epoch is for the hub to tell")
	skipped := n.Stats().Shards[0].Skipped
	require.EqualValues(t, 13, skipped[skipMalformed]+skipped[skipFraming]+skipped[skipData], "%v", skipped)
}

// An offset that no history has is compared once, told to nobody, and holds nobody up.
func TestAnOffsetThatNobodyGaveIsNotBelieved(t *testing.T) {
	server, prefix := redisrig.Shared(t), redisrig.Prefix(t)
	n := started(t, rds.Options{Address: []string{server.Addr}, Prefix: prefix}, Options{})
	n.enter("c")
	epoch := n.publish("c", "1").Epoch
	server.Do(t, "PUBLISH", prefix+".client.c", "__p1:900:"+epoch+"__\"\x03\"x\"")
	n.publish("c", "2")
	testkit.Eventually(t, func() bool { return n.Stats().Shards[0].Unconfirmed == 1 }, "the comparison")
	require.NoError(t, n.Barrier(t.Context()))
	var offsets []uint64
	for _, e := range n.sink.Events("c") {
		require.NotEqual(t, brokertest.Lost, e.Kind)
		if e.Kind == brokertest.Publication {
			offsets = append(offsets, e.Pub.Offset)
		}
	}
	require.Equal(t, []uint64{1, 2}, offsets)
}

// A message that Redis delivered to nobody, with no loss of a connection: the next one shows
// it, and a position check where there is no next one.
func TestAMissingPublicationIsBrought(t *testing.T) {
	f := func(name string, shown func(n *node)) {
		t.Run(name, func(t *testing.T) {
			server, prefix := redisrig.Shared(t), redisrig.Prefix(t)
			n := started(t, rds.Options{Address: []string{server.Addr}, Prefix: prefix}, Options{})
			n.enter("c")
			epoch := n.publish("c", "1").Epoch
			n.sink.Await(t, "c", 1)
			server.Do(t, "HSET", prefix+".stream.meta.c", "s", "2")
			server.Do(t, "XADD", prefix+".stream.c", "2-0", "d", "\"\x03\"2\"")
			shown(n)
			require.NoError(t, n.Barrier(t.Context()))
			var texts []string
			for _, e := range n.sink.Events("c") {
				if e.Kind == brokertest.Publication {
					require.Equal(t, epoch, e.Pub.Epoch)
					texts = append(texts, e.Pub.Data.String())
				}
			}
			require.Equal(t, []string{`"1"`, `"2"`}, texts[:2])
			require.EqualValues(t, 0, n.Stats().Shards[0].Told)
		})
	}
	f("by_the_next", func(n *node) { n.publish("c", "3") })
	f("by_a_read", func(n *node) {
		_, _, err := broker.Read(n.t.Context(), n, broker.HistoryQuery{Channel: "c", MetaTTL: time.Hour})
		require.NoError(n.t, err)
	})
}

// loseWrites plays a failover that lost writes: the history stands where it was.
func loseWrites(t *testing.T, server *redisrig.Server, prefix string, top int, gone ...string) {
	server.Do(t, "HSET", prefix+".stream.meta.c", "s", fmt.Sprint(top))
	for _, id := range gone {
		server.Do(t, "XDEL", prefix+".stream.c", id)
	}
	server.Do(t, "XSETID", prefix+".stream.c", fmt.Sprint(top, "-0"))
}

// A history that went back gets another epoch, and its subscribers are told, whether
// its offsets were given again or not.
func TestAHistoryThatWentBackIsTold(t *testing.T) {
	f := func(name string, again int) {
		t.Run(name, func(t *testing.T) {
			server, prefix := redisrig.Shared(t), redisrig.Prefix(t)
			proxy := tcpproxy.New(t, server.Addr)
			near := started(t, rds.Options{Address: []string{server.Addr}, Prefix: prefix}, Options{})
			far := started(t, rds.Options{Address: []string{proxy.Addr}, Prefix: prefix}, Options{})
			before := far.enter("c")
			for i := range 3 {
				near.publish("c", fmt.Sprint(i))
			}
			far.sink.Await(t, "c", 3)
			proxy.Refuse(t, true)
			proxy.Cut()
			testkit.Eventually(t, func() bool { return far.Ready() != nil }, "the outage to be noticed")
			loseWrites(t, server, prefix, 2, "3-0")
			for i := range again {
				near.publish("c", fmt.Sprint("again", i))
			}
			proxy.Refuse(t, false)
			testkit.Eventually(t, func() bool { return far.Stats().Shards[0].WentBack == 1 }, "the comparison")
			far.awaitReady()
			require.NoError(t, far.Barrier(t.Context()))
			events := far.sink.Events("c")
			require.Equal(t, brokertest.Lost, events[len(events)-1].Kind)
			_, top, err := broker.Read(t.Context(), far, broker.HistoryQuery{Channel: "c", MetaTTL: time.Hour})
			require.NoError(t, err)
			require.NotEqual(t, before.Epoch, top.Epoch)
			require.EqualValues(t, 2+again, top.Offset)
			require.Equal(t, top.Epoch, near.publish("c", "next").Epoch)
		})
	}
	f("gone", 0)
	f("given_again", 1)
	f("and_passed", 3)
}

// A server that became a replica answers pings; it is not ready, says so, and publications
// end in time, with nothing done.
func TestAReplicaIsNotReady(t *testing.T) {
	server := redisrig.Single(t)
	n := started(t, rds.Options{Address: []string{server.Addr}}, Options{Wait: 300 * time.Millisecond})
	n.awaitReady()
	server.ReadOnly(t)
	testkit.Eventually(t, func() bool { return n.Ready() != nil }, "the role to be noticed")
	require.ErrorIs(t, n.Ready(), broker.ErrUnavailable)
	require.Contains(t, n.Ready().Error(), server.Addr)
	_, err := n.Publish(t.Context(), "c", &codec.Publication{Data: codec.QuoteJSON("x")}, broker.PublishOptions{History: kept})
	require.ErrorIs(t, err, broker.ErrUnavailable)
	server.Writable(t)
	n.awaitReady()
	require.EqualValues(t, 1, n.publish("c", "x").Offset)
}

// A user that may not run what a publish needs: not ready, although everything else works.
func TestAUserWhoMayNotPublishIsNotReady(t *testing.T) {
	server := redisrig.Single(t)
	for _, command := range []string{"evalsha", "xadd", "publish"} {
		t.Run(command, func(t *testing.T) {
			n := started(t, rds.Options{Address: []string{server.Addr}}, Options{Wait: 300 * time.Millisecond, ProbeLate: time.Second})
			n.awaitReady()
			server.Do(t, "ACL", "SETUSER", "default", "-"+command)
			testkit.Eventually(t, func() bool { return n.Ready() != nil }, "the refusal to be noticed")
			require.ErrorIs(t, n.Ready(), broker.ErrUnavailable)
			require.Contains(t, n.Ready().Error(), rds.ReasonNoPerm)
			server.Do(t, "ACL", "SETUSER", "default", "+@all")
			n.awaitReady()
		})
	}
}

// A restart without data is another epoch in every channel.
func TestARestartWithoutDataIsTold(t *testing.T) {
	server := redisrig.Single(t)
	var said testkit.LogBuffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	n := started(t, rds.Options{Address: []string{server.Addr}}, Options{Wait: 20 * time.Second, Log: log})
	n.enter("c")
	n.publish("c", "1")
	n.sink.Await(t, "c", 1)
	server.Kill(t)
	server.StartEmpty(t)
	n.awaitReady()
	testkit.Eventually(t, func() bool { return len(n.sink.Events("c")) == 2 }, "the loss to be told")
	require.Equal(t, brokertest.Lost, n.sink.Events("c")[1].Kind)
	require.EqualValues(t, 1, n.publish("c", "again").Offset)
	testkit.Eventually(t, func() bool { return strings.Contains(said.String(), "replayed=0 channels_told=1") }, "the log to say what came of it")
	require.Contains(t, said.String(), `msg="redis: the pub/sub connection is back"`)
}

// Channels come and go, connections too, and nothing stays.
func TestNothingStays(t *testing.T) {
	server := redisrig.Single(t)
	n := started(t, rds.Options{Address: []string{server.Addr}}, Options{})
	for i := range 200 {
		ch := fmt.Sprint("c", i%10)
		n.enter(ch)
		if i%50 == 0 {
			server.KillPubSub(t)
		}
		require.NoError(t, n.Unsubscribe(t.Context(), []string{ch}))
	}
	n.awaitReady()
	require.NoError(t, n.Barrier(t.Context()))
	st := n.Stats().Shards[0]
	require.Zero(t, st.Channels)
	require.Zero(t, st.Pending)
	require.Zero(t, st.Held)
	require.Zero(t, n.links[0].follower.Suspects())
}
