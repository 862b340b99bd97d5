package loop

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"sluice/codec"
)

func TestDetachSetsTheUserTimeout(t *testing.T) {
	f := func(d time.Duration, want int) {
		t.Helper()
		near, far := tcpConns(t, false)
		sock, err := Detach(near, SocketOptions{UserTimeout: d})
		require.NoError(t, err)
		fd := sock.fd
		got, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		require.NoError(t, err)
		require.Equal(t, want, got)
		nodelay, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY)
		require.NoError(t, err)
		require.NotZero(t, nodelay)
		sock.Discard()
		require.NoError(t, near.Close())
		require.NoError(t, far.Close())
	}
	f(35*time.Second, 35000)
	f(0, 0)
}

// vanish opens a stream whose client takes no byte any more and whose kernel
// gives it up soon.
func (h *harness) vanish() *client {
	h.t.Helper()
	near, far := tcpConns(h.t, false)
	h.t.Cleanup(func() { _ = far.Close() })
	require.NoError(h.t, far.(*net.TCPConn).SetReadBuffer(1))
	sock, err := Detach(near, SocketOptions{UserTimeout: 500 * time.Millisecond})
	require.NoError(h.t, err)
	require.NoError(h.t, near.Close())
	c := &client{t: h.t, conn: far, l: h.l, rec: h.rec, framing: codec.FramingChunked}
	h.do(func(l *Loop) { c.ref, err = l.Adopt(sock, c.framing, codec.CodingIdentity) })
	require.NoError(h.t, err)
	return c
}

func TestAClientThatVanishedIsNoticed(t *testing.T) {
	h := newHarness(t, Options{QueueMaxSize: 1 << 30})
	c := h.vanish()
	// All at once and more than the kernel takes: it may give the client up
	// while some of it is still on its way there.
	h.send(c, frameOf("", strings.Repeat("v", 16<<20)))
	h.awaitClosed(c, ReasonPeerTimeout)
	h.awaitStats("the slot free", func(s Stats) bool { return s.Open == 0 && s.Blocked == 0 })
}

// What the loop has written may still be with the kernel: nothing is queued
// here, so only a read tells why the connection ended.
func TestAClientThatVanishedWithNothingQueuedIsNoticed(t *testing.T) {
	h := newHarness(t, Options{})
	c := h.vanish()
	text := strings.Repeat("v", 10000)
	for range 20 { // more than the client's kernel takes, less than ours
		h.send(c, frameOf("", text))
	}
	s := h.awaitStats("all of it with the kernel", func(s Stats) bool { return s.QueuedBytes == 0 })
	require.Zero(t, s.Blocked)
	h.awaitClosed(c, ReasonPeerTimeout)
}

// A socket may be left with an error that only reading it tells.
func TestReadErrorsHaveReasons(t *testing.T) {
	l, rec := bareLoop(t, Options{})
	sock, far := unixPair(t, false)
	fd := sock.fd
	ref, err := l.Adopt(PlainSocket(fd), 0, codec.CodingIdentity)
	require.NoError(t, err)
	// Bytes that the client never read make its close a reset.
	_, err = syscall.Write(fd, []byte("unread"))
	require.NoError(t, err)
	require.NoError(t, far.Close())
	l.readInput(ref.Slot)
	require.Equal(t, []Reason{ReasonClientGone}, rec.reasons(ref))
	checkEmpty(t, l)
}

// given gives its descriptor away, as connections of the gate do.
type given struct {
	net.Conn
	fd int
}

func (g *given) TakeFD() (int, bool) {
	fd := g.fd
	g.fd = -1
	return fd, fd >= 0
}

// A descriptor that was given away is the loop's own: no duplicate is made of it, and closing
// it ends its watch.
func TestDetachTakesADescriptorThatIsGiven(t *testing.T) {
	h := newHarness(t, Options{})
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	c := &given{fd: fds[0]}
	sock, err := Detach(hijacked{c}, SocketOptions{})
	require.NoError(t, err)
	require.Equal(t, fds[0], sock.fd)
	_, err = Detach(hijacked{c}, SocketOptions{})
	require.ErrorIs(t, err, net.ErrClosed)

	var ref Ref
	h.do(func(l *Loop) { ref, err = l.Adopt(sock, codec.FramingClose, codec.CodingIdentity) })
	require.NoError(t, err)
	h.do(func(l *Loop) {
		require.False(t, l.shares)
		l.Cut(ref, ReasonDisconnect)
	})
	n, err := syscall.Read(fds[1], make([]byte, 1))
	require.NoError(t, err)
	require.Zero(t, n, "the end expected")
	require.NoError(t, syscall.Close(fds[1]))
}

// What a listener was told holds for its connections (tcp(7)).
func TestConnectionsInheritTheOptionsOfTheirListener(t *testing.T) {
	lc := net.ListenConfig{Control: SocketOptions{UserTimeout: 35 * time.Second, UnsentMax: 12345}.Control}
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, ln.Close()) }()
	far, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	near, err := ln.Accept()
	require.NoError(t, err)
	sock, err := Detach(near, SocketOptions{})
	require.NoError(t, err)
	for option, want := range map[int]int{unix.TCP_USER_TIMEOUT: 35000, unix.TCP_NOTSENT_LOWAT: 12345} {
		got, err := unix.GetsockoptInt(sock.fd, unix.IPPROTO_TCP, option)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	sock.Discard()
	require.NoError(t, near.Close())
	require.NoError(t, far.Close())
}
