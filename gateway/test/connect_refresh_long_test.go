//go:build e2e

package test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// PROTOCOL 4.5 and 8.4. Each user gets another answer; the one whose connection
// the backend lets expire is the clock for the others.
func TestLongRefreshHook(t *testing.T) {
	b := newRefresher(t)
	s := startStrict(t, parts{client: withSecret + b.refreshHook(
		`, "http_headers": ["Cookie"], "emulated_headers": ["X-Emul"], "include_connection_meta": true`)}, nil)
	inTime(t, func(seconds int64) bool {
		at := soon(seconds)
		clients := make(map[string]*testkit.Client)
		named := func(kind string) string { return fmt.Sprint(kind, " ", seconds) }
		for _, kind := range []string{"longer", "twice", "forever", "ended", "past", "kicked", "error", "nothing", "failing", "garbage"} {
			user := named(kind)
			c, res := s.connectBefore(t, at, testkit.ConnectOptions{
				Token: tokenOf(t, user, map[string]any{"expire_at": at, "meta": map[string]any{"m": user}}), Subs: asking("who:x"),
				HTTPHeaders: [][2]string{{"Cookie", "user=" + user}}, Headers: map[string]string{"x-emul": user},
			})
			if c == nil {
				return false
			}
			defer c.Close()
			require.False(t, res.Expires, user)
			require.Zero(t, res.TTL, user)
			clients[kind] = c
		}
		clients["kicked"].ExpectDisconnect(t, 4501)
		for _, kind := range []string{"ended", "past", "error", "nothing", "twice"} {
			clients[kind].ExpectDisconnect(t, 3005)
			require.False(t, time.Now().Before(time.Unix(at, 0)), kind)
		}
		if b.count(named("twice")).Load() < 2 {
			return false // what it was given first was over when it came
		}
		require.EqualValues(t, 2, b.count(named("twice")).Load())
		staying := []string{"longer", "forever", "failing", "garbage"}
		testkit.Eventually(t, func() bool {
			return !slices.ContainsFunc(staying, func(kind string) bool { return b.count(named(kind)).Load() == 0 })
		}, "everybody's question")
		s.api.Publish(t, "who:x", `1`)
		for _, kind := range staying {
			clients[kind].Expect(t, `{"channel":"who:x","pub":{"data":1}}`) // and no refresh push before it
			require.EqualValues(t, 1, b.count(named(kind)).Load(), kind)
		}
		return true
	})
	b.expectCalls(t)
}
