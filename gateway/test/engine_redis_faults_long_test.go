//go:build e2e

package test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/broker/brokertest"
	engine "sluice/gateway/broker/redis"
	"sluice/gateway/redis"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
)

// pairRig is a node that publishes and one that is subscribed, while servers fail.
type pairRig struct {
	t         *testing.T
	from, to  *engine.Engine
	sink      *brokertest.Sink
	channels  []string
	stop      context.CancelFunc
	done      sync.WaitGroup
	mu        sync.Mutex
	published map[string]int   // acknowledged
	failed    map[string]error // the last failure
}

var pairHistory = broker.HistoryOptions{Size: 10_000, TTL: time.Minute, MetaTTL: time.Hour}

func newPair(t *testing.T, opt redis.Options) *pairRig {
	opt.Prefix, opt.IOTimeout = redisrig.Prefix(t), time.Second
	r := &pairRig{t: t, sink: brokertest.NewSink(), published: make(map[string]int), failed: make(map[string]error)}
	start := func(sink broker.Sink) *engine.Engine {
		e := engine.New(engine.Options{Redis: engineConns(t, opt), Node: redisrig.Prefix(t), ProbeEvery: 100 * time.Millisecond})
		require.NoError(t, e.Start(sink))
		t.Cleanup(func() { require.NoError(t, e.Close(context.Background())) })
		testkit.Eventually(t, func() bool { return e.Ready() == nil }, "the engine to be ready")
		return e
	}
	r.from, r.to = start(brokertest.NewSink()), start(r.sink)
	for i := range 12 {
		r.channels = append(r.channels, fmt.Sprint("channel", i))
	}
	require.NoError(t, r.to.Subscribe(t.Context(), r.channels))
	for _, ch := range r.channels {
		_, _, err := broker.Read(t.Context(), r.to, broker.HistoryQuery{Channel: ch, MetaTTL: time.Hour})
		require.NoError(t, err)
	}
	return r
}

// publish begins publishers that repeat with their key what they were not told of.
func (r *pairRig) publish() {
	ctx, stop := context.WithCancel(r.t.Context())
	r.stop = stop
	for _, ch := range r.channels {
		r.done.Go(func() {
			for i := 0; ctx.Err() == nil; {
				p := &codec.Publication{Data: codec.QuoteJSON(fmt.Sprint(i))}
				_, err := r.from.Publish(ctx, ch, p, broker.PublishOptions{History: pairHistory, IdempotencyKey: fmt.Sprint(i)})
				if err != nil {
					r.mu.Lock()
					r.failed[ch] = err
					r.mu.Unlock()
					continue
				}
				i++
				r.mu.Lock()
				r.published[ch]++
				r.mu.Unlock()
				time.Sleep(time.Millisecond)
			}
		})
	}
	r.t.Cleanup(func() {
		stop()
		r.done.Wait()
		if r.t.Failed() {
			r.t.Log(r.published, r.failed)
		}
	})
	r.await(50)
}

// await waits until so many more were acknowledged in each channel.
func (r *pairRig) await(more int) {
	r.t.Helper()
	r.mu.Lock()
	before := make(map[string]int)
	for ch, n := range r.published {
		before[ch] = n
	}
	r.mu.Unlock()
	testkit.Eventually(r.t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, ch := range r.channels {
			if r.published[ch] < before[ch]+more {
				return false
			}
		}
		return true
	}, "publications")
}

// followed returns how many publications came in order, and whether a loss was told.
func (r *pairRig) followed(ch string) (came uint64, told bool) {
	epoch := ""
	for i, e := range r.sink.Events(ch) {
		switch {
		case told:
		case e.Kind == brokertest.Lost:
			told = true
		case e.Kind == brokertest.Resynced:
			told = e.Top.Offset != came
		case e.Kind == brokertest.Publication:
			if told = epoch != "" && e.Pub.Epoch != epoch; !told {
				require.Equal(r.t, came+1, e.Pub.Offset, "event %d of %s", i, ch)
				came, epoch = e.Pub.Offset, e.Pub.Epoch
			}
		}
	}
	return came, told
}

// end stops the publishers and checks that every channel is complete, or was told.
func (r *pairRig) end(mayLose bool) {
	r.t.Helper()
	r.await(20) // nobody is stuck
	r.stop()
	r.done.Wait()
	for _, e := range []*engine.Engine{r.from, r.to} {
		testkit.Eventually(r.t, func() bool { return e.Ready() == nil }, "the engine to be ready again")
	}
	told := 0
	for _, ch := range r.channels {
		_, top, err := broker.Read(r.t.Context(), r.to, broker.HistoryQuery{Channel: ch, MetaTTL: time.Hour})
		require.NoError(r.t, err)
		require.NoError(r.t, r.to.Barrier(r.t.Context()))
		came, lost := r.followed(ch)
		if lost {
			told++
			continue
		}
		require.Equal(r.t, top.Offset, came, "%s: what is missing was not told", ch)
	}
	if !mayLose {
		require.Zero(r.t, told, "nothing was lost")
	}
	st := r.to.Stats().Shards[0]
	r.t.Logf("channels told: %d of %d; replayed %d, losses %d, went back %d", told, len(r.channels), st.Replayed, st.Lost, st.WentBack)
}

func TestLongEngineOnRedisFailover(t *testing.T) {
	t.Run("sentinel", func(t *testing.T) {
		set := redisrig.Sentinel(t)
		r := newPair(t, redis.Options{SentinelAddress: set.Addrs(), SentinelMasterName: set.Name})
		r.publish()
		set.Failover(t)
		r.end(true)
	})
	for _, sharded := range []bool{false, true} {
		t.Run(fmt.Sprintf("cluster_sharded_%t", sharded), func(t *testing.T) {
			c := redisrig.Cluster(t, redisrig.Replicas(1))
			r := newPair(t, redis.Options{ClusterAddress: []string{strings.Join(c.Addrs(), ",")}, ShardedPubSub: sharded})
			r.publish()
			for _, ch := range r.channels[:4] {
				slot := c.Slot(t, "x{"+ch+"}")
				from := c.Owner(t, slot)
				for _, to := range c.Masters {
					if to != from {
						c.MigrateSlot(t, slot, to, nil) // while it moves, keys that are not there yet have to wait
						break
					}
				}
			}
			r.await(20)
			c.Masters[0].Kill(t)
			c.Failover(t, c.Replicas[0][0])
			r.end(true)
		})
	}
}

// A master that is gone holds up nobody but its own channels.
func TestLongEngineOnShardedRedisWithoutAMaster(t *testing.T) {
	c := redisrig.Cluster(t)
	for _, m := range c.Masters {
		m.Do(t, "CONFIG", "SET", "cluster-require-full-coverage", "no")
	}
	r := newPair(t, redis.Options{ClusterAddress: []string{strings.Join(c.Addrs(), ",")}, ShardedPubSub: true})
	gone := c.Owner(t, c.Slot(t, "x{"+r.channels[0]+"}"))
	before := r.sink.Events(r.channels[0])
	gone.Kill(t)
	testkit.Eventually(t, func() bool { return r.to.Ready() != nil }, "the loss to be noticed")
	others := 0
	for i, ch := range r.channels {
		if c.Owner(t, c.Slot(t, "x{"+ch+"}")) == gone {
			continue
		}
		others++
		if i%2 == 0 { // one that comes meanwhile
			require.NoError(t, r.to.Unsubscribe(t.Context(), []string{ch}))
			require.NoError(t, r.to.Subscribe(t.Context(), []string{ch}))
			_, _, err := broker.Read(t.Context(), r.to, broker.HistoryQuery{Channel: ch, MetaTTL: time.Hour})
			require.NoError(t, err)
		}
		for k := range 3 {
			p := &codec.Publication{Data: codec.QuoteJSON(fmt.Sprint(k))}
			_, err := r.from.Publish(t.Context(), ch, p, broker.PublishOptions{History: pairHistory})
			require.NoError(t, err)
		}
		r.sink.Await(t, ch, 3)
	}
	require.Positive(t, others)
	require.Len(t, r.sink.Events(r.channels[0]), len(before))
}

func TestLongEngineOnRedisFrozen(t *testing.T) {
	server := redisrig.Single(t)
	r := newPair(t, redis.Options{Address: []string{server.Addr}})
	r.publish()
	server.Freeze(t)
	testkit.Eventually(t, func() bool { return r.to.Ready() != nil }, "the standstill to be noticed")
	server.Thaw(t)
	r.await(20)
	for range 5 {
		server.KillPubSub(t)
		r.await(5)
	}
	r.end(false)
}
