//go:build e2e

package test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// All streams of a channel, on all loops, have the same bytes behind their openings, under
// publishing that waits for nobody: what fronts share, and what is compressed once, rests
// on it. They end by plan, behind a checkpoint that others have as well.
func TestLongEdgeStreamsAreTheSame(t *testing.T) {
	s := startEdge(t, "", "")
	stops := []func() uint64{s.publishing(t, "live:a", 3*time.Millisecond), s.publishing(t, "live:b", 5*time.Millisecond)}
	channels := []string{"live:a", "live:b"}
	viewers := make([][]*viewer, len(channels))
	for range 16 {
		for i, ch := range channels {
			v := view(t, s.addr, "/broadcast/"+ch)
			viewers[i] = append(viewers[i], v)
			// The next one comes when this one has so many live ones: anywhere between two checkpoints.
			v.await(t, "the backlog", func(b []string) bool { return len(b) > 1 })
			more := len(v.blocks()) + rand.IntN(20)
			v.await(t, "more", func(b []string) bool { return len(b) >= more })
		}
	}
	for _, all := range viewers {
		o := order{pubs: make(map[uint64]string), ids: make(map[uint64][]string)}
		for range 2 { // with those before it, and with those behind it
			for _, v := range all {
				blocks := v.ended(t)
				require.Equal(t, "retry: 500", blocks[0])
				require.True(t, strings.HasPrefix(blocks[len(blocks)-2], "id: "), blocks[len(blocks)-2:])
				require.Equal(t, "retry: 500", blocks[len(blocks)-1], "the delay at the end is one second or less")
				require.Equal(t, 2, strings.Count(v.text(), "retry:"))
				got := offsetsIn(t, blocks)
				require.Equal(t, upTo(got[0], got[0]+uint64(len(got))-1), got, "complete and in order")
				o.compare(t, blocks)
			}
		}
		require.NotZero(t, o.ends, "streams that others go beyond")
	}
	for _, stop := range stops {
		stop()
	}
	st := s.edge.Stats()
	require.Zero(t, st.Streams)
	require.EqualValues(t, 32, st.Opened["shared"])
	require.NotZero(t, st.Checkpoints)
}
