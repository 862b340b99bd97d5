package test

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// Encrypted streams share blocks with each other, whatever their framing is.
func TestWhatWasMissedComesWholeOverTLS(t *testing.T) {
	s := startTLS(t, "", "", parts{
		client:  `, "recovery_max_publication_limit": 0, "queue_max_age": "2m"`,
		channel: `, "namespaces": [{"name": "rr", ` + recoverable + `}]`,
	})
	const ch, other = "rr:a", "rr:b"
	first := s.stream(t, s.ca.client(), testkit.ConnectOptions{}, ch, other)
	id := first.ExpectConnect(t).EventID
	first.Close()
	missed := make(map[string][]string)
	missed[ch], _ = s.fillTo(t, ch, 1<<20)
	missed[other], _ = s.fillTo(t, other, 20_000)
	for i := range 4 {
		cfg := s.ca.client()
		cfg.MaxVersion = uint16(tls.VersionTLS12 + i%2)
		c := s.stream(t, cfg, testkit.ConnectOptions{
			Proto: []string{"", "HTTP/1.0"}[i/2], HTTPHeaders: [][2]string{{"Last-Event-ID", id}},
		}, ch, other)
		r := c.ExpectConnect(t)
		c.ExpectMissed(t, &r, missedCounts(missed, []string{ch, other}))
		for name, want := range missed {
			require.True(t, r.Subs[name].Recovered)
			sameTexts(t, want, recoveredTexts(t, r.Subs[name], 1))
		}
		c.Close()
	}
	testkit.Eventually(t, func() bool { return s.sessions.Stats().Recovery.Used == 0 }, "the budget to come back")
}

// In cache mode the latest publication is all that was missed, and a block if it
// is large.
func TestTheLatestOfACacheComesWholeWhateverItsSize(t *testing.T) {
	s := startBurst(t, parts{
		channel: `, "namespaces": [{"name": "cc", "force_recovery_mode": "cache", ` + recoverable + `}]`,
	})
	for _, size := range []int{1, 15 << 10, 17 << 10, 1 << 20} {
		ch := fmt.Sprint("cc:", size)
		s.api.Publish(t, ch, `"old"`)
		want := `"` + strings.Repeat("x", size) + `"`
		at := s.api.Publish(t, ch, want)
		for range 2 {
			c := testkit.Connect(t, s.addr, testkit.ConnectOptions{
				Subs: map[string]testkit.SubscribeRequest{ch: {Recover: true}},
			})
			r := c.ExpectConnect(t).Subs[ch]
			require.True(t, r.Recovered)
			sameTexts(t, []string{want}, recoveredTexts(t, r, at.Offset))
			next := s.api.Publish(t, ch, want)
			require.Equal(t, next.Offset, c.ExpectPub(t, ch).Offset)
			at = next
			c.Close()
		}
	}
	s.expectSettled(t, "stream_queue_bytes", budgetUsed)
}
