package redis

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/broker"
	"sluice/gateway/cluster"
	"sluice/gateway/cluster/clustertest"
	"sluice/gateway/redis"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
	"sluice/gateway/testkit/tcpproxy"
)

// places are those of two nodes.
func places(t *testing.T, opt redis.Options, ttl time.Duration) (one, two *Places) {
	t.Helper()
	opt.Prefix = redisrig.Prefix(t)
	return NewPlaces(connect(t, opt), ttl), NewPlaces(connect(t, opt), ttl)
}

// kinds of servers that hold places.
func placeServers(t *testing.T) map[string]redis.Options {
	var addrs []string
	for _, server := range redisrig.Shards(t, 2) {
		addrs = append(addrs, server.Addr)
	}
	return map[string]redis.Options{
		"one":     {Address: []string{redisrig.Shared(t).Addr}},
		"shards":  {Address: addrs},
		"cluster": {ClusterAddress: redisrig.Cluster(t).Addrs()[:1]},
	}
}

func TestPlaces(t *testing.T) {
	for name, opt := range placeServers(t) {
		t.Run(name, func(t *testing.T) {
			clustertest.Places(t, func(t *testing.T, ttl time.Duration) (one, two cluster.Places) { return places(t, opt, ttl) })
		})
	}
}

func reserve(t *testing.T, p *Places, user, client string, limit int) bool {
	t.Helper()
	var place cluster.Place
	testkit.Eventually(t, func() (done bool) { // until the connection stands
		var err error
		place, err = p.Reserve(t.Context(), user, client, limit)
		return err == nil
	}, "an answer")
	return place == cluster.PlaceTaken
}

func TestClaimsIncreaseWhenTheClockGoesBack(t *testing.T) {
	server := redisrig.Shared(t)
	one, _ := places(t, redis.Options{Address: []string{server.Addr}}, time.Minute)
	reserve(t, one, "u", "x", 0)
	ahead := time.Now().Add(time.Hour).UnixMicro()
	server.Do(t, "SET", placeKeys(one.redis.ShardOf("u"), "u", "claim")[0], ahead)
	claim, others, err := one.Claim(t.Context(), "u", 0)
	require.NoError(t, err)
	require.True(t, others)
	require.EqualValues(t, ahead+1, claim)
	server.Do(t, "SET", placeKeys(one.redis.ShardOf("u"), "u", "claim")[0], "nonsense")
	claim, _, err = one.Claim(t.Context(), "u", 0)
	require.NoError(t, err)
	require.Less(t, claim, uint64(ahead))
}

// Nobody waits for places that are known to be out of reach.
func TestPlacesOutOfReachAreAnError(t *testing.T) {
	proxy := tcpproxy.New(t, redisrig.Shared(t).Addr)
	one, _ := places(t, redis.Options{Address: []string{proxy.Addr}}, time.Minute)
	require.True(t, reserve(t, one, "u", "a", 1))
	proxy.Refuse(t, true)
	proxy.Cut()
	testkit.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := one.Reserve(ctx, "u", "b", 1)
		require.Error(t, err)
		return one.redis.ShardOf("u").Ready() != nil
	}, "the loss is noticed")
	began := time.Now()
	_, err := one.Reserve(context.Background(), "u", "b", 1)
	require.ErrorIs(t, err, broker.ErrUnavailable)
	_, _, err = one.Claim(context.Background(), "u", 0)
	require.ErrorIs(t, err, broker.ErrUnavailable)
	require.Less(t, time.Since(began), 20*time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.Error(t, one.Apply(ctx, []cluster.PlaceChange{{User: "u", Client: "a"}}))
	proxy.Refuse(t, false)
	require.False(t, reserve(t, one, "u", "b", 1))
}
