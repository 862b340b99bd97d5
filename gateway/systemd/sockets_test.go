package systemd

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// given is a socket as the manager passes it on.
func given(t *testing.T, name string, s interface{ File() (*os.File, error) }) *os.File {
	t.Helper()
	f, err := s.File()
	require.NoError(t, err)
	fd, err := unix.Dup(int(f.Fd()))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return os.NewFile(uintptr(fd), name)
}

func tcpSocket(t *testing.T) *net.TCPListener {
	t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

func unixSocket(t *testing.T) *net.UnixListener {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unix"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

func TestSocketsAreTakenByTheirNames(t *testing.T) {
	tcp, local := tcpSocket(t), unixSocket(t)
	s, err := take([]*os.File{given(t, InternalName, local), given(t, "sluice.socket", tcp)})
	require.NoError(t, err)
	require.Equal(t, tcp.Addr().String(), s.Public.Addr().String())
	require.Equal(t, local.Addr().String(), s.Internal.Addr().String())
	for _, ln := range []syscall.Conn{s.Public.(syscall.Conn), s.Internal.(syscall.Conn)} {
		raw, err := ln.SyscallConn()
		require.NoError(t, err)
		require.NoError(t, raw.Control(func(fd uintptr) {
			flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0)
			require.NoError(t, err)
			require.NotZero(t, flags&unix.FD_CLOEXEC)
			flags, err = unix.FcntlInt(fd, unix.F_GETFL, 0)
			require.NoError(t, err)
			require.NotZero(t, flags&unix.O_NONBLOCK)
		}))
	}
	s.close()
	_, err = os.Lstat(local.Addr().String())
	require.NoError(t, err, "the file is the manager's")

	s, err = take(nil)
	require.NoError(t, err)
	require.Equal(t, Sockets{}, s)
}

func TestSocketsThatAreOfNoUseAreRefused(t *testing.T) {
	f := func(why string, files ...*os.File) {
		t.Helper()
		s, err := take(files)
		require.ErrorContains(t, err, why)
		require.Equal(t, Sockets{}, s)
	}
	f("both for the public endpoint", given(t, "a", tcpSocket(t)), given(t, "b", unixSocket(t)))
	f("both for the internal endpoints", given(t, InternalName, tcpSocket(t)), given(t, InternalName, unixSocket(t)))

	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer udp.Close()
	f("socket 0 (u) of LISTEN_FDS: expected a listening stream socket (ListenStream=)", given(t, "u", udp))

	ln := tcpSocket(t)
	c, err := net.DialTCP("tcp", nil, ln.Addr().(*net.TCPAddr))
	require.NoError(t, err)
	defer c.Close()
	f("Accept=no is needed", given(t, "c", c))

	file, err := os.Open(os.DevNull)
	require.NoError(t, err)
	f("got a descriptor that is none", file)
}

func TestSocketsOfAnotherProcessAreNotTaken(t *testing.T) {
	t.Setenv("LISTEN_PID", "1")
	t.Setenv("LISTEN_FDS", "1")
	t.Setenv("LISTEN_FDNAMES", "x")
	t.Setenv("LISTEN_PIDFDID", "5")
	s, err := Inherit()
	require.NoError(t, err)
	require.Equal(t, Sockets{}, s)
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"} {
		_, set := os.LookupEnv(name)
		require.False(t, set, name)
	}
}
