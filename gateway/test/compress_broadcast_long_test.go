//go:build e2e

package test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// Streams of the broadcast route say the same in each coding, backlog, checkpoints and
// planned end included, event by event.
func TestLongCompressedBroadcastStreamsSayTheSame(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	text := parts{channel: `, "namespaces": [{"name": "bb", "broadcast": true, "broadcast_freshness": "1s", "broadcast_lifetime": "3s",
		"history_size": 1000, "history_ttl": "60s", ` + compressing + `}]`}.config()
	s := launch(t, strings.Replace(text, `"health":`, `"broadcast": {"enabled": true}, "health":`, 1))
	t.Cleanup(func() { s.stop(t) })
	n := 0
	publish := func() string {
		n++
		data := quotes(n, []int{50, 400, 2000, 9000}[n%4])
		s.api.Publish(t, "bb:a", data)
		return data
	}
	for range 60 {
		publish()
	}
	var conns []*testkit.Conn
	var streams []*testkit.Reader
	for _, coding := range []string{"identity", "gzip", "zstd"} {
		c := testkit.Dial(t, s.addr)
		c.Send(testkit.Request{Target: "/broadcast/bb:a", Headers: accepting(coding)}.String())
		head := c.ReadHead(t)
		require.Equal(t, 200, head.Status)
		require.Contains(t, strings.Join(head.Values("Vary"), ", "), "Accept-Encoding")
		if coding != "identity" {
			require.Equal(t, coding, head.Get("Content-Encoding"))
		}
		conns, streams = append(conns, c), append(streams, testkit.NewReader(testkit.Inflate(head.Get("Content-Encoding"), c.Body())))
	}
	same := func(want string) {
		t.Helper()
		for i, r := range streams {
			ev, err := r.Next()
			require.NoError(t, err, "stream %d", i)
			require.Contains(t, ev.Data, want, "stream %d", i)
		}
	}
	for i := range 60 {
		same(fmt.Sprintf(`{"n":%d,`, i+1))
	}
	for range 120 {
		same(publish())
	}
	for i, r := range streams { // nothing comes any more but the planned end
		_, err := r.Next()
		require.ErrorIs(t, err, io.EOF, "stream %d", i)
		require.True(t, conns[i].Terminated())
		require.NotEmpty(t, r.LastEventID())
		require.Empty(t, r.Violations())
	}
}
