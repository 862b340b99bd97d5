package loop

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// pairOf makes a connection; tiny asks for the smallest socket buffers.
type pairOf func(t testing.TB, tiny bool) (fd int, far net.Conn)

var pairs = map[string]pairOf{"tcp": tcpPair, "unix": unixPair}

func unixPair(t testing.TB, tiny bool) (int, net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	for _, fd := range fds {
		syscall.CloseOnExec(fd)
		require.NoError(t, syscall.SetNonblock(fd, true))
	}
	if tiny {
		require.NoError(t, syscall.SetsockoptInt(fds[0], syscall.SOL_SOCKET, syscall.SO_SNDBUF, 1))
	}
	file := os.NewFile(uintptr(fds[1]), "far")
	far, err := net.FileConn(file)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	return fds[0], far
}

func tcpPair(t testing.TB, tiny bool) (int, net.Conn) {
	t.Helper()
	near, far := tcpConns(t, tiny)
	fd, err := Detach(near, 0)
	require.NoError(t, err)
	require.NoError(t, near.Close())
	return fd, far
}

func tcpConns(t testing.TB, tiny bool) (near, far net.Conn) {
	t.Helper()
	set := func(opt, size int) func(string, string, syscall.RawConn) error {
		return func(_, _ string, c syscall.RawConn) (err error) {
			if tiny {
				_ = c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, opt, size) })
			}
			return err
		}
	}
	// The buffers of a connection are sized when it is made. A receive buffer
	// much smaller than a segment makes the kernel send by its persist timer.
	lc := net.ListenConfig{Control: set(syscall.SO_SNDBUF, 1)}
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, ln.Close()) }()
	d := net.Dialer{Control: set(syscall.SO_RCVBUF, 16<<10)}
	far, err = d.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	near, err = ln.Accept()
	require.NoError(t, err)
	return near, far
}

// socketPath is a path for a Unix socket: short enough for sun_path.
func socketPath(t testing.TB) string {
	dir, err := os.MkdirTemp("", "loop")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}
