package loop

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"sluice/codec"
	"sluice/gateway/testkit"
)

// tableOf returns for how many descriptors the kernel's table of this process has
// room (proc_pid_status(5)).
func tableOf(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	_, after, ok := bytes.Cut(status, []byte("FDSize:"))
	require.True(t, ok)
	n, err := strconv.ParseInt(string(bytes.Fields(after)[0]), 10, 64)
	require.NoError(t, err)
	return n
}

// needDescriptors skips where the process may not have n of them.
func needDescriptors(t *testing.T, n int64) {
	t.Helper()
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	if limit.Cur < uint64(n) {
		t.Skipf("%d open files allowed, %d needed: ulimit -n", limit.Cur, n)
	}
}

// alone runs the test in a process of its own, whose table nobody has grown, and
// reports whether this is it.
func alone(t *testing.T) bool {
	t.Helper()
	const name = "SLUICE_TEST_ALONE"
	if os.Getenv(name) != "" {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1", "-test.v")
	cmd.Env = append(os.Environ(), name+"=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	if bytes.Contains(out, []byte("--- SKIP")) {
		t.Skipf("%s", out)
	}
	return false
}

func TestTheTableOfDescriptorsGrowsBeforeItIsFull(t *testing.T) {
	needDescriptors(t, 4*firstTable)
	if !alone(t) {
		return
	}
	if had := tableOf(t); had >= firstTable {
		return // the second time, over io_uring, in the same process
	}
	newHarness(t, Options{})
	require.GreaterOrEqual(t, tableOf(t), int64(firstTable), "before the first stream")
	descriptors.took(firstTable/2 - 1)
	require.EqualValues(t, firstTable, descriptors.size.Load(), "half empty")
	descriptors.took(firstTable / 2)
	descriptors.took(firstTable / 2)
	require.EqualValues(t, 2*firstTable, descriptors.size.Load(), "once")
	testkit.Eventually(t, func() bool { return tableOf(t) >= 2*firstTable }, "the table to grow")
}

func TestTheTableOfDescriptorsGrowsPastThoseItWasNotToldOf(t *testing.T) {
	var table descriptorTable
	table.took(3 * firstTable)
	require.EqualValues(t, 8*firstTable, table.size.Load())
}

func TestRoomForMoreDescriptorsThanAreAllowedIsRoomForThose(t *testing.T) {
	if !alone(t) {
		return
	}
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	limit.Cur = min(limit.Cur, 2*firstTable)
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	makeRoom(int64(limit.Cur) + 1)
	require.GreaterOrEqual(t, tableOf(t), int64(limit.Cur))
}

func TestADuplicateCountsInTheTable(t *testing.T) {
	near, _ := tcpConns(t, false)
	before := descriptors.size.Swap(0)
	t.Cleanup(func() { descriptors.size.Store(before) })
	sock, err := Detach(near, SocketOptions{})
	require.NoError(t, err)
	defer sock.Discard()
	require.EqualValues(t, firstTable, descriptors.size.Load())
}

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
		h.do(func(l *Loop) { c.ref, err = l.Adopt(sock, c.framing, codec.CodingIdentity) })
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
