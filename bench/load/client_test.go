//go:build linux

package load

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestEachGroupOfStreamsHasASourceAddressOfItsOwn(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	c := &Client{cfg: Config{Addr: netip.MustParseAddrPort(l.Addr().String())}}
	f := func(stream int, want string) {
		t.Helper()
		fd, err := c.dial(stream)
		require.NoError(t, err)
		conn, err := l.Accept()
		require.NoError(t, err)
		host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
		require.NoError(t, err)
		require.Equal(t, want, host)
		require.NoError(t, conn.Close())
		require.NoError(t, unix.Close(fd))
	}
	f(0, "127.0.0.1")
	f(streamsPerSource-1, "127.0.0.1")
	f(streamsPerSource, "127.0.0.2")
	f(300*streamsPerSource, "127.0.1.45")
	c.cfg.Source = 4
	f(0, "127.0.0.5")
	f(streamsPerSource, "127.0.0.6")
	require.Equal(t, []int{1, 1, 2}, []int{SourcesOf(1), SourcesOf(streamsPerSource), SourcesOf(streamsPerSource + 1)})
}
