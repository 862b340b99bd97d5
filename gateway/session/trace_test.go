package session

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/auth"
	"sluice/gateway/channel"
	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

// Whoever reads that a stream was slow reads which option says how slow it may be.
func TestTheCloseOfASlowStreamNamesTheOption(t *testing.T) {
	want := map[string]string{
		"slow_bytes": "client.queue_max_size", "slow_age": "client.queue_max_age",
		"slow_total": "client.queues_max_total", "slow_resume": "uni_sse.recovery_max_total",
	}
	log := &testkit.LogBuffer{}
	r := newRig(t, nil, func(o *Options) { o.Log = debugLog(log) })
	for _, reason := range loop.Reasons() {
		log.Reset()
		c := r.open(t, &auth.Identity{}, grant("news", channel.Options{}))
		require.NoError(t, <-c.opened)
		c.expect(t, "connect")
		r.do(func(a *Agent) {
			a.each(func(ref loop.Ref, s *session) { a.traceClosed(ref, s, reason) })
		})
		rec := log.String()
		require.Contains(t, rec, `msg="stream closed"`)
		require.Contains(t, rec, "reason="+reason.String()+" ")
		option, slow := want[reason.String()]
		require.Equal(t, strings.HasPrefix(reason.String(), "slow_"), slow)
		if slow {
			require.Contains(t, rec, " option="+option+"\n")
		} else {
			require.NotContains(t, rec, "option=", "%s", reason)
		}
		require.NoError(t, c.Close())
		testkit.Eventually(t, func() bool {
			n := 0
			r.do(func(a *Agent) { n = a.clients })
			return n == 0
		}, "the stream to end")
	}
}
