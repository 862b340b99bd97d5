package redis

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/broker"
	"sluice/gateway/broker/brokertest"
	rds "sluice/gateway/redis"
	"sluice/gateway/testkit/redisrig"
)

// opened returns connections that end with the test.
func opened(t testing.TB, opt rds.Options) *rds.Redis {
	t.Helper()
	opt.Node = redisrig.Prefix(t)
	r, err := rds.Open(opt)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	return r
}

// factory makes engines over the same servers.
func factory(t *testing.T, opt rds.Options, change ...func(*Options)) brokertest.Factory {
	opt.Prefix = redisrig.Prefix(t)
	return brokertest.Factory{New: func(t *testing.T) broker.Broker {
		o := Options{Redis: opened(t, opt), Node: redisrig.Prefix(t), Wait: 20 * time.Second, CallWait: 20 * time.Second}
		for _, f := range change {
			f(&o)
		}
		return New(o)
	}}
}

func lists(o *Options) { o.Lists = true }

func TestSingle(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, factory(t, rds.Options{Address: []string{redisrig.Shared(t).Addr}}))
}

func TestLists(t *testing.T) {
	t.Parallel()
	f := factory(t, rds.Options{Address: []string{redisrig.Shared(t).Addr}}, lists)
	f.Unversioned, f.NoDeltas = true, true
	brokertest.Run(t, f)
}
