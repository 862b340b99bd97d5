package redis

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit/redisrig"
)

// A Sentinel that is silent, as one whose machine is gone, leaves time for the master that the others name.
func TestASilentSentinelLeavesTimeForTheMaster(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	set := redisrig.Sentinel(t)
	r := openWith(t, Options{
		SentinelAddress: []string{silent.Addr().String() + "," + set.Addrs()[0]}, SentinelMasterName: set.Name,
		ConnectTimeout: 2 * time.Second,
	})
	works(t, r)
}
