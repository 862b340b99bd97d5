package loop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// Eight blocked streams, each with a large event of its own in flight: a little more
// than the total. One or two of them are enough.
func TestNoMoreStreamsAreShedThanNeededForWhatHasBegun(t *testing.T) {
	const streams, size, total = 8, 300 << 10, 2 << 20
	r := newHoldRig(t, 0, streams, Options{QueueMaxAge: 30 * time.Second, QueueMaxSize: 1 << 20, QueuesMaxTotal: total})
	l := r.l
	for i, c := range r.clients {
		l.Send(c.ref.Slot, frameOf("", strings.Repeat(fmt.Sprint(i), size)), NoID)
		for s := l.at(c.ref.Slot); s.queue != 0 && !s.blocked; {
			l.flushStream(c.ref.Slot)
		}
		l.Send(c.ref.Slot, codec.PingFrame, NoID)
	}
	l.publishTotal()
	t.Logf("held %d of %d", l.total.Load(), total)
	settleAt(l, began+ms)
	t.Logf("held %d, closed slow_total %d of %d", l.total.Load(), l.stats.Closes[ReasonSlowTotal], streams)
	require.LessOrEqual(t, l.stats.Closes[ReasonSlowTotal], uint64(2))
}
