//go:build e2e

package test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Viewers who are cut at any moment and come back when they were told to have everything, in
// order, after dropping repeats: bare, and with the id that they have.
func TestLongEdgeViewersMissNothing(t *testing.T) {
	for _, vary := range []bool{false, true} {
		t.Run(fmt.Sprint(vary), func(t *testing.T) {
			s := startEdge(t, fmt.Sprintf(`, "vary_last_event_id": %t`, vary), "")
			stop := s.publishing(t, "live:a", 4*time.Millisecond)
			var wg sync.WaitGroup
			chasers := make([]*chaser, 12)
			until := time.Now().Add(4 * time.Second)
			for i := range chasers {
				c := &chaser{t: t, addr: s.addr, withID: i%3 > 0}
				chasers[i] = c
				wg.Go(func() {
					for time.Now().Before(until) {
						c.visit(1+rand.IntN(600), 0)
						time.Sleep(time.Duration(rand.Int64N(int64(c.retry) + 1))) // what a viewer does, and no wait of the test
					}
				})
			}
			wg.Wait()
			n := stop()
			for i, c := range chasers {
				for c.next <= n {
					c.visit(1<<20, n)
				}
				require.Empty(t, c.holes, "viewer %d of %d visits", i, c.visits)
				require.Greater(t, c.visits, 1)
			}
			if st := s.edge.Stats(); vary {
				require.NotZero(t, st.Opened["resumed"])
			} else {
				require.Zero(t, st.Opened["resumed"]+st.Redirects)
			}
		})
	}
}

// A relay resumes where it was, on a stream of its own, and is told what it will not get.
func TestLongEdgeRelaysResumeExactly(t *testing.T) {
	s := startEdge(t, "", `, "history_size": 4`)
	var epoch string
	for n := 1; n <= 9; n++ {
		epoch = s.api.Publish(t, "live:a", fmt.Sprint(n)).Epoch
	}
	backlog := func(id string) []string {
		lines := []string{"CDN-Loop", hop("another")}
		if id != "" {
			lines = append(lines, "Last-Event-ID", id)
		}
		v := view(t, s.addr, "/broadcast/live:a", lines...)
		require.Equal(t, 200, v.head.Status)
		cache := "private, no-store"
		if id == "" {
			cache = "public, max-age=1, no-transform"
		}
		require.Equal(t, cache, v.head.Get("Cache-Control"))
		require.Equal(t, id != "", v.head.Get("Vary") == "CDN-Loop, Last-Event-ID", "a front must not keep for others that it is private")
		require.Equal(t, id == "", v.head.Values("CDN-Cache-Control") != nil)
		require.Equal(t, epoch, v.head.Get("Sluice-Epoch"))
		s.api.Publish(t, "live:b", "0")
		v.await(t, "a checkpoint, behind the backlog", func(b []string) bool { return lastID(b) != "" })
		blocks := v.blocks()
		v.close()
		require.Equal(t, "retry: 500", blocks[0])
		return blocks[1:]
	}
	require.Equal(t, upTo(6, 9), offsetsIn(t, backlog("")))
	require.Equal(t, upTo(8, 9), offsetsIn(t, backlog(cursorOf("live:a", epoch, 7))))
	require.Empty(t, offsetsIn(t, backlog(cursorOf("live:a", epoch, 9))))
	blocks := backlog(cursorOf("live:a", epoch, 2))
	require.Equal(t, `data: {"channel":"live:a","gap":{"dropped":3,"from":3,"to":5}}`, blocks[0])
	require.Equal(t, upTo(6, 9), offsetsIn(t, blocks))
	for _, id := range []string{cursorOf("live:a", "other", 7), cursorOf("live:a", epoch, 70), cursorOf("live:b", epoch, 7), "garbage"} {
		blocks := backlog(id)
		require.NotContains(t, strings.Join(blocks, "\n"), "gap", id)
		require.Equal(t, upTo(6, 9), offsetsIn(t, blocks), id)
	}
	require.EqualValues(t, 7, s.edge.Stats().Opened["relay"])
}
