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

	"sluice/gateway/redis"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
)

// redisLog is a handler of a reader that keeps what it is told.
type redisLog struct {
	mu    sync.Mutex
	lines map[string]int
}

func (l *redisLog) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines == nil {
		l.lines = make(map[string]int)
	}
	l.lines[line]++
}

func (l *redisLog) count(line string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines[line]
}

func (l *redisLog) Message(channel, payload []byte) { l.add(string(channel) + " " + string(payload)) }
func (l *redisLog) Lost(*redis.Part, error)         { l.add("lost") }
func (l *redisLog) Back(*redis.Part, bool)          { l.add("back") }

// openShard opens the only shard of options.
func openShard(t *testing.T, o redis.Options) *redis.Shard {
	t.Helper()
	o.Prefix, o.Node = "p", "n1"
	r, err := redis.Open(o)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	return r.Shards()[0]
}

func redisWithin(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestLongRedisClusterFailsOver(t *testing.T) {
	cluster := redisrig.Cluster(t, redisrig.Replicas(1))
	s := openShard(t, redis.Options{Address: []string{"redis+cluster://" + cluster.Masters[0].Addr}, IOTimeout: time.Second})
	h := &redisLog{}
	reader := s.NewReader("test", h)
	c := s.Keys().Client("c")
	require.NoError(t, reader.Subscribe(redisWithin(t, 20*time.Second), c))
	// The node that the options name is gone for good.
	cluster.Masters[0].Kill(t)
	testkit.Eventually(t, func() bool {
		for i := range 30 {
			if s.Do(redisWithin(t, 5*time.Second), redis.Command("SET", []string{s.Keys().Stream(fmt.Sprint(i))}, "x").Repeatable()).Err() != nil {
				return false
			}
		}
		return true
	}, "writes to all masters")
	testkit.Eventually(t, func() bool { return reader.Marker(redisWithin(t, 5*time.Second)) == nil }, "delivery")
	require.NoError(t, s.Do(redisWithin(t, 20*time.Second), redis.Command("PUBLISH", []string{c}, "x").Repeatable()).Err())
	testkit.Eventually(t, func() bool { return h.count(c+" x") > 0 }, "a message")
}

func TestLongRedisSentinelsAreFollowed(t *testing.T) {
	testkit.Snapshot(t)
	set := redisrig.Sentinel(t, redisrig.Password("secret"))
	s := openShard(t, redis.Options{SentinelAddress: []string{strings.Join(set.Addrs(), ",")}, SentinelMasterName: set.Name, Password: "secret", IOTimeout: time.Second})
	h := &redisLog{}
	reader := s.NewReader("test", h)
	require.NoError(t, reader.Subscribe(redisWithin(t, 20*time.Second), "c"))
	through := func(n int) {
		t.Helper()
		require.NoError(t, s.Do(redisWithin(t, 20*time.Second), redis.Command("SET", []string{"n"}, fmt.Sprint(n))).Err())
		master := set.Master(t)
		testkit.Eventually(t, func() bool { return master.Do(t, "GET", "n") == fmt.Sprint(n) }, "a write at the master")
		testkit.Eventually(t, func() bool { return reader.Marker(redisWithin(t, 5*time.Second)) == nil }, "delivery")
		require.NoError(t, s.Do(redisWithin(t, 20*time.Second), redis.Command("PUBLISH", []string{"c"}, fmt.Sprint(n)).Repeatable()).Err())
		testkit.Eventually(t, func() bool { return h.count(fmt.Sprintf("c %d", n)) > 0 }, "a message")
	}
	through(1)
	old, _ := set.Failover(t) // the former master lives on as a replica
	testkit.Eventually(t, func() bool {
		return s.Do(redisWithin(t, 5*time.Second), redis.Command("SET", []string{"n"}, "x").Repeatable()).Err() == nil && set.Other(old).Do(t, "GET", "n") == "x"
	}, "writes to the new master")
	through(2)
	require.Positive(t, h.count("lost"))
	set.Sentinels[0].Kill(t) // two of three are enough
	through(3)
}

// A master that stands still costs what lies on it, for a while, and nothing else.
func TestLongRedisAFrozenMasterHarmsNoOther(t *testing.T) {
	cluster := redisrig.Cluster(t, redisrig.Replicas(1))
	const io = time.Second
	s := openShard(t, redis.Options{ClusterAddress: []string{strings.Join(cluster.Addrs(), ",")}, IOTimeout: io, ConnectTimeout: io / 2})
	frozen := cluster.Masters[0]
	var there, elsewhere []string
	for i := 0; len(there) < 20 || len(elsewhere) < 20; i++ {
		key := fmt.Sprintf("k%d", i)
		if cluster.Owner(t, cluster.Slot(t, key)) == frozen {
			there = append(there, key)
		} else {
			elsewhere = append(elsewhere, key)
		}
	}
	set := func(key string, d time.Duration) error {
		return s.Do(redisWithin(t, d), redis.Command("SET", []string{key}, "x")).Err()
	}
	require.NoError(t, set(there[0], time.Minute))
	require.NoError(t, set(elsewhere[0], time.Minute))
	frozen.Freeze(t)
	over := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 3000 { // more than are ever under way
		wg.Go(func() {
			for {
				_ = set(there[i%len(there)], 500*time.Millisecond)
				select {
				case <-over:
					return
				default:
				}
			}
		})
	}
	slow := 0
	for until := time.Now().Add(2 * io); time.Now().Before(until); {
		started := time.Now()
		require.NoError(t, set(elsewhere[0], 20*time.Second))
		if time.Since(started) > io {
			slow++
		}
	}
	require.Zero(t, slow)
	// The others vote for its replica, which we find.
	testkit.Eventually(t, func() bool { return set(there[0], 2*time.Second) == nil }, "writes to the replica that took over")
	close(over)
	wg.Wait()
}

// Sharded pub/sub moves to the replica of a master that died, with all channels.
func TestLongRedisShardedPubSubFailsOver(t *testing.T) {
	cluster := redisrig.Cluster(t, redisrig.Replicas(1))
	s := openShard(t, redis.Options{ClusterAddress: []string{strings.Join(cluster.Addrs(), ",")}, IOTimeout: time.Second, ShardedPubSub: true})
	h := &redisLog{}
	reader := s.NewReader("test", h)
	names := make([]string, 1000)
	for i := range names {
		names[i] = s.Keys().Client(fmt.Sprint(i))
	}
	require.NoError(t, reader.Subscribe(redisWithin(t, time.Minute), names...))
	cluster.Masters[0].Kill(t)
	testkit.Eventually(t, func() bool { return h.count("lost") > 0 }, "the loss")
	testkit.Eventually(t, func() bool { return h.count("back") > 1 && reader.Marker(redisWithin(t, 5*time.Second)) == nil }, "delivery")
	for _, name := range names {
		require.NoError(t, s.Do(redisWithin(t, time.Minute), redis.Command("SPUBLISH", []string{name}, "x").Repeatable()).Err())
	}
	require.NoError(t, reader.Marker(redisWithin(t, time.Minute)))
	for _, name := range names {
		require.Positive(t, h.count(name+" x"), name)
	}
}
