package test

import (
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

func countFDs(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(names)
}

// Ten thousand idle streams cost descriptors and nothing else that is counted
// here, and one publish reaches them all.
func TestTenThousandStreams(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs Linux: it counts descriptors in /proc")
	}
	const n, slack = 10_000, 8
	s := startServer(t, parts{})
	first := s.subscribe(t, "news") // whatever the first stream starts is not counted
	first.ExpectConnect(t)
	testkit.Eventually(t, func() bool { return s.sessions.Counts().Clients == 1 }, "one client")
	goroutines, fds := runtime.NumGoroutine(), countFDs(t)

	lines := startHerd(t, s.addr, n, "/connection/uni_sse?cf_connect="+"%7B%22subs%22%3A%7B%22news%22%3A%7B%7D%7D%7D")
	expectLine(t, lines, "open")
	require.Equal(t, n+1, s.sessions.Counts().Clients)
	testkit.EventuallyWithin(t, time.Minute, func() bool {
		return runtime.NumGoroutine() <= goroutines+slack
	}, "goroutines to grow by at most "+strconv.Itoa(slack))
	testkit.Eventually(t, func() bool {
		d := countFDs(t) - fds - n
		return d >= -slack && d <= slack
	}, "descriptors to grow by the number of streams")

	s.api.Publish(t, "news", `"to all"`)
	expectLine(t, lines, "got")
	first.Expect(t, `{"channel":"news","pub":{"data":"to all"}}`)
	require.Equal(t, n+1, s.sessions.Counts().Clients, "nobody was lost")
}
