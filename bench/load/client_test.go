//go:build linux

package load

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"sluice/bench/standin"
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
	c.cfg.Source, c.cfg.Spread = 1, 2
	f(0, "127.0.0.2")
	f(1, "127.0.0.3")
	f(2, "127.0.0.2")
	require.Equal(t, []int{1, 1, 2}, []int{SourcesOf(1), SourcesOf(streamsPerSource), SourcesOf(streamsPerSource + 1)})
}

// A connection that sends and then says nothing is watched nevertheless.
func TestClientNoticesThatAMuteConnectionIsClosed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	c, err := New(Config{
		Addr: netip.MustParseAddrPort(l.Addr().String()), Workers: 1, InFlight: 1, Mute: true,
		Request: func(int) []byte { return nil }, Handler: Ignore,
	})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Open(t.Context(), 1, standin.Patience))
	require.EqualValues(t, 1, c.Held())
	conn, err := l.Accept()
	require.NoError(t, err)
	require.NoError(t, c.Err())
	require.NoError(t, conn.Close())
	require.Eventually(t, func() bool { return c.Err() != nil }, standin.Patience, time.Millisecond)
}

func TestClientTakesOneAnswerForEachConnection(t *testing.T) {
	f := func(answer, want string) {
		t.Helper()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		c, err := New(Config{
			Addr: netip.MustParseAddrPort(l.Addr().String()), Workers: 1, InFlight: 1, Answers: func(status int, _ []byte) bool { return status == 200 },
			Request: func(int) []byte { return []byte("?") }, Handler: Ignore,
		})
		require.NoError(t, err)
		defer c.Close()
		c.Start(1)
		conn, err := l.Accept()
		require.NoError(t, err)
		defer conn.Close()
		for i := range answer { // in as many pieces as there may be
			_, err = conn.Write([]byte(answer[i : i+1]))
			require.NoError(t, err)
		}
		if want == "" {
			require.Eventually(t, func() bool { return c.Held() == 1 }, standin.Patience, time.Millisecond)
			return
		}
		require.Eventually(t, func() bool { return c.Err() != nil }, standin.Patience, time.Millisecond)
		require.ErrorContains(t, c.Err(), want)
	}
	f("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "")
	f("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno", "503 no")
	f("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nx", "behind")
	f("nonsense, at length\r\n\r\n", "status line")
}
