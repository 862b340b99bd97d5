package loop

import (
	"bytes"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

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

func TestTheTableOfDescriptorsGrowsBeforeItIsFull(t *testing.T) {
	had := tableOf(t)
	want := max(firstTable, 2*had)
	needDescriptors(t, want)
	var table descriptorTable
	table.size.Store(had)
	table.took(int(had)/2 - 1)
	require.Equal(t, had, table.size.Load(), "half empty")
	table.took(int(had) / 2)
	require.Equal(t, want, table.size.Load())
	testkit.Eventually(t, func() bool { return tableOf(t) >= want }, "the table to grow")
	table.took(int(had) / 2)
	require.Equal(t, want, table.size.Load(), "once")
}

func TestTheFirstStreamsFindATableThatIsLargeEnough(t *testing.T) {
	needDescriptors(t, firstTable)
	newHarness(t, Options{})
	testkit.Eventually(t, func() bool { return tableOf(t) >= firstTable }, "the table to grow")
}

func TestRoomForMoreDescriptorsThanAreAllowedIsRoomForThose(t *testing.T) {
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	if limit.Cur > 1<<20 {
		t.Skipf("a table for %d descriptors is too much for a test", limit.Cur)
	}
	makeRoom(int64(limit.Cur) + 1)
	require.GreaterOrEqual(t, tableOf(t), int64(limit.Cur))
}

func TestADuplicateCountsInTheTable(t *testing.T) {
	needDescriptors(t, firstTable)
	near, _ := tcpConns(t, false)
	sock, err := Detach(near, SocketOptions{})
	require.NoError(t, err)
	defer sock.Discard()
	require.GreaterOrEqual(t, descriptors.size.Load(), int64(firstTable))
}
