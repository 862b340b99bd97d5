package front

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"sluice/gateway/loop"
)

func TestAPortIsSharedOnlyWhereBothAskForIt(t *testing.T) {
	first, err := Listen("127.0.0.1:0", Options{ReusePort: true})
	require.NoError(t, err)
	defer first.Close()
	second, err := Listen(first.Addr().String(), Options{ReusePort: true})
	require.NoError(t, err)
	defer second.Close()
	_, err = Listen(first.Addr().String(), Options{})
	require.ErrorIs(t, err, syscall.EADDRINUSE)
}

// What is accepted inherits what its listener was told, if it is no multipath one.
func TestListenTellsTheKernelWhatConnectionsAreToHave(t *testing.T) {
	ln, err := Listen("127.0.0.1:0", Options{ReusePort: true, Socket: loop.SocketOptions{UserTimeout: 35 * time.Second}})
	require.NoError(t, err)
	defer func() { require.NoError(t, ln.Close()) }()
	raw, err := ln.Listener.(syscall.Conn).SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		kind, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PROTOCOL)
		require.NoError(t, err)
		require.Equal(t, unix.IPPROTO_TCP, kind)
		timeout, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		require.NoError(t, err)
		require.Equal(t, 35000, timeout)
	}))
}
