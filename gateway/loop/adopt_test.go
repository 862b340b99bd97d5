package loop

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"sluice/codec"
	"sluice/gateway/testkit"
)

// hijacked wraps a connection as fasthttp does for a hijack handler.
type hijacked struct{ net.Conn }

func (c hijacked) UnsafeConn() net.Conn { return c.Conn }

// prefixed wraps a connection as listeners do that read a header first.
type prefixed struct {
	net.Conn
	r *bufio.Reader
}

func (c prefixed) NetConn() net.Conn { return c.Conn }

// endless unwraps to itself.
type endless struct{ net.Conn }

func (c endless) NetConn() net.Conn { return c }

func unixConns(t testing.TB) (near, far net.Conn) {
	t.Helper()
	path := socketPath(t)
	ln, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer func() { require.NoError(t, ln.Close()) }()
	far, err = net.Dial("unix", path)
	require.NoError(t, err)
	near, err = ln.Accept()
	require.NoError(t, err)
	return near, far
}

func TestDetachTakesTheSocketOutOfWhatWrapsIt(t *testing.T) {
	plain := func(c net.Conn) net.Conn { return c }
	conns := map[string]func(testing.TB) (net.Conn, net.Conn){
		"tcp":  func(t testing.TB) (net.Conn, net.Conn) { return tcpConns(t, false) },
		"unix": unixConns,
	}
	wraps := map[string]func(net.Conn) net.Conn{
		"plain":    plain,
		"hijacked": func(c net.Conn) net.Conn { return hijacked{c} },
		"prefixed": func(c net.Conn) net.Conn { return prefixed{c, bufio.NewReader(c)} },
		"both":     func(c net.Conn) net.Conn { return hijacked{prefixed{c, nil}} },
		"deep":     func(c net.Conn) net.Conn { return hijacked{hijacked{hijacked{hijacked{prefixed{c, nil}}}}} },
	}
	for kind, conn := range conns {
		for name, wrap := range wraps {
			t.Run(kind+"/"+name, func(t *testing.T) {
				testkit.Snapshot(t)
				near, far := conn(t)
				sock, err := Detach(wrap(near), SocketOptions{UserTimeout: 5 * time.Second})
				require.NoError(t, err)
				fd := sock.fd
				flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
				require.NoError(t, err)
				require.NotZero(t, flags&unix.FD_CLOEXEC, "expected close-on-exec")
				flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
				require.NoError(t, err)
				require.NotZero(t, flags&unix.O_NONBLOCK, "expected a non-blocking socket")
				// The HTTP server closes its own.
				require.NoError(t, near.Close())
				_, err = syscall.Write(fd, []byte("still open"))
				require.NoError(t, err)
				got := make([]byte, 10)
				_, err = io.ReadFull(far, got)
				require.NoError(t, err)
				require.Equal(t, "still open", string(got))
				sock.Discard()
				_, err = far.Read(got)
				require.ErrorIs(t, err, io.EOF)
				require.NoError(t, far.Close())
			})
		}
	}
}

func TestDetachRefusesWhatIsNoSocketOfOurs(t *testing.T) {
	testkit.Snapshot(t)
	near, far := tcpConns(t, false)
	defer func() { require.NoError(t, errors.Join(near.Close(), far.Close())) }()
	pipe, other := net.Pipe()
	defer func() { require.NoError(t, errors.Join(pipe.Close(), other.Close())) }()
	f := func(c net.Conn, text string) {
		t.Helper()
		sock, err := Detach(c, SocketOptions{UserTimeout: time.Second})
		require.ErrorIs(t, err, ErrUnknownConn)
		require.ErrorContains(t, err, text)
		require.Zero(t, sock)
	}
	f(tls.Client(near, &tls.Config{}), "*tls.Conn")
	f(hijacked{tls.Server(near, &tls.Config{})}, "*tls.Conn")
	f(prefixed{hijacked{tls.Server(near, &tls.Config{})}, nil}, "*tls.Conn")
	f(pipe, "*net.pipe")
	f(hijacked{pipe}, "*net.pipe")
	f(nil, "<nil>")
	f(hijacked{nil}, "<nil>")
	f(endless{near}, "too deep")
	f(struct{ net.Conn }{near}, "expected a TCP or Unix connection") // it may have changed the bytes
}

func TestDetachOfAClosedConnectionFails(t *testing.T) {
	testkit.Snapshot(t)
	near, far := tcpConns(t, false)
	require.NoError(t, errors.Join(near.Close(), far.Close()))
	sock, err := Detach(near, SocketOptions{UserTimeout: time.Second})
	require.ErrorIs(t, err, net.ErrClosed)
	require.Zero(t, sock)
}

// The HTTP server's descriptor outlives the hand-over by a moment, in which the
// stream may already end: neither close may reach the other's socket.
func TestTheServersDescriptorMayLiveOnForAWhile(t *testing.T) {
	h := newHarness(t, Options{})
	var kept []net.Conn
	for n := range 40 {
		near, far := tcpConns(t, false)
		sock, err := Detach(hijacked{near}, SocketOptions{})
		require.NoError(t, err)
		c := &client{t: t, conn: far, l: h.l, rec: h.rec}
		h.do(func(l *Loop) { c.ref, err = l.Adopt(sock, 0, codec.CodingIdentity) })
		require.NoError(t, err)
		h.alive(c)
		if n%2 == 0 {
			require.NoError(t, near.Close())
			h.alive(c)
		} else {
			kept = append(kept, near)
		}
		h.do(func(l *Loop) { l.Cut(c.ref, ReasonLimit) })
		c.close()
	}
	// Their clients have left: a watch that outlived its stream would tell
	// the streams that have the slots now.
	c := h.open(tcpPair, 0)
	h.alive(c)
	for _, near := range kept {
		_, err := near.Read(make([]byte, 1))
		require.Error(t, err)
		require.NoError(t, near.Close())
	}
	h.alive(c)
	require.Zero(t, h.group.Stats().Stale)
}

func TestAFailedAdoptLeavesTheDescriptorWithItsCaller(t *testing.T) {
	h := newHarness(t, Options{})
	file, err := os.CreateTemp(t.TempDir(), "not a socket")
	require.NoError(t, err)
	f := func(fd int, want error) {
		t.Helper()
		var ref Ref
		h.do(func(l *Loop) { ref, err = l.Adopt(PlainSocket(fd), codec.FramingClose, codec.CodingIdentity) })
		require.ErrorIs(t, err, want)
		require.ErrorContains(t, err, "loop: ")
		require.Zero(t, ref)
	}
	f(int(file.Fd()), syscall.EPERM) // epoll takes no files
	f(-1, syscall.EBADF)
	_, err = file.WriteString("still open")
	require.NoError(t, err)
	require.NoError(t, file.Close())
	s := h.group.Stats()
	require.Zero(t, s.Open)
	require.Zero(t, s.Adopted)
	h.alive(h.open(unixPair, 0)) // in the same slot
}
