//go:build !race

package hub

import (
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/testkit"
)

// A delivery costs no allocation: what a publication costs does not depend on
// how many streams get it.
func TestADeliveryDoesNotAllocate(t *testing.T) {
	f := func(name string, features Features, opt Options, most float64) {
		t.Run(name, func(t *testing.T) {
			const members, publications = 400, 200
			r := newRig(t, 1, opt)
			var peers []*peer
			for range members {
				p := r.stream(0)
				p.subscribe("a", features)
				if features.has(Recoverable) {
					p.subscribe("b", features)
				}
				p.do(func(s *Shard) {
					s.Activate(p.ref, []Start{{Channel: "a", Features: features}, {Channel: "b", Features: features}})
				})
				peers = append(peers, p)
			}
			buf := make([]byte, 64<<10)
			offset, drained := uint64(0), 0
			round := func(n int) {
				for range n {
					offset++
					p := &codec.Publication{Data: codec.QuoteJSON("x"), Offset: offset, Epoch: "e"}
					r.hub.Publication("a", p, nil, nil)
					require.NoError(t, r.hub.Arrived(t.Context()))
				}
				for _, p := range peers {
					for {
						k, err := syscall.Read(p.fd, buf)
						if k <= 0 || err != nil {
							break
						}
						drained += k
					}
				}
			}
			for range 5 { // queues and scratch get their size
				round(40)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			round(publications)
			runtime.ReadMemStats(&after)
			each := float64(after.Mallocs-before.Mallocs) / publications
			t.Logf("%.1f allocations for each publication, %.4f for each delivery", each, each/members)
			require.Less(t, each, most, "allocations for each publication to %d streams", members)
			require.Positive(t, drained)
			testkit.EventuallyWithin(t, patience, func() bool { return r.group.Stats().QueuedBytes == 0 }, "the queues to be flushed")
			stats := r.group.Stats()
			require.EqualValues(t, stats.Adopted, members)
			require.Zero(t, stats.Dropped)
		})
	}
	const perPublication = 16 // frame, delivery, and the barrier of this test
	f("plain", 0, Options{}, perPublication)
	f("positioned", Positioned, Options{}, perPublication)
	f("own_cursor", Positioned|Recoverable, Options{Cursors: true}, perPublication)
}
