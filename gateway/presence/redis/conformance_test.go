package redis

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/presence"
	"sluice/gateway/presence/presencetest"
	"sluice/gateway/redis"
	"sluice/gateway/testkit/redisrig"
	"sluice/gateway/testkit/tcpproxy"
)

// connect opens connections that end with the test.
func connect(t *testing.T, opt redis.Options) *redis.Redis {
	t.Helper()
	if opt.Prefix == "" {
		opt.Prefix = redisrig.Prefix(t)
	}
	r, err := redis.Open(opt)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	return r
}

// subject is a manager over connections of its own. All of a test have one prefix.
func subject(t *testing.T, opt redis.Options, change func(*Options)) presencetest.Subject {
	prefixes := make(map[string]string)
	var ahead atomic.Int64
	return presencetest.Subject{
		Nodes:   true,
		Advance: func(_ *testing.T, d time.Duration) { ahead.Add(int64(d)) },
		New: func(t *testing.T, ttl time.Duration) presence.Manager {
			if prefixes[t.Name()] == "" {
				prefixes[t.Name()] = redisrig.Prefix(t)
			}
			opt.Prefix = prefixes[t.Name()]
			settings := Options{TTL: ttl}
			if change != nil {
				change(&settings)
			}
			require.Empty(t, settings.Check())
			m := New(connect(t, opt), settings)
			m.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
			return m
		},
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	server := redisrig.Shared(t)
	s := subject(t, redis.Options{Address: []string{server.Addr}}, nil)
	s.Advance = nil // by the world's clock
	presencetest.Run(t, s)
}

func TestConformanceWithUserMapping(t *testing.T) {
	t.Parallel()
	server := redisrig.Shared(t)
	presencetest.Run(t, subject(t, redis.Options{Address: []string{server.Addr}, ForceRESP2: true}, func(o *Options) { o.UserMapping = true }))
}

func TestConformanceBehindAProxy(t *testing.T) {
	t.Parallel()
	proxy := tcpproxy.New(t, redisrig.Shared(t).Addr)
	s := subject(t, redis.Options{Address: []string{proxy.Addr}}, nil)
	s.Cut = func(t *testing.T) func() {
		proxy.Refuse(t, true)
		proxy.Cut()
		return func() { proxy.Refuse(t, false) }
	}
	presencetest.Run(t, s)
}

func TestConformanceOfShards(t *testing.T) {
	t.Parallel()
	var addrs []string
	for _, server := range redisrig.Shards(t, 2) {
		addrs = append(addrs, server.Addr)
	}
	presencetest.Run(t, subject(t, redis.Options{Address: addrs}, func(o *Options) { o.UserMapping = true }))
}

func TestConformanceOfACluster(t *testing.T) {
	t.Parallel()
	cluster := redisrig.Cluster(t)
	s := subject(t, redis.Options{ClusterAddress: []string{strings.Join(cluster.Addrs(), ",")}}, func(o *Options) { o.UserMapping = true })
	s.Refuses = func(channel string) bool { return strings.HasPrefix(channel, "}") }
	presencetest.Run(t, s)
}

func ctxOf(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
