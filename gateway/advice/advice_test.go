package advice

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/front/local"
)

func TestAdvice(t *testing.T) {
	wrap := func(err error) error { return &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", err)} }
	require.ErrorContains(t, Listen(wrap(syscall.EACCES), ":443", "http_server."), "CAP_NET_BIND_SERVICE")
	require.ErrorContains(t, Listen(&net.DNSError{Err: "no such host", Name: "x"}, "x:1", "http_server."), "the name in http_server.address cannot be resolved")
	other := wrap(syscall.ENOBUFS)
	require.Equal(t, other, Listen(other, ":1", "http_server."))
	require.ErrorIs(t, Listen(wrap(syscall.EADDRINUSE), ":1", "http_server."), syscall.EADDRINUSE)

	denied := &fs.PathError{Op: "open", Path: "/var/log/x", Err: syscall.EACCES}
	require.ErrorContains(t, File(denied, "log.file"), fmt.Sprintf("runs as uid %d", os.Getuid()))
	require.ErrorContains(t, File(&fs.PathError{Err: syscall.EROFS}, "pid_file"), "ReadWritePaths=")
	require.ErrorIs(t, File(denied, "log.file"), fs.ErrPermission)
	require.Equal(t, other, File(other, "log.file"))
}

func TestAdviceOnUnixSockets(t *testing.T) {
	f := func(err error, hint string) {
		t.Helper()
		told := Socket(err, "/run/x/s.sock", "http_server.address")
		require.ErrorIs(t, told, err)
		require.ErrorContains(t, told, hint)
	}
	f(local.ErrInUse, "`ss -lxp src /run/x/s.sock` shows it")
	f(local.ErrNoSocket, "set http_server.address to another path")
	f(local.ErrGroup, "http_server.unix_socket_group")
	f(fs.ErrNotExist, "make the folder /run/x (RuntimeDirectory=")
	f(fs.ErrPermission, fmt.Sprintf("runs as uid %d", os.Getuid()))
}
