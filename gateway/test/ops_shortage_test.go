package test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/node"
	"sluice/gateway/testkit"
)

// One client takes all the memory for what was missed and does not read: who comes
// meanwhile is told 3013, and it is cut in the end. The log says which option was
// the reason for both.
func TestTheLogNamesTheOptionThatResumesHadTooLittleOf(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	log := &testkit.LogBuffer{}
	s := launchWith(t, fmt.Sprintf(baseConfig, `, "recovery_max_total": 65536, "recovery_max_bytes": 67108864`, "",
		`, "recovery_max_publication_limit": 0, "stale_close_delay": "1s"`, `, "namespaces": [{"name": "rr", `+recoverable+`}]`),
		node.Options{Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	t.Cleanup(func() { s.stop(t) })
	const ch = "rr:a"
	id := s.cursor(t, ch)
	s.publishAs(t, 1, 100, put{channel: ch, size: 200_000})

	const option = "option=uni_sse.recovery_max_total"
	logged := func(parts ...string) bool {
		for line := range strings.Lines(log.String()) {
			if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
				return true
			}
		}
		return false
	}
	told := false
	testkit.EventuallyWithin(t, patience, func() bool {
		if s.sessions.Stats().Recovery.Used == 0 {
			silent := s.resume(t, subscribeTarget([]string{ch}), ch, lastEventID(id), 4<<10)
			t.Cleanup(func() { _ = silent.conn.Close() })
		}
		c := testkit.Connect(t, s.addr, testkit.ConnectOptions{Subs: asking(ch), HTTPHeaders: [][2]string{{"Last-Event-ID", id}}})
		defer c.Close()
		told = told || strings.Contains(string(c.Next(t).Raw), `"code":3013`)
		return told && logged(`msg="connect refused"`, "code=3013", option) && logged(`msg="stream closed"`, "reason=slow_resume", option)
	}, "a client that is told to come back, and one that is cut")
	require.NotContains(t, log.String(), "code=111")
}
