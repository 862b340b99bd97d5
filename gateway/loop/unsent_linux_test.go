package loop

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"sluice/codec"
)

// A client that does not read costs the kernel what the option allows and not
// the megabytes that it would take by itself.
func TestTheKernelHoldsLittleForAClientThatDoesNotRead(t *testing.T) {
	f := func(limit int, what string, ok func(unsent int) bool) {
		t.Helper()
		h := newHarness(t, Options{QueueMaxSize: 1 << 30})
		near, far := tcpConns(t, false)
		t.Cleanup(func() { _ = far.Close() })
		sock, err := Detach(near, SocketOptions{UnsentMax: limit})
		require.NoError(t, err)
		require.NoError(t, near.Close())
		c := &client{t: t, conn: far, l: h.l, rec: h.rec, framing: codec.FramingChunked}
		h.do(func(l *Loop) { c.ref, err = l.Adopt(sock, c.framing) })
		require.NoError(t, err)
		// More than both ends hold together by default (tcp_wmem, tcp_rmem).
		text := strings.Repeat("u", 1<<20)
		for range 32 {
			h.send(c, frameOf("", text))
		}
		h.awaitStats("a full socket", func(s Stats) bool { return s.Blocked == 1 })
		// The client's side may still take some, and what it has taken is
		// not acknowledged at once.
		before, unsent := 0, 0
		h.await(what, func() bool {
			before = unsent
			unsent, err = unix.IoctlGetInt(sock.fd, unix.SIOCOUTQ)
			require.NoError(t, err)
			return unsent > 0 && unsent == before && ok(unsent)
		})
		h.do(func(l *Loop) { l.Cut(c.ref, ReasonLimit) })
		t.Logf("limit %d: %d bytes with the kernel, unsent or unacknowledged", limit, unsent)
	}
	const limit = 64 << 10
	// One skb may be begun below the limit and end above it.
	f(limit, "a kernel that holds little", func(unsent int) bool { return unsent <= limit+(256<<10) })
	f(0, "megabytes with the kernel without the option, or the test proves nothing", func(unsent int) bool { return unsent > 1<<20 })
}
