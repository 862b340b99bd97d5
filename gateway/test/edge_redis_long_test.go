//go:build e2e

package test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
)

// startEdgeOn starts a node of a fleet on a Redis with the broadcast route.
func startEdgeOn(t *testing.T, engine string) *server {
	t.Helper()
	p := edgeParts(`, "vary_last_event_id": true}, "engine": {`+engine, "")
	s := launch(t, fmt.Sprintf(baseConfig, p.sse, p.api, p.client, p.channel))
	t.Cleanup(func() { s.stop(t) })
	return s
}

// expectPlaces fails the test unless each id of a stream is the position of the publication
// before it.
func expectPlaces(t *testing.T, v *viewer, ch string, blocks []string) (ids int) {
	t.Helper()
	last := uint64(0)
	for _, b := range blocks {
		if _, offset, ok := publicationOf(b); ok {
			last = offset
		}
		if id, ok := strings.CutPrefix(b, "id: "); ok && last > 0 {
			require.Equal(t, cursorOf(ch, v.head.Get("Sluice-Epoch"), last), id)
			ids++
		}
	}
	return ids
}

// Two nodes on one Redis have the same streams of a channel, each with checkpoints of its
// own: quiet ones too, once the engine has said where they stand.
func TestLongEdgeOnRedis(t *testing.T) {
	t.Parallel()
	redis := redisrig.Single(t)
	engine := redisEngine(redisrig.Prefix(t), []string{redis.Addr}, "")
	one, two := startEdgeOn(t, engine), startEdgeOn(t, engine)
	one.api.Publish(t, "live:a", "1")
	v := view(t, one.addr, "/broadcast/live:a")
	v.await(t, "an id of a quiet channel", func(b []string) bool { return lastID(b) != "" })
	id, epoch := lastID(v.blocks()), v.head.Get("Sluice-Epoch")
	require.Equal(t, cursorOf("live:a", epoch, 1), id)

	// The other node does not know the id: it sends whoever comes with it where ids mean
	// nothing, and nothing is lost there.
	two.api.Publish(t, "live:a", "2")
	h, _ := testkit.RoundTrip(t, two.addr, testkit.Request{Target: "/broadcast/live:a", Headers: [][2]string{{"Last-Event-ID", id}}})
	require.Equal(t, 307, h.Status)
	other := view(t, two.addr, h.Get("Location"), "Last-Event-ID", id)
	require.Equal(t, epoch, other.head.Get("Sluice-Epoch"))
	other.await(t, "the backlog", func(b []string) bool { return len(offsetsIn(t, b)) == 2 })

	stop := one.publishing(t, "live:a", 5*time.Millisecond)
	pubs := make(map[uint64]string)
	for range 2 {
		for _, s := range []*server{one, two} {
			v := view(t, s.addr, "/broadcast/live:a")
			blocks := v.ended(t)
			require.Equal(t, epoch, v.head.Get("Sluice-Epoch"))
			require.NotZero(t, expectPlaces(t, v, "live:a", blocks))
			got := offsetsIn(t, blocks)
			require.Equal(t, upTo(got[0], got[0]+uint64(len(got))-1), got)
			for _, b := range blocks {
				if _, offset, ok := publicationOf(b); ok {
					b = toldEpoch.ReplaceAllString(b, "")
					if pubs[offset] != "" {
						require.Equal(t, pubs[offset], b)
					}
					pubs[offset] = b
				}
			}
			resumed := view(t, s.addr, "/broadcast/live:a", "Last-Event-ID", lastID(blocks))
			require.Equal(t, 200, resumed.head.Status)
			resumed.await(t, "what is behind it", func(b []string) bool { return len(offsetsIn(t, b)) > 0 })
			require.Equal(t, got[len(got)-1]+1, offsetsIn(t, resumed.blocks())[0])
		}
	}
	stop()
}

// While Redis is away streams stay, or end with when to come back; when it is there again,
// viewers have everything, or are given a new history if it lost its data.
func TestLongEdgeOnRedisThatIsAway(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(r *redisrig.Server){
		"frozen":  func(r *redisrig.Server) { r.Freeze(t); steady(6 * time.Second); r.Thaw(t) },
		"stopped": func(r *redisrig.Server) { r.Stop(t); steady(2 * time.Second); r.Start(t) },
		"emptied": func(r *redisrig.Server) { r.Kill(t); r.StartEmpty(t) },
	} {
		t.Run(name, func(t *testing.T) {
			redis := redisrig.Single(t, redisrig.Persist())
			engine := redisEngine(redisrig.Prefix(t), []string{redis.Addr}, "")
			s, publisher := startEdgeOn(t, engine), startEdgeOn(t, engine)
			c := &chaser{t: t, addr: s.addr, withID: true}
			for n := 1; n <= 20; n++ {
				publisher.api.Publish(t, "live:a", fmt.Sprint(n))
			}
			c.visit(1<<20, 20)
			v := view(t, s.addr, "/broadcast/live:a")
			v.await(t, "the backlog", func(b []string) bool { return len(offsetsIn(t, b)) == 20 })
			away(redis)
			blocks := v.ended(t)
			require.Contains(t, []string{"retry: 500", "retry: 2000"}, blocks[len(blocks)-1])
			require.NotContains(t, v.text(), "disconnect")
			for _, node := range []*server{s, publisher} {
				testkit.Eventually(t, func() bool {
					_, _, answer := node.api.Call(t, "history", `{"channel":"live:a"}`)
					h, _ := testkit.RoundTrip(t, node.addr, testkit.Request{Target: "/ready"})
					return h.Status == 200 && strings.Contains(string(answer), `"result"`)
				}, "the node to be ready")
			}
			var last uint64
			for n := 21; n <= 40; n++ {
				last = publisher.api.Publish(t, "live:a", fmt.Sprint(n)).Offset
			}
			if name == "emptied" {
				require.EqualValues(t, 20, last)
				again := view(t, s.addr, "/broadcast/live:a", "Last-Event-ID", lastID(blocks))
				if again.head.Status == 307 {
					again = view(t, s.addr, again.head.Get("Location"))
				}
				require.NotEqual(t, v.head.Get("Sluice-Epoch"), again.head.Get("Sluice-Epoch"))
				again.await(t, "the new history", func(b []string) bool { return len(offsetsIn(t, b)) == 20 })
				again.await(t, "an id of it", func(b []string) bool { return lastID(b) == cursorOf("live:a", again.head.Get("Sluice-Epoch"), 20) })
				return
			}
			require.EqualValues(t, 40, last)
			c.visit(1<<20, 40)
			require.Empty(t, c.holes)
			require.EqualValues(t, 41, c.next)
		})
	}
}
