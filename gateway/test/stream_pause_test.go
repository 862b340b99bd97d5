package test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// A process that is paused is late itself: streams that were blocked when it was
// stopped, and whose clients have read everything since, are none the slower.
func TestAPauseOfTheProcessIsNotTheClientsFault(t *testing.T) {
	t.Parallel() // as in ops_log_test.go
	const streams, age, pause = 60, 2 * time.Second, 3 * time.Second
	addr, process := startStoppable(t, fmt.Sprintf(baseConfig, withMetrics, "",
		fmt.Sprintf(`, "queue_max_age": %q, "ping_interval": "1h"`, age), ""))
	s := &server{addr: addr, api: &testkit.API{Addr: addr, Key: testKey}}
	for round := range 2 { // what comes first after a pause is a matter of luck
		channel := fmt.Sprint("news-", round)
		c := s.stalled(t, streams, subscribeTarget([]string{channel}))
		acks := s.publishAs(t, 1, 6, put{channel: channel, size: 80_000}) // below queue_max_size
		testkit.Eventually(t, func() bool { return s.scrape(t)["streams_blocked"] == streams || len(s.endedFor(t)) > 0 }, "all streams to be blocked")
		stopProcess(t, process)
		stopped := time.Now()
		for _, f := range c {
			go f.read(nil) // what the kernel has, then the rest
		}
		t.Cleanup(c.close)
		time.Sleep(time.Until(stopped.Add(pause))) // the pause that the test is about
		require.NoError(t, process.Signal(syscall.SIGCONT))

		c.await(t, len(acks))
		if ended := s.endedFor(t); len(ended) > 0 {
			t.Fatalf("round %d: streams whose clients had read everything ended: %v of %d", round, ended, streams)
		}
		more := s.publishAs(t, 2, 3, put{channel: channel, size: 100})
		c.await(t, len(acks)+len(more))
		for i, f := range c {
			require.False(t, f.ended(), "stream %d %v", i, f)
			require.EqualValues(t, len(acks)+len(more), f.count.Load(), "stream %d", i)
		}
		require.Empty(t, s.endedFor(t))
	}
}

// endedFor are the streams of another process that ended, by reason.
func (s *server) endedFor(t *testing.T) map[string]float64 {
	t.Helper()
	out := make(map[string]float64)
	for name, n := range s.scrape(t) {
		if reason, ok := strings.CutPrefix(name, "stream_closes_total"); ok && n > 0 {
			out[reason] = n
		}
	}
	return out
}
