package loop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pairOf makes a connection; tiny asks for the smallest socket buffers.
type pairOf func(t testing.TB, tiny bool) (near Socket, far net.Conn)

var pairs = map[string]pairOf{"tcp": tcpPair, "unix": unixPair, "tls": tlsPair, "tls1.2": tls12Pair}

func unixPair(t testing.TB, tiny bool) (Socket, net.Conn) {
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
	return PlainSocket(fds[0]), far
}

func tcpPair(t testing.TB, tiny bool) (Socket, net.Conn) {
	t.Helper()
	near, far := tcpConns(t, tiny)
	sock, err := Detach(near, SocketOptions{})
	require.NoError(t, err)
	require.NoError(t, near.Close())
	return sock, far
}

func tlsPair(t testing.TB, tiny bool) (Socket, net.Conn) {
	return tlsPairOf(t, tiny, tls.VersionTLS13)
}

func tls12Pair(t testing.TB, tiny bool) (Socket, net.Conn) {
	return tlsPairOf(t, tiny, tls.VersionTLS12)
}

// tlsPairOf makes an encrypted connection, its handshake done.
func tlsPairOf(t testing.TB, tiny bool, version uint16) (Socket, net.Conn) {
	t.Helper()
	near, far := tcpConns(t, tiny)
	return handshake(t, near, version, tls.Client(far, &tls.Config{InsecureSkipVerify: true}))
}

// handshake makes a Socket of the server's half of a connection.
func handshake(t testing.TB, near net.Conn, version uint16, client *tls.Conn) (Socket, net.Conn) {
	t.Helper()
	server := tls.Server(NewWire(near), &tls.Config{
		Certificates: []tls.Certificate{testCertificate()}, DynamicRecordSizingDisabled: true,
		MinVersion: version, MaxVersion: version,
	})
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	require.NoError(t, client.Handshake())
	require.NoError(t, <-done)
	sock, err := Detach(server, SocketOptions{})
	require.NoError(t, err)
	require.NoError(t, near.Close())
	return sock, client
}

var testCertificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

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
	for { // who else dialled the port, which was another's before, is sent away
		near, err = ln.Accept()
		require.NoError(t, err)
		if near.RemoteAddr().String() == far.LocalAddr().String() {
			return near, far
		}
		require.NoError(t, near.Close())
	}
}

// socketPath is a path for a Unix socket: short enough for sun_path.
func socketPath(t testing.TB) string {
	dir, err := os.MkdirTemp("", "loop")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}
