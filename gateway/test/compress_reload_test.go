package test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// Streams stay in their coding whatever a reload, or a history that begins anew, does in the
// midst of their groups, and say the same as a stream that is not compressed.
func TestReloadsInTheMidstOfCompressedStreams(t *testing.T) {
	text := func(more string) string {
		return fmt.Sprintf(baseConfig, "", "", "", `, "namespaces": [{"name": "rr", `+more+anybody+`, "history_size": 10, "history_ttl": "60s"}]`)
	}
	r := startReloading(t, text(compressing+", "))
	var streams []*testkit.Client
	for _, coding := range []string{"identity", "gzip", "zstd"} {
		for _, channels := range [][]string{{"rr:a"}, {"rr:a", "rr:b"}} {
			c := r.compressed(t, coding, testkit.ConnectOptions{Subs: subsOf("", channels...)})
			c.ExpectConnect(t)
			streams = append(streams, c)
		}
	}
	n := 0
	publish := func() {
		for range 20 {
			n++
			data := quotes(n, []int{40, 700, 2000}[n%3])
			r.api.Publish(t, "rr:a", data)
			for _, c := range streams {
				require.Equal(t, data, string(c.ExpectPub(t, "rr:a").Data))
			}
		}
	}
	publish()
	for _, step := range []struct{ more, coding string }{
		{"", ""}, {compressing + ", ", "gzip"}, {`"slow_policy": "drop_oldest", ` + compressing + ", ", "gzip"},
		{`"compression": ["zstd"], `, ""}, {compressing + ", ", "gzip"},
	} {
		require.NotContains(t, r.reloadWith(t, text(step.more)), `"level":"ERROR"`)
		publish()
		late := testkit.Connect(t, r.addr, testkit.ConnectOptions{Subs: subsOf("", "rr:a"), HTTPHeaders: accepting("gzip")})
		late.ExpectConnect(t)
		require.Equal(t, step.coding, late.Head().Get("Content-Encoding"))
		streams = append(streams, late)
		publish()
		r.api.MustResult(t, "history_remove", `{"channel":"rr:a"}`)
		publish()
	}
	expectWellEnded(t, r.server, streams)
}
