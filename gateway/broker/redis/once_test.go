package redis

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	rds "sluice/gateway/redis"
	"sluice/gateway/testkit/redisrig"
)

// A publish that is told as not done has reached nobody, also where the result of its key cannot be
// kept; and one whose publishing fails does not take its key.
func TestAPublishWithAKeyIsDoneOrNot(t *testing.T) {
	server := redisrig.Single(t, redisrig.User("u on >pw ~p.* &p.sluice.* &p.client.open +@all"))
	n := started(t, rds.Options{Address: []string{server.Addr}, Prefix: "p"}, Options{Wait: 20 * time.Second})
	n.enter("c")
	once := func(e *Engine, ch string) (broker.Result, error) {
		return e.Publish(t.Context(), ch, &codec.Publication{Data: codec.QuoteJSON("x")}, broker.PublishOptions{IdempotencyKey: "k"})
	}
	server.Do(t, "CONFIG", "SET", "maxmemory", "1")
	_, err := once(n.Engine, "c")
	require.ErrorIs(t, err, broker.ErrUnavailable)
	require.NoError(t, n.Barrier(t.Context()))
	require.Empty(t, n.sink.Events("c"), "published, and told as not done")
	server.Do(t, "CONFIG", "SET", "maxmemory", "0")

	may := started(t, rds.Options{Address: []string{"redis://u:pw@" + server.Addr}, Prefix: "p"}, Options{})
	_, err = once(may.Engine, "c")
	require.ErrorIs(t, err, rds.ErrRefused)
	res, err := once(n.Engine, "c")
	require.NoError(t, err)
	require.False(t, res.Suppressed)
	n.sink.Await(t, "c", 1)
}
