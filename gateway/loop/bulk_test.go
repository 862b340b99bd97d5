package loop

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Streams with a long opening, whose clients read it at once, share what others
// leave: a frame for somebody else waits for a few of their writes.
func TestALongOpeningDoesNotDelayOthers(t *testing.T) {
	for _, openings := range []int{1, 5, 40} {
		l, _ := bareLoop(t, Options{})
		setClock(l, began)
		other := adopt(t, l, unixPair, false)
		opening := frameOf("", strings.Repeat("o", (8<<20)/min(openings, 8)))
		var bulk []*client
		for range openings {
			c := adopt(t, l, tcpPair, false)
			l.SendExempt(c.ref.Slot, opening, NoID)
			bulk = append(bulk, c)
		}
		buf := make([]byte, 8<<20)
		read := func() {
			for _, c := range bulk {
				_, _ = readReady(c, buf)
				if s := l.at(c.ref.Slot); s.blocked && l.waits(s) {
					l.handleReady(&event{slot: c.ref.Slot, gen: c.ref.Gen, writable: true})
				}
			}
		}
		for pass(l) && len(l.dirty) > 0 { // their first writes
			read()
		}
		rounds, catching := 0, true
		for ; catching; rounds++ {
			require.Less(t, rounds, 1_000_000)
			read()
			was, out := l.stats.Writes, 0
			give(l, &parcel{size: 10, run: func(l *Loop) { l.Send(other.ref.Slot, frameOf("", "live"), NoID) }})
			for l.Deliveries() > 0 || l.at(other.ref.Slot).queue != 0 {
				pass(l)
				out++
			}
			require.LessOrEqual(t, out, 3, "passes")
			require.LessOrEqual(t, l.stats.Writes-was, uint64(3*bulkWrites+1), "%d openings: writes before a frame for another is out", openings)
			_, _ = readReady(other, buf)
			catching = false
			for _, c := range bulk {
				s := l.at(c.ref.Slot)
				catching = catching || l.waits(s)
			}
			if rounds == 3*openings/bulkWrites+10 { // each had its turn
				for i, c := range bulk {
					s := l.at(c.ref.Slot)
					if s.queue != 0 {
						require.Greater(t, l.queues[s.queue-1].sent, maxWriteBytes, "opening %d", i)
					}
				}
			}
		}
		require.Empty(t, l.bulk)
	}
}
