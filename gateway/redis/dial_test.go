package redis

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit/redisrig"
)

// A connection that is there only after the end is closed again: nobody else would.
func TestAConnectionThatIsMadeBehindTheEndIsClosed(t *testing.T) {
	server := redisrig.Single(t)
	d := openWith(t, Options{Address: []string{server.Addr}}).Shards()[0].dial
	c, err := d.forCommands(soon(t), "")
	require.NoError(t, err)
	_, open := d.connections()
	require.GreaterOrEqual(t, open, 1)
	d.close()
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = d.forCommands(soon(t), "")
	require.ErrorIs(t, err, net.ErrClosed)
	_, open = d.connections()
	require.Zero(t, open)
}
