package redis

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/broker"
	"sluice/gateway/broker/brokertest"
	rds "sluice/gateway/redis"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
	"sluice/gateway/testkit/tcpproxy"
)

// A history that went back while its only subscriber is away gets another epoch, so that who
// comes back with the old position is told; one that is whole keeps its epoch.
func TestAHistoryThatWentBackIsToldToWhoIsAway(t *testing.T) {
	f := func(name string, again int, back bool) {
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
			require.NoError(t, far.Unsubscribe(t.Context(), []string{"c"}))
			proxy.Refuse(t, true)
			proxy.Cut()
			testkit.Eventually(t, func() bool { return far.Ready() != nil }, "the outage to be noticed")
			if back {
				loseWrites(t, server, prefix, 2, "3-0")
			}
			for i := range again {
				near.publish("c", fmt.Sprint("again", i))
			}
			compared := far.Stats().Shards[0].Compared
			proxy.Refuse(t, false)
			far.awaitReady()
			testkit.Eventually(t, func() bool { return far.Stats().Shards[0].Compared > compared }, "the comparison")
			_, top, err := broker.Read(t.Context(), far, broker.HistoryQuery{Channel: "c", MetaTTL: time.Hour})
			require.NoError(t, err)
			require.Equal(t, back, before.Epoch != top.Epoch)
			require.Equal(t, back, far.Stats().Shards[0].AwayBack == 1)
		})
	}
	f("gone", 0, true)
	f("given_again", 1, true)
	f("and_passed", 3, true)
	f("whole", 0, false)
	f("more", 3, false)
}

// A channel whose keys another program took is told; it does not keep the node from being ready, nor others
// waiting.
func TestAHistoryThatCannotBeReadForGoodIsTold(t *testing.T) {
	server := redisrig.Single(t)
	n := started(t, rds.Options{Address: []string{server.Addr}, Prefix: "p"}, Options{})
	n.enter("c")
	n.enter("d")
	n.publish("c", "1")
	n.sink.Await(t, "c", 1)
	server.Do(t, "SET", "p.stream.meta.c", "foreign")
	server.KillPubSub(t)
	testkit.Eventually(t, func() bool { return len(n.sink.Events("c")) == 2 }, "the loss to be told")
	require.Equal(t, brokertest.Lost, n.sink.Events("c")[1].Kind)
	n.awaitReady()
	n.publish("d", "1")
	n.sink.Await(t, "d", 2) // behind the resync
	require.EqualValues(t, 1, n.Stats().Shards[0].Unreadable)
}
